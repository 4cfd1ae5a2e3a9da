"""Rows for dropout, activations with parameters, and combinators."""

from tests.families.row import Row, floats

ROWS = (
    Row(
        "dropout",
        lambda nn, **k: nn.Dropout(0.3, deterministic=False),
        (floats(4, 6),),
        streams=("dropout",),
        dtypes=False,
    ),
    Row(
        "dropout_shared",
        lambda nn, **k: nn.Dropout(0.5, broadcast_dims=(-1, 0), rng_collection="noise"),
        (floats(4, 3, 6),),
        kwargs={"deterministic": False},
        streams=("noise",),
        dtypes=False,
    ),
    Row(
        "dropout_off",
        lambda nn, **k: nn.Dropout(0.5, deterministic=True),
        (floats(4, 6),),
        dtypes=False,
    ),
    Row("prelu", lambda nn, **k: nn.PReLU(), (floats(4, 6),), dtypes=False),
    Row(
        "prelu_slope",
        lambda nn, **k: nn.PReLU(negative_slope_init=0.3),
        (floats(4, 2, 3),),
        dtypes=False,
    ),
    Row(
        "sequential",
        lambda nn, **k: nn.Sequential((nn.Dense(4), _doubled, nn.LayerNorm(), nn.Dense(2))),
        (floats(3, 5),),
        dtypes=False,
    ),
    Row(
        "sequential_of_functions",
        lambda nn, **k: nn.Sequential((_two, _as_names, _sum)),
        (floats(3, 5),),
        dtypes=False,
    ),
)


def _two(x):
    return x, 2 * x


def _as_names(x, y):
    return {"a": x, "b": y}


def _sum(a, b):
    return a + b


def _doubled(x):
    return x + x
