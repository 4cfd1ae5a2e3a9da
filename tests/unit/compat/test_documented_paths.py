"""Every module path that Flax documents or that other packages import, Linen side."""

import json
import subprocess
import sys

import pytest

# Paths, and one name in each by which it is known.
DOCUMENTED = {
    "flax.configurations": "config",
    "flax.core": "FrozenDict",
    "flax.core.axes_scan": "scan",
    "flax.core.frozen_dict": "freeze",
    "flax.core.lift": "vmap",
    "flax.core.meta": "Partitioned",
    "flax.core.nn": "dense",
    "flax.core.nn.attention": "multi_head_dot_product_attention",
    "flax.core.nn.linear": "Embedding",
    "flax.core.nn.normalization": "batch_norm",
    "flax.core.nn.stochastic": "dropout",
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
    "flax.linen.attention": "MultiHeadAttention",
    "flax.linen.batch_apply": "BatchApply",
    "flax.linen.combinators": "Sequential",
    "flax.linen.dtypes": "promote_dtype",
    "flax.linen.experimental.layers_with_named_axes": "Dense",
    "flax.linen.fp8_ops": "Fp8DotGeneralOp",
    "flax.linen.initializers": "zeros_init",
    "flax.linen.kw_only_dataclasses": "dataclass",
    "flax.linen.linear": "Dense",
    "flax.linen.module": "compact",
    "flax.linen.normalization": "BatchNorm",
    "flax.linen.partitioning": "param_with_axes",
    "flax.linen.pooling": "max_pool",
    "flax.linen.recurrent": "LSTMCell",
    "flax.linen.spmd": "LogicallyPartitioned",
    "flax.linen.stochastic": "Dropout",
    "flax.linen.summary": "tabulate",
    "flax.linen.transforms": "remat",
    "flax.metrics.tensorboard": "SummaryWriter",
    "flax.nnx": "Module",
    "flax.nnx.filterlib": "OfType",
    "flax.nnx.graph": "iter_graph",
    "flax.nnx.graphlib": "GraphDef",
    "flax.nnx.helpers": "Sequential",
    "flax.nnx.module": "first_from",
    "flax.nnx.nn.activations": "relu",
    "flax.nnx.nn.dtypes": "promote_dtype",
    "flax.nnx.nn.initializers": "zeros_init",
    "flax.nnx.nn.linear": "Conv",
    "flax.nnx.object": "Object",
    "flax.nnx.pytreelib": "Pytree",
    "flax.nnx.rnglib": "Rngs",
    "flax.nnx.statelib": "State",
    "flax.nnx.variablelib": "Variable",
    "flax.serialization": "to_bytes",
    "flax.struct": "dataclass",
    "flax.testing": "Benchmark",
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
        input=json.dumps(list(DOCUMENTED.items())),
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
