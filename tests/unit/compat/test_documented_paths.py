"""Every module path that Flax documents or that other packages import, Linen side."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Paths, and one name in each by which it is known.
DOCUMENTED = {
    "flax.configurations": "config",
    "flax.core": "FrozenDict",
    "flax.core.axes_scan": "scan",
    "flax.core.frozen_dict": "freeze",
    "flax.core.lift": "vmap",
    "flax.core.meta": "Partitioned",
    "flax.core.partial_eval": "lazy_init",
    "flax.core.scope": "Scope",
    "flax.core.spmd": "logical_axis_rules",
    "flax.core.tracers": "check_trace_level",
    "flax.core.variables": "Variable",
    "flax.cursor": "cursor",
    "flax.errors": "FlaxError",
    "flax.ids": "uuid",
    "flax.io": "GFile",
    "flax.jax_utils": "replicate",
    "flax.linen": "Module",
    "flax.linen.activation": "PReLU",
    "flax.core.nn": "dense",
    "flax.linen.attention": "MultiHeadAttention",
    "flax.linen.combinators": "Sequential",
    "flax.linen.dtypes": "promote_dtype",
    "flax.linen.initializers": "zeros_init",
    "flax.linen.linear": "Dense",
    "flax.linen.module": "compact",
    "flax.linen.normalization": "BatchNorm",
    "flax.linen.pooling": "max_pool",
    "flax.linen.spmd": "LogicallyPartitioned",
    "flax.linen.stochastic": "Dropout",
    "flax.linen.transforms": "remat",
    "flax.serialization": "to_bytes",
    "flax.struct": "dataclass",
    "flax.traceback_util": "api_boundary",
    "flax.training.checkpoints": "save_checkpoint",
    "flax.training.common_utils": "shard",
    "flax.training.dynamic_scale": "DynamicScale",
    "flax.training.early_stopping": "EarlyStopping",
    "flax.training.lr_schedule": "create_cosine_learning_rate_schedule",
    "flax.training.orbax_utils": "save_args_from_target",
    "flax.training.prefetch_iterator": "PrefetchIterator",
    "flax.training.train_state": "TrainState",
    "flax.traverse_util": "flatten_dict",
    "flax.typing": "Dtype",
    "flax.version": "__version__",
}
# Documented by Flax and not in Ramie yet; docs/compat.md says the same.
ABSENT = [
    "flax.linen.batch_apply",
    "flax.linen.fp8_ops",
    "flax.linen.partitioning",
    "flax.linen.recurrent",
    "flax.linen.summary",
    "flax.metrics.tensorboard",
    "flax.nnx",
    "flax.testing",
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Import every path in one fresh process; return what went wrong, by path."""
    program = """
import importlib, json, sys, ramie.compat
ramie.compat.install()
wrong = {}
for path, name in json.loads(sys.stdin.read()):
    try:
        module = importlib.import_module(path)
        getattr(module, name)
        assert module is sys.modules[path] is sys.modules[module.__name__], module
    except Exception as error:
        wrong[path] = f"{type(error).__name__}: {error}"
print(json.dumps(wrong))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([*DOCUMENTED.items(), *((path, "") for path in ABSENT)]),
        cwd=tmp_path_factory.mktemp("paths"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("path", DOCUMENTED)
def test_path_resolves_to_the_module_that_has_the_name(path, answers):
    assert path not in answers, answers[path]


@pytest.mark.parametrize("path", ABSENT)
def test_the_page_lists_what_is_absent(path, answers):
    assert "ModuleNotFoundError" in answers[path] and "Ramie" in answers[path]
    page = Path(__file__).resolve().parents[3] / "docs" / "compat.md"
    assert f"`{path}`" in page.read_text(encoding="utf-8")
