"""The path ``core.nn``: layers as functions of a scope, which is `ramie.linen.scoped`."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.linen.scoped.attention": "dot_product_attention multi_head_dot_product_attention",
        "ramie.linen.scoped.linear": "Embedding conv conv_transpose dense dense_general embedding",
        "ramie.linen.scoped.normalization": "batch_norm group_norm layer_norm",
        "ramie.linen.scoped.stochastic": "dropout",
        "ramie.ops.activations": (
            "celu elu gelu glu leaky_relu log_sigmoid log_softmax relu sigmoid silu soft_sign "
            "softmax softplus swish tanh"
        ),
        "ramie.ops.pooling": "avg_pool max_pool",
    },
    modules=(
        "activation=ramie.linen.activation attention=ramie.linen.scoped.attention "
        "initializers=ramie.linen.initializers linear=ramie.linen.scoped.linear "
        "normalization=ramie.linen.scoped.normalization stochastic=ramie.linen.scoped.stochastic"
    ),
)
