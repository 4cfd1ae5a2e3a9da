"""Copies of models that differ in attributes, and copies with other parts."""

import jax.numpy as jnp
import pytest

from ramie import nnx


class Gate(nnx.Module):
    def __init__(self, inner=None):
        self.is_open = True
        self.weight = nnx.Param(jnp.ones(2))
        self.inner = inner

    def set_view(self, is_open: bool | None = None, **kwargs):
        """Open or close.

        Args:
          is_open: whether anything
            passes.
        """
        if is_open is not None:
            self.is_open = is_open
        return kwargs


class Plain(nnx.Module):
    def set_view(self, size: int = 3):
        self.size = size


@pytest.mark.parametrize("graph", [True, False])
def test_a_view_shares_variables(graph):
    model = nnx.Dict(outer=Gate(Gate()))
    closed = nnx.view(model, is_open=False, graph=graph)
    assert not closed.outer.is_open and not closed.outer.inner.is_open and model.outer.is_open
    assert closed.outer.weight is model.outer.weight
    deepest = nnx.view(model, only=nnx.PathContains("inner"), is_open=False, graph=graph)
    assert deepest.outer.is_open and not deepest.outer.inner.is_open


def test_arguments_that_nobody_knows():
    with pytest.raises(ValueError, match=r"Unused keys found in nnx.view: \['other', 'some'\]"):
        nnx.view(Gate(), is_open=False, some=1, other=2)
    assert not nnx.view(Gate(), is_open=False, some=1, raise_if_not_found=False).is_open
    assert nnx.view(Plain(), size=5).size == 5
    with pytest.raises(ValueError, match="Unused keys"):
        nnx.view(Plain(), is_open=True)


def test_with_attributes():
    model = nnx.List([Gate(), Plain()])
    changed = nnx.with_attributes(model, is_open=False)
    assert not changed[0].is_open and model[0].is_open and not hasattr(changed[1], "is_open")
    with pytest.raises(ValueError, match=r"following attributes: \['unknown'\] in List"):
        nnx.with_attributes(model, unknown=1)
    with pytest.raises(ValueError, match="following attributes"):
        nnx.with_attributes(model, only=Plain, is_open=False)
    same = nnx.with_attributes(model, unknown=1, raise_if_not_found=False)
    assert nnx.graphdef(same) == nnx.graphdef(model)


def test_view_info_reads_docstrings():
    text = nnx.view_info(nnx.List([Gate(), Plain(), Gate()]))
    assert text.splitlines() == [
        "Gate:",
        "  is_open: bool | None = None",
        "    whether anything",
        "    passes.",
        "Plain:",
        "  set_view(self, size: int = 3)",
    ]
    assert nnx.view_info(nnx.Dict(a=Gate()), only=Plain) == ""


def test_recursive_map_goes_from_the_inside_out():
    shared = Gate()
    model = nnx.Dict(a=shared, b=[1, {"c": 2}], d=shared)
    seen = []

    def double(path, x):
        seen.append(path)
        return 2 * x if type(x) is int else x

    copied = nnx.recursive_map(double, model, graph=True)
    assert copied.b == [2, {"c": 4}] and model.b == [1, {"c": 2}]
    assert copied.a is copied.d and copied.a is not shared and copied.a.weight is shared.weight
    assert seen.index(("b", 0)) < seen.index(("b",)) < seen.index(())
    assert seen.count(("a",)) == 1 and ("d",) not in seen
    with pytest.raises(ValueError, match="found at paths"):
        nnx.recursive_map(double, model, graph=False)


def test_recursive_map_replaces_modules_and_finds_cycles():
    model = nnx.Dict(a=Gate(), t=nnx.data((Gate(), 3)))
    replaced = nnx.recursive_map(
        lambda path, x: nnx.Dict(old=x) if isinstance(x, Gate) else x, model
    )
    assert replaced.a.old.weight is model.a.weight and replaced.t[0].old.is_open
    model.self = model
    with pytest.raises(ValueError, match="Found a cycle"):
        nnx.recursive_map(lambda path, x: x, model, graph=True)
