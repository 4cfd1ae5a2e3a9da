"""Models as mutable Python objects: modules hold variables, variables hold arrays.

Functions take a model apart into structure and state, for the transformations of JAX, and put it
together again.
"""

import importlib
import warnings
from typing import Any as _Anything

from ramie.foundation import doors

__all__, _answer, __dir__ = doors.door(
    __name__,
    {
        "jax.nn": "identity",
        "ramie.core.meta": "PARTITION_NAME",
        "ramie.core.sharding": "logical_axis_rules",
        "ramie.nnx.graph.contexts": (
            "MergeContext SplitContext UpdateContext current_update_context merge_context "
            "split_context update_context"
        ),
        "ramie.nnx.graph.conversions": "vars_as with_vars",
        "ramie.nnx.graph.editing": "pop set_metadata",
        "ramie.nnx.graph.flat": "flatten unflatten",
        "ramie.nnx.graph.functional": (
            "as_pure call clone find_duplicates graphdef iter_children map merge pure split state "
            "variables"
        ),
        "ramie.nnx.graph.packed": "GraphState PureState unpack",
        "ramie.nnx.graph.structure": "GraphDef",
        "ramie.nnx.graph.updating": "update",
        "ramie.nnx.graph.walk": "iter_graph",
        "ramie.nnx.inspection.summary": "tabulate",
        "ramie.nnx.layers.activations": "PReLU",
        "ramie.nnx.layers.attention.dot_product": "dot_product_attention",
        "ramie.nnx.layers.attention.multi_head": "MultiHeadAttention",
        "ramie.nnx.layers.attention.rotary": "RoPE dot_product_attention_with_rope",
        "ramie.nnx.layers.batch_norm": "BatchNorm",
        "ramie.nnx.layers.conv": "Conv ConvTranspose",
        "ramie.nnx.layers.linear": "Einsum Embed Linear LinearGeneral",
        "ramie.nnx.layers.lora": "LoRA LoRALinear LoRAParam",
        "ramie.nnx.layers.norm": "GroupNorm InstanceNorm LayerNorm RMSNorm",
        "ramie.nnx.layers.recurrent.cell": "RNNCellBase",
        "ramie.nnx.layers.recurrent.cells": "GRUCell LSTMCell OptimizedLSTMCell SimpleCell",
        "ramie.nnx.layers.recurrent.sequence": "Bidirectional RNN",
        "ramie.nnx.layers.repeat": "Repeat",
        "ramie.nnx.layers.stochastic": "Dropout",
        "ramie.nnx.layers.weight_norm": "SpectralNorm WeightNorm",
        "ramie.nnx.modes": (
            "set_graph_mode set_graph_updates use_eager_sharding using_eager_sharding"
        ),
        "ramie.nnx.modules.capturing": "capture",
        "ramie.nnx.modules.containers": "Dict List Sequential",
        "ramie.nnx.modules.module": "Module first_from iter_module_children iter_modules",
        "ramie.nnx.modules.sharing": "share_traces",
        "ramie.nnx.modules.views": "recursive_map view view_info with_attributes",
        "ramie.nnx.objects.marks": (
            "Data Static data dataclass has_data is_data register_data_type static"
        ),
        "ramie.nnx.objects.pytree": "Object Pytree check_pytree",
        "ramie.nnx.printing.visualization": "display",
        "ramie.nnx.randomness.forks": "fork_rngs reseed restore_rngs split_rngs with_rngs",
        "ramie.nnx.randomness.rng": "RngCount RngKey RngState RngStream Rngs",
        "ramie.nnx.sharding.specs": (
            "abstract_with_sharding as_abstract get_abstract_model get_named_sharding "
            "get_partition_spec with_partitioning"
        ),
        "ramie.nnx.sharding.stacking": "stack_layers unstack_layers",
        "ramie.nnx.states.filters": "All Any Everything Not Nothing OfType PathContains WithTag",
        "ramie.nnx.states.functions": (
            "filter_state from_flat_state map_state merge_state replace_by_pure_dict split_state "
            "to_flat_state to_pure_dict"
        ),
        "ramie.nnx.states.nested": "restore_int_paths",
        "ramie.nnx.states.state": "FlatState State",
        "ramie.nnx.training.ema": "EMA",
        "ramie.nnx.training.metrics": "Metric MultiMetric",
        "ramie.nnx.training.optimizer": (
            "ModelAndOptimizer OptArray OptState OptVariable Optimizer"
        ),
        "ramie.nnx.training.train_state": "TrainState",
        "ramie.nnx.transforms.iteration.axes": "Carry StateAxes",
        "ramie.nnx.transforms.autodiff.differentiable": "DiffState",
        "ramie.nnx.transforms.arguments.prefixes": "StateSharding",
        "ramie.nnx.transforms.autodiff.custom_rules": "custom_vjp",
        "ramie.nnx.transforms.autodiff.gradients": "grad jvp value_and_grad vjp",
        "ramie.nnx.transforms.autodiff.rematerialization": "remat",
        "ramie.nnx.transforms.compilation.compiled": "cached_partial jit jit_partial",
        "ramie.nnx.transforms.flow.control": "cond switch",
        "ramie.nnx.transforms.compilation.evaluation": "checkify eval_shape make_jaxpr",
        "ramie.nnx.transforms.flow.loops": "fori_loop while_loop",
        "ramie.nnx.transforms.iteration.mapping": "vmap",
        "ramie.nnx.transforms.iteration.partitioning": "transform_metadata",
        "ramie.nnx.transforms.iteration.scanning": "scan",
        "ramie.nnx.transforms.iteration.sharded": "pmap shard_map",
        "ramie.nnx.transforms.trees": "NodeStates from_tree prefix to_tree",
        "ramie.nnx.variable.base": "A Variable",
        "ramie.nnx.variable.defaults": "var_defaults",
        "ramie.nnx.variable.metadata": "VariableMetadata",
        "ramie.nnx.variable.kinds": (
            "BatchStat Cache Intermediate Param Perturbation register_variable_name "
            "variable_name_from_type variable_type_from_name with_metadata"
        ),
        "ramie.ops.activations": (
            "celu elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid "
            "log_softmax logsumexp one_hot relu relu6 selu sigmoid silu soft_sign softmax "
            "softplus standardize swish tanh"
        ),
        "ramie.ops.attention.dot_product": "combine_masks make_attention_mask make_causal_mask",
        "ramie.ops.pooling": "avg_pool max_pool min_pool pool",
        "ramie.typing": "Initializer",
    },
    modules=(
        "bridge compat deprecations extract "
        "filterlib=ramie.nnx.states.filters graph graphlib=ramie.nnx.graph "
        "helpers=ramie.nnx.modules.containers ids=ramie.foundation.ids "
        "initializers=ramie.ops.initializers metrics=ramie.nnx.training.metrics "
        "module=ramie.nnx.modules.module nn optimizer=ramie.nnx.training.optimizer proxy_caller "
        "pytreelib reprlib=ramie.nnx.printing.reprlib "
        "rnglib=ramie.nnx.randomness saving=ramie.nnx.states.saving spmd=ramie.nnx.sharding "
        "statelib=ramie.nnx.states summary=ramie.nnx.inspection.summary tracers training "
        "transforms traversals=ramie.nnx.states.traversals variablelib=ramie.nnx.variable "
        "visualization=ramie.nnx.printing.visualization wrappers=ramie.nnx.bridge.wrappers"
    ),
)


def __getattr__(name: str) -> _Anything:
    if name == "VariableState":
        message = "nnx.VariableState is the former name of nnx.Variable."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return _answer("Variable")
    if name == "object":  # a builtin's name, which no list of public names should hold
        return importlib.import_module("ramie.nnx.objects")
    return _answer(name)
