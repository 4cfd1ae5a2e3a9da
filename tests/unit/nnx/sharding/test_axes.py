"""Names of axes that come and go, in the metadata of variables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ramie import nnx
from ramie.nnx.sharding import axes

ONES = np.ones((4, 2), np.float32)
LAYERS = {nnx.PARTITION_NAME: "layers"}


def lazy(names=("data", "model"), **metadata):
    return nnx.Param(jnp.asarray(ONES), out_sharding=names, eager_sharding=False, **metadata)


@pytest.mark.parametrize(
    ("index", "grown"),
    [
        (0, ("layers", "data", "model")),
        (1, ("data", "layers", "model")),
        (3, ("data", "model", None, "layers")),
        (-1, ("data", "model", "layers")),
        (-2, ("data", "layers", "model")),
    ],
)
def test_an_axis_comes_and_goes(index, grown):
    for kind in (tuple, lambda names: PartitionSpec(*names)):
        param = lazy(kind(("data", "model")))
        assert axes.add_axis(param, index, LAYERS) is param
        assert param.out_sharding == kind(grown)
        axes.remove_axis(param, index, LAYERS)
        assert param.out_sharding == kind([name for name in grown if name != "layers"])


def test_a_full_sharding_gets_the_axis_too():
    mesh = jax.make_mesh((2, 2), ("layers", "data"), axis_types=(AxisType.Auto,) * 2)
    param = nnx.Param(ONES, out_sharding=NamedSharding(mesh, PartitionSpec("data")))
    axes.add_axis(param, 0, LAYERS)
    assert param.out_sharding == NamedSharding(mesh, PartitionSpec("layers", "data"))


def test_hooks_and_further_entries_hear_of_it():
    heard = []

    class Told(nnx.Param):
        def on_add_axis(self, index, name):
            heard.append(("add", index, name))

        def on_remove_axis(self, index, name):
            heard.append(("remove", index, name))

    tree = {
        "plain": Told(1),
        "named": [lazy(nicknames=("in", "out"), size=3, words=["in", "out"])],
        "array": jnp.ones(3),
    }
    metadata = {**LAYERS, "nicknames": "deep", "size": 4, "words": "deep", "absent": "deep"}
    assert axes.add_axis(tree, 1, metadata) is tree
    named = tree["named"][0].get_metadata()
    assert (named["nicknames"], named["size"], named["words"]) == (
        ("in", "deep", "out"),
        3,
        ["in", "out"],
    )
    axes.remove_axis(tree, 1, metadata)
    assert tree["named"][0].nicknames == ("in", "out")
    assert heard == [("add", 1, "layers"), ("remove", 1, "layers")]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match='"partition_name" is not specified'):
        axes.add_axis(lazy(), 0, {"nicknames": "deep"})
    with pytest.raises(ValueError, match="Expected to remove 'layers' at index 0 from"):
        axes.remove_axis(lazy(), 0, LAYERS)
    with pytest.raises(ValueError, match="but found None"):
        axes.remove_axis(lazy(), 2, LAYERS)
    short = lazy(("data",))
    assert axes.remove_axis(short, 1, {nnx.PARTITION_NAME: None}).out_sharding == ("data",)
