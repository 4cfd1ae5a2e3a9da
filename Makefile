# Every target makes the environment it needs and reinstalls only when pyproject.toml has changed.
# `make PYTHON=python3.12 test` picks another interpreter for a fresh environment.

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
JOBS ?= 2
QUICK_COMPILER := --xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0

# The requirements of the named groups in pyproject.toml, one a line (old pips cannot read groups).
GROUPS_OF = import sys, tomllib; \
  groups = tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]; \
  print(*(line for name in sys.argv[1:] for line in groups[name]), sep="\n")
NEEDS_PYTHON = import sys; sys.version_info >= (3, 11) or sys.exit( \
  "Ramie needs Python 3.11 or newer, this is " + sys.version.split()[0] \
  + ": try make PYTHON=python3.12 ...")

.DEFAULT_GOAL := help
.PHONY: help demo test faults lint format bench $(VENV) $(PEERS)

help:
	@echo "make demo     train the digits network (resumes where it stopped; ARGS='--epochs 3' is passed on)"
	@echo "make test     run the tests; with $(PEERS) present also those that compare with Flax"
	@echo "make faults   kill, damage and mislead at length (RAMIE_FAULTS=2 for twice as often); half an hour"
	@echo "make lint     ruff (rules and format) and mypy"
	@echo "make format   let ruff rewrite the files"
	@echo "make bench    measure against Flax and raw JAX, write benchmarks/RESULTS.md"
	@echo "make $(PEERS)   the environment that holds Flax, for parity tests and benchmarks"

demo: $(VENV)/.stamp
	$(VENV)/bin/ramie demo $(ARGS)

# Compiling is most of the work. Only where the last bits of a result depend on it (the marker
# `optimised`) does XLA do its best. A choice of tests may be empty for either run (exit code 5).
test: $(VENV)/.stamp
	XLA_FLAGS="$(QUICK_COMPILER)" $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile -q -m "not optimised" $(ARGS) \
	  || test $$? -eq 5
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile -q -m optimised $(ARGS) || test $$? -eq 5
	@if test -e $(PEERS)/.stamp; then \
	  echo "$(PEERS)/bin/python -m pytest -n $(JOBS) --dist loadfile -q tests/parity"; \
	  $(PEERS)/bin/python -m pytest -n $(JOBS) --dist loadfile -q tests/parity; \
	else \
	  echo "parity with Flax was not tested: run 'make $(PEERS)' first"; \
	fi

faults: $(VENV)/.stamp
	RAMIE_FAULTS=$${RAMIE_FAULTS:-1} $(VENV)/bin/python -m pytest -q tests/faults $(ARGS)

lint: $(VENV)/.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.stamp
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

bench: $(PEERS)/.stamp
	$(PEERS)/bin/python -m benchmarks $(ARGS)

$(VENV): $(VENV)/.stamp
$(PEERS): $(PEERS)/.stamp

$(VENV)/.stamp: pyproject.toml
	@$(PYTHON) -c '$(NEEDS_PYTHON)'
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -c '$(GROUPS_OF)' test lint > $(VENV)/requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -e '.[demo]' -r $(VENV)/requirements.txt
	touch $@

$(PEERS)/.stamp: pyproject.toml
	@$(PYTHON) -c '$(NEEDS_PYTHON)'
	test -x $(PEERS)/bin/pip || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -c '$(GROUPS_OF)' test peers > $(PEERS)/requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -e '.[demo]' -r $(PEERS)/requirements.txt
	touch $@
