"""Linen: neural networks as immutable modules and pure functions."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.core.filters": "DenyList",
        "ramie.core.lift.axes_scan": "broadcast",
        "ramie.core.meta": (
            "PARTITION_NAME Partitioned get_partition_spec get_sharding unbox with_partitioning"
        ),
        "ramie.core.scope.variables": "Variable",
        "ramie.core.stacking": "stack_layers unstack_layers",
        "ramie.core.sharding": "get_logical_axis_rules logical_axis_rules set_logical_axis_rules",
        "ramie.linen.inspection.summary": "tabulate",
        "ramie.linen.layers.activations": "PReLU",
        "ramie.linen.layers.attention.multi_head": (
            "MultiHeadAttention MultiHeadDotProductAttention SelfAttention dot_product_attention "
            "dot_product_attention_weights"
        ),
        "ramie.linen.layers.attention.rotary": "RoPE dot_product_attention_with_rope",
        "ramie.linen.layers.combinators": "Sequential",
        "ramie.linen.layers.conv": "Conv ConvLocal ConvTranspose",
        "ramie.linen.layers.fp8": (
            "Fp8DirectDotGeneralOp Fp8DotGeneral Fp8DotGeneralOp Fp8Einsum NANOOFp8DotGeneralOp"
        ),
        "ramie.linen.layers.linear": "Dense DenseGeneral Einsum Embed",
        "ramie.linen.layers.norm": "BatchNorm GroupNorm InstanceNorm LayerNorm RMSNorm",
        "ramie.linen.layers.recurrent.cell": "RNNCellBase",
        "ramie.linen.layers.recurrent.cells": (
            "ConvLSTMCell GRUCell LSTMCell MGUCell OptimizedLSTMCell SimpleCell"
        ),
        "ramie.linen.layers.recurrent.sequence": "Bidirectional RNN",
        "ramie.linen.layers.repeat": "Repeat",
        "ramie.linen.layers.stochastic": "Dropout",
        "ramie.linen.layers.weight_norm": "SpectralNorm WeightNorm",
        "ramie.linen.machinery.adopt": "share_scope",
        "ramie.linen.machinery.entry": "apply init init_with_output",
        "ramie.linen.machinery.methods": (
            "compact compact_name_scope disable_named_call enable_named_call intercept_methods "
            "nowrap override_named_call"
        ),
        "ramie.linen.machinery.settings": "merge_param",
        "ramie.linen.machinery.sharing": "share_traces",
        "ramie.linen.module": "Module",
        "ramie.linen.sharding.spmd": (
            "LogicallyPartitioned logical_to_mesh logical_to_mesh_axes logical_to_mesh_sharding "
            "with_logical_constraint with_logical_partitioning"
        ),
        "ramie.linen.transforms.batch_apply": "BatchApply",
        "ramie.linen.transforms.compilation": "checkpoint fold_rngs jit named_call remat",
        "ramie.linen.transforms.control_flow": "cond switch while_loop",
        "ramie.linen.transforms.differentiation": "custom_vjp grad jvp value_and_grad vjp",
        "ramie.linen.transforms.mapping": "add_metadata_axis remat_scan scan vmap",
        "ramie.linen.transforms.views": "map_variables",
        "ramie.ops.activations": (
            "celu elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid "
            "log_softmax logsumexp normalize one_hot relu relu6 selu sigmoid silu soft_sign "
            "softmax softplus standardize swish tanh"
        ),
        "ramie.ops.attention.dot_product": "combine_masks make_attention_mask make_causal_mask",
        "ramie.ops.initializers": "ones ones_init zeros zeros_init",
        "ramie.ops.pooling": "avg_pool max_pool pool",
        "ramie.trees.frozen": "FrozenDict",
    },
    modules=(
        "activation attention batch_apply=ramie.linen.transforms.batch_apply combinators dtypes "
        "experimental fp8_ops initializers "
        "kw_only_dataclasses=ramie.linen.machinery.kw_only_dataclasses linear "
        "meta=ramie.core.meta module normalization partitioning=ramie.linen.sharding.partitioning "
        "pooling recurrent spmd=ramie.linen.sharding.spmd stochastic "
        "summary transforms"
    ),
)
