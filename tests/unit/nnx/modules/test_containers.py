"""List, Dict, Sequential, and what modules do with the modules inside of them."""

import functools

import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie import nnx


def test_a_list_behaves_like_a_list():
    items = nnx.List([1, nnx.Param(2)])
    items.append(jnp.ones(1))
    items.insert(0, "x")
    items.extend([4])
    assert len(items) == 5 and items.pop() == 4 and items[-1].shape == (1,)
    del items[1]
    assert items[0] == "x" and isinstance(items[1], nnx.Param) and len(items) == 3
    items.reverse()
    assert items[2] == "x" and next(reversed(items)) == "x" and "x" in items
    items[2] = "y"
    items[:0] = [7, 8]
    assert items[:2] == [7, 8] and items.index("y") == 4
    items += [nnx.Param(3)]
    assert [path for path, _ in nnx.state(items).flat_state()] == [(2,), (3,), (5,)]
    for index in (9, -9):
        with pytest.raises(IndexError, match="out of bounds"):
            items[index]
    assert repr(nnx.List([1, 2])) == "List([\n  1,\n  2\n])"


def test_elements_keep_their_status():
    items = nnx.List([1, nnx.Param(2), nnx.data([nnx.Param(3)])])
    with pytest.raises(ValueError, match="Cannot assign data value"):
        items[0] = nnx.Param(1)
    items[0] = nnx.data(nnx.Param(1))
    assert nnx.state(items).flat_state().paths == ((0,), (1,), (2, 0))
    with pytest.raises(ValueError, match="Found data on value"):
        nnx.List([[nnx.Param(1)]])


def test_a_dict_has_names_as_attributes():
    names = nnx.Dict({"a": 1}, b=nnx.Param(2))
    assert names.a == names["a"] == 1 and list(names) == ["a", "b"] and "a" in names
    names["c"] = jnp.ones(1)
    names.d = 4
    del names["a"]
    names.update({"e": 5})
    assert names.pop("e") == 5 and sorted(names) == ["b", "c", "d"] and names.get("q", 3) == 3
    assert names == names and names != nnx.Dict(names) and hash(names) == hash(names)
    with pytest.raises(KeyError, match="zz"):
        names["zz"]
    with pytest.raises(TypeError, match="strings"):
        nnx.Dict({1: 2})
    assert repr(nnx.Dict(a=1)) == "Dict({\n  'a': 1\n})"


def test_sequential_passes_results_on():
    def takes_rngs(x, rngs):
        return x + rngs

    assert nnx.Sequential(lambda x: (x, x), lambda a, b: a + b)(1) == 2
    assert nnx.Sequential(lambda x: {"a": x, "b": 3}, lambda a, b: a + b)(1) == 4
    assert nnx.Sequential(lambda x, y: x + y, takes_rngs, lambda x: x)(1, y=2, rngs=10) == 13
    assert nnx.Sequential()(3) == 3
    with pytest.raises(TypeError, match=r"Sequence\[1\] is not callable"):
        nnx.Sequential(lambda x: x, 3)(1)


def test_sequential_gives_its_layers():
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(2, 3, rngs=rngs), nnx.relu, nnx.Linear(3, 1, rngs=rngs))
    assert list(model) == [model.layers[0], nnx.relu, model.layers[2]]
    assert list(nnx.Sequential()) == []


def _plus(x):
    return x + 1


def _scaled(x, scale, bias=0):
    return x * scale + bias


def _scaled_by_name(x, *, scale=1):
    return x * scale


@pytest.mark.parametrize(
    ("layers", "args", "kwargs", "want"),
    [
        ([_scaled_by_name, _plus, _scaled_by_name], (2,), {"scale": 3}, 21),
        ([_plus, _scaled], (2,), {"scale": 3, "bias": 1}, 10),
        ([_plus, _plus], (2,), {"scale": 3}, 4),  # nobody takes it
        ([lambda x: {"x": x, "bias": 7}, _scaled], (2,), {"scale": 3}, 13),
        ([lambda x: (x, 5), _scaled], (2,), {"scale": 3}, 10),  # by position already
        ([_plus, lambda x, /, **kw: (x, kw)], (1,), {"x": 2}, (2, {"x": 2})),
        ([_plus, lambda x, **kw: (x, kw)], (), {"x": 2}, (3, {})),
        ([max], (2, 3), {"scale": 3}, 3),  # has no signature
        ([nnx.Sequential(_scaled_by_name, _plus), _scaled_by_name], (2,), {"scale": 3}, 21),
        ([functools.partial(_scaled, scale=2)], (3,), {"scale": 5}, 15),
        ([nnx.jit(_scaled_by_name)], (3,), {"scale": 5}, 15),
    ],
)
def test_sequential_hands_keywords_to_each_layer_that_takes_them(layers, args, kwargs, want):
    assert nnx.Sequential(*layers)(*args, **kwargs) == want


def test_sequential_switches_its_layers():
    model = nnx.Sequential(nnx.Dropout(0.5, rngs=nnx.Rngs(0)), lambda x: 2 * x)
    assert_exact(model(jnp.ones(3), deterministic=True), 2 * jnp.ones(3))


@pytest.mark.parametrize("taker", [_scaled, lambda x, **kw: x, lambda x, scale=0: x])
def test_sequential_refuses_a_name_that_comes_twice(taker):
    model = nnx.Sequential(_plus, lambda x: {"x": x, "scale": 7}, taker)
    assert model(1) == nnx.Sequential(_plus, lambda x: {"x": x, "scale": 7}, taker)(1, bias_of=3)
    with pytest.raises(TypeError, match=r"multiple values for .* 'scale' in Sequential\[2\]"):
        model(1, scale=3)
    layers = nnx.Sequential(lambda x: {"inputs": x}, nnx.Linear(1, 1, rngs=nnx.Rngs(0)))
    with pytest.raises(TypeError, match=r"'inputs' in Sequential\[1\], which is a Linear"):
        layers(1, inputs=3)


class Block(nnx.Module):
    """A module with modes."""

    def __init__(self):
        self.deterministic = False
        self.use_running_average = False
        self.kept = 1


def test_attributes_are_set_throughout():
    model = nnx.Dict(a=Block(), b=nnx.List([Block()]))
    model.eval(kept=2)
    assert model.a.deterministic and model.b[0].use_running_average and model.b[0].kept == 2
    model.train()
    assert not model.a.deterministic
    model.set_attributes(nnx.filterlib.PathContains("a"), kept=3)
    assert (model.a.kept, model.b[0].kept) == (3, 2)
    with pytest.raises(ValueError, match=r"Could not find .* \['other'\]"):
        model.set_attributes(other=1)
    model.set_attributes(other=1, raise_if_not_found=False)


def test_sow_collects():
    block = Block()
    assert block.sow(nnx.Intermediate, "y", 1) and block.sow(nnx.Intermediate, "y", 2)
    assert block.y.get_value() == (1, 2)
    block.sow(nnx.Intermediate, "total", 5, reduce_fn=lambda old, new: old + new, init_fn=int)
    assert block.total.get_value() == 5
    with pytest.raises(ValueError, match="to be a Variable, got int"):
        block.sow(nnx.Intermediate, "kept", 1)
    with pytest.raises(ValueError, match="to be of type 'Cache', got 'Intermediate'"):
        block.sow(nnx.Cache, "y", 1)


def test_first_from():
    assert nnx.first_from(None, 0, 1, error_msg="none") == 0
    with pytest.raises(ValueError, match="no mode"):
        nnx.first_from(None, error_msg="no mode")
