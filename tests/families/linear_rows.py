"""Rows for the linear layers."""

from tests.families.row import Row, floats, integers

ROWS = (
    Row("dense", lambda nn, **k: nn.Dense(4, **k), (floats(2, 3),)),
    Row("dense_one_example", lambda nn, **k: nn.Dense(4, **k), (floats(3),)),
    Row("dense_batch_axes", lambda nn, **k: nn.Dense(5, **k), (floats(2, 3, 4),)),
    Row("dense_no_bias", lambda nn, **k: nn.Dense(4, use_bias=False, **k), (floats(2, 3),)),
    Row("dense_one_feature", lambda nn, **k: nn.Dense(6, **k), (floats(5, 1),)),
    Row(
        "dense_initializers",
        lambda nn, **k: nn.Dense(
            4,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.normal(0.5),
            precision="highest",
            **k,
        ),
        (floats(2, 3),),
    ),
    Row("dense_general", lambda nn, **k: nn.DenseGeneral((4, 5), **k), (floats(2, 3),)),
    Row(
        "dense_general_axes",
        lambda nn, **k: nn.DenseGeneral((4, 5), axis=(-1, 1), **k),
        (floats(2, 3, 2, 5),),
    ),
    Row(
        "dense_general_inner_axis",
        lambda nn, **k: nn.DenseGeneral(6, axis=1, use_bias=False, **k),
        (floats(2, 4, 3),),
    ),
    Row(
        "dense_general_batch",
        lambda nn, **k: nn.DenseGeneral(
            (4,), axis=-1, batch_dims=(0, 1), bias_init=nn.initializers.normal(), **k
        ),
        (floats(2, 3, 4, 5),),
    ),
    Row("einsum", lambda nn, **k: nn.Einsum((5, 6, 7), "abc,cde->abde", **k), (floats(3, 4, 5),)),
    Row(
        "einsum_transposed",
        lambda nn, **k: nn.Einsum((7, 3, 8, 5), "abcd,eafc->bfed", **k),
        (floats(3, 4, 5, 6),),
    ),
    Row(
        "einsum_ellipsis",
        lambda nn, **k: nn.Einsum((4, 5, 6), "ab...,bc...->ac...", **k),
        (floats(3, 4, 6),),
    ),
    Row(
        "einsum_called_with_equation",
        lambda nn, **k: nn.Einsum((4, 5), use_bias=False, **k),
        (floats(2, 3, 4),),
        kwargs={"einsum_str": "... a, a b -> ... b"},
    ),
    Row("embed", lambda nn, **k: nn.Embed(7, 4, **k), (integers(2, 3, below=7),)),
    Row("embed_one_entry", lambda nn, **k: nn.Embed(1, 4, **k), (integers(3, below=1),)),
)
