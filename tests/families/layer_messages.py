"""How messages of layers and of functions on arrays begin."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from tests.families.message_row import KEY, Row, X


def _attention(q: Any, k: Any, v: Any) -> Callable[[Any], Any]:
    return lambda lib: lib.linen.dot_product_attention(jnp.ones(q), jnp.ones(k), jnp.ones(v))


def _decodes_two_positions(lib: Any) -> Any:
    layer = lib.linen.MultiHeadDotProductAttention(1, decode=True)
    variables = layer.init(KEY, X[None])
    return layer.apply(variables, X[None], mutable=["cache"])


def _scan_without_a_length(lib: Any) -> Any:
    nn = lib.linen
    scanned = nn.scan(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})
    return scanned(3).init(KEY, X)


LAYERS = {
    "no layers": Row(
        lambda lib: lib.linen.Sequential([]).init(KEY, X), "ValueError", "Empty Sequential module"
    ),
    "layers": Row(
        lambda lib: lib.linen.Sequential(3).init(KEY, X),
        "ValueError",
        "'layers' must be a sequence, got 'int'.",
    ),
    "indices": Row(
        lambda lib: lib.linen.Embed(3, 2).init(KEY, X),
        "ValueError",
        "Input type must be an integer or unsigned integer",
    ),
    "dtype": Row(
        lambda lib: lib.linen.Dense(3, dtype=jnp.int32).init(KEY, X),
        "ValueError",
        "Dtype must be inexact: ",
    ),
    "heads": Row(
        lambda lib: lib.linen.MultiHeadDotProductAttention(2, qkv_features=3).init(KEY, X),
        "ValueError",
        "Memory dimension (3) must be divisible by number of heads (2)",
    ),
    "values alone": Row(
        lambda lib: lib.linen.MultiHeadDotProductAttention(1).init(KEY, X, None, X),
        "ValueError",
        "`inputs_k` cannot be None if `inputs_v` is not None.",
    ),
    "keys twice": Row(
        lambda lib: lib.linen.MultiHeadDotProductAttention(1).init(KEY, X, X, inputs_kv=X),
        "ValueError",
        "If either `inputs_k` or `inputs_v` is not None, `inputs_kv` must be None.",
    ),
    "decoding": Row(
        _decodes_two_positions,
        "ValueError",
        "Autoregressive cache shape error, expected query shape (1, 1, 1, 3) instead got "
        "(1, 2, 1, 3)",
    ),
    "ranks": Row(
        _attention((1, 4, 2), (1, 4, 2), (1, 4, 2, 3)), "ValueError", "q, k, v must have same rank"
    ),
    "batches": Row(
        _attention((1, 4, 2, 3), (2, 4, 2, 3), (2, 4, 2, 3)),
        "ValueError",
        "q, k, v batch dims must match.",
    ),
    "numbers of heads": Row(
        _attention((1, 4, 2, 3), (1, 4, 1, 3), (1, 4, 1, 3)),
        "ValueError",
        "q, k, v num_heads must match.",
    ),
    "lengths": Row(
        _attention((1, 4, 2, 3), (1, 5, 2, 3), (1, 4, 2, 3)),
        "ValueError",
        "k, v lengths must match.",
    ),
    "depths": Row(
        _attention((1, 4, 2, 3), (1, 4, 2, 5), (1, 4, 2, 3)),
        "ValueError",
        "q, k depths must match.",
    ),
    "rate of dropout": Row(
        lambda lib: lib.linen.dot_product_attention(
            *[X[None, None]] * 3, dropout_rate=1.5, dropout_rng=KEY
        ),
        "ValueError",
        "dropout_rate must be in the range",
        peer=False,
    ),
    "masks": Row(
        lambda lib: lib.linen.combine_masks(X, X[0]), "ValueError", "masks must have same rank"
    ),
    "groups": Row(
        lambda lib: lib.linen.GroupNorm(2).init(KEY, X),
        "ValueError",
        "Number of groups (2) does not divide the number of channels (3).",
    ),
    "size of groups": Row(
        lambda lib: lib.linen.GroupNorm(num_groups=None, group_size=2).init(KEY, X),
        "ValueError",
        "Number of channels (3) is not multiple of the group size (2).",
    ),
    "groups and their size": Row(
        lambda lib: lib.linen.GroupNorm(num_groups=3, group_size=1).init(KEY, X),
        "ValueError",
        "Either `num_groups` or `group_size` should be specified",
    ),
    "instances": Row(
        lambda lib: lib.linen.InstanceNorm(feature_axes=0).init(KEY, X),
        "ValueError",
        "The channel axes cannot include the leading dimension as this is assumed to be the batch "
        "axis.",
    ),
    "no matrix": Row(
        lambda lib: lib.linen.SpectralNorm(lib.linen.Conv(3, (2,)), error_on_non_matrix=True).init(
            KEY, X[None], update_stats=False
        ),
        "ValueError",
        "Input is 3D but error_on_non_matrix is True",
    ),
    "mask of a kernel": Row(
        lambda lib: lib.linen.Conv(3, (2,), mask=jnp.ones(3)).init(KEY, X[None]),
        "ValueError",
        "Mask needs to have the same shape as weights. Shapes are: (3,), (2, 3, 3)",
    ),
    "groups of own kernels": Row(
        lambda lib: lib.linen.ConvLocal(4, (2,), feature_group_count=2).init(
            KEY, jnp.ones((1, 3, 4))
        ),
        "NotImplementedError",
        "`lax.conv_general_dilated_local` does not support `feature_group_count != 1`, got `2`",
    ),
    "operands": Row(
        lambda lib: lib.linen.Einsum((3, 2), "ab->ab").init(KEY, X),
        "ValueError",
        "`einsum_str` equation must have exactly two operands",
    ),
    "padding of a pool": Row(
        lambda lib: lib.linen.avg_pool(jnp.ones((1, 4, 4, 1)), (2, 2), padding=((1, 1),)),
        "ValueError",
        "padding ((1, 1),) must specify pads for same number of dims as window_shape (2, 2)",
    ),
    "steps of a scan": Row(
        _scan_without_a_length,
        "ValueError",
        "length should be specified manually.",
    ),
    "logical axes": Row(
        lambda lib: lib.linen.logical_to_mesh_axes(("a", "a"), [("a", "b")]),
        "ValueError",
        "Unsupported: Dimensions ('a',) occur more than once in array names",
    ),
    "too few axes": Row(
        lambda lib: lib.linen.BatchApply(lambda a: a, num_dims=3)(X),
        "ValueError",
        "BatchApply requires at least one input with ndim >= 3",
    ),
}
