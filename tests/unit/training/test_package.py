"""The package offers its modules lazily and stays light."""

import json
import subprocess
import sys

import pytest

from ramie import training


def test_train_state_is_an_attribute():
    from ramie.training.train_state import TrainState

    assert training.TrainState is TrainState
    assert set(training.__all__) <= set(dir(training))


def test_unknown_names_say_what_there_is():
    with pytest.raises(
        AttributeError, match="has no attribute 'optimizers'; it offers Stepper, TrainState"
    ):
        _ = training.optimizers


def test_importing_every_module_loads_nothing_heavy():
    modules = [
        name for name in training.__all__ if name not in {"Stepper", "TrainState", "checkpoints"}
    ]
    code = (
        "import json, sys\n"
        f"for name in {modules!r}:\n"
        "    __import__('ramie.training.' + name)\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"optax", "rich", "orbax", "tensorstore", "tensorflow", "matplotlib", "sklearn"}
    assert heavy.isdisjoint(json.loads(out.stdout))
