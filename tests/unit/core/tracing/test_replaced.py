"""What was replaced in the library: told at once, and forgotten when it is put back."""

import importlib
import subprocess
import sys
import textwrap
import threading

import pytest

import ramie.linen as nn
from ramie import nnx
from ramie.core.scope.scope import Scope
from ramie.core.tracing.replaced import replaced
from ramie.linen.layers import linear as linear_of_linen
from ramie.ops import linear

PLACES = {
    "a method of a layer": (nn.Dense, "__call__"),
    "a method of all modules": (nn.Module, "param"),
    "a method of a layer of NNX": (nnx.Linear, "__call__"),
    "a property": (nn.Module, "variables"),
    "a class method": (nnx.Variable, "_make"),
    "a class of no modules": (Scope, "param"),
    "a function where it is defined": (linear, "dense"),
    "a name where it is imported": (linear_of_linen, "Module"),
    "a name of a package": (nn, "relu"),
    "a class": (nnx, "Linear"),
}


@pytest.fixture(scope="module", autouse=True)
def _all_is_loaded():
    for owner, name in PLACES.values():
        getattr(owner, name)


@pytest.mark.parametrize(("owner", "name"), PLACES.values(), ids=PLACES)
def test_what_is_replaced_is_told_until_it_is_put_back(owner, name, monkeypatch):
    before = replaced()
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: None)
    once = replaced()
    assert once != before and replaced() == once
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: None)
    assert replaced() not in (before, once)
    monkeypatch.undo()
    assert replaced() == before


def test_no_way_to_write_passes_by(monkeypatch):
    before = replaced()
    monkeypatch.setitem(vars(nn), "relu", abs)
    assert replaced() != before
    monkeypatch.undo()
    assert replaced() == before
    call = vars(nn.Dense)["__call__"]
    try:
        type.__setattr__(nn.Dense, "__call__", abs)
        assert replaced() != before
    finally:
        type.__setattr__(nn.Dense, "__call__", call)
    assert replaced() == before


def test_a_method_that_hides_an_inherited_one_and_one_that_is_taken_away(monkeypatch):
    assert nn.LSTMCell
    before = replaced()
    monkeypatch.setattr(nn.Dense, "param", nn.Module.param, raising=False)
    assert "param" in vars(nn.Dense) and replaced() != before
    monkeypatch.undo()
    assert replaced() == before
    monkeypatch.delattr(nn.LSTMCell, "__call__")
    assert replaced() != before
    monkeypatch.undo()
    assert replaced() == before


def test_what_is_imported_later_is_no_replacement(monkeypatch):
    before = replaced()
    importlib.import_module("ramie.interop.torch_layers")
    assert replaced() == before
    monkeypatch.setattr("ramie.ops.eager.replaced._all", None)
    assert replaced() != before
    monkeypatch.undo()
    assert replaced() == before


def test_classes_of_users_are_not_looked_at(monkeypatch):
    class Own(nn.Module):
        def __call__(self, x):
            return x

    before = replaced()
    monkeypatch.setattr(Own, "__call__", lambda self, x: 2 * x)
    assert replaced() == before


def test_threads_agree():
    expected, found = replaced(), []
    threads = [threading.Thread(target=lambda: found.append(replaced())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


LINEN = """
import jax, jax.numpy as jnp
import ramie.linen as nn

class Tower(nn.Module):
    @nn.compact
    def __call__(self, x):
        def body(self, x, _):
            return {name}, None
        return nn.scan(body, variable_broadcast="params", split_rngs={{"params": False}}, length=2)(
            self, x, None
        )[0]

x = jnp.ones((1, 3))
variables = Tower().init(jax.random.key(0), x)
def run():
    return float(Tower().apply(variables, x).sum())
"""
NNX = """
import jax, jax.numpy as jnp
from ramie import nnx

def branch(x):
    return {name}

def run():
    return float(nnx.cond(True, branch, lambda x: x, jnp.ones((1, 3))).sum())
"""


@pytest.mark.parametrize(
    ("program", "name", "owner"),
    [
        (LINEN, "nn.LayerNorm(use_scale=False, use_bias=False)(x + 1)", "nn.LayerNorm"),
        (NNX, "nnx.RMSNorm(3, rngs=nnx.Rngs(0))(x)", "nnx.RMSNorm"),
    ],
)
def test_what_only_the_first_call_has_loaded_may_be_replaced(program, name, owner):
    code = program.format(name=name) + textwrap.dedent(
        f"""
        run()
        {owner}.__call__ = lambda self, x: x * 0 + 7
        print(run())
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "21.0\n"
