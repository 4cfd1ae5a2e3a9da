"""Modules name what they compute."""

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from ramie import nnx
from ramie.nnx.inspection.call_names import named_calls


class Block(nnx.Module):
    def __init__(self, rngs):
        self.up = nnx.Linear(4, 4, rngs=rngs)

    def widened(self, x):
        return self.up(x)

    def __call__(self, x):
        return jnp.sin(self.widened(x))


class Net(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.List([Block(rngs), Block(rngs)])
        self.by_name = nnx.Dict({"odd/ (name)": nnx.Linear(4, 4, rngs=rngs)})
        self.tower = nnx.Repeat(lambda rngs: nnx.Linear(4, 4, rngs=rngs), 3, rngs=rngs, scan=True)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        x = self.by_name["odd/ (name)"](x)
        return self.tower(jnp.cos(x))


def names(program, *arguments):
    """Return for each operation the name stacks that it has, those inside of loops below them."""
    found = {}

    def look(jaxpr, outside):
        for line in jaxpr.eqns:
            stack = "/".join(filter(None, [outside, str(line.source_info.name_stack)]))
            found.setdefault(line.primitive.name, set()).add(stack)
            for inner in jaxprs_in_params(line.params):
                look(inner, stack)

    look(jax.make_jaxpr(program)(*arguments).jaxpr, "")
    return found


X = jnp.ones((2, 4))


def test_calls_have_the_path_of_their_module():
    model = Net(nnx.Rngs(0))
    with named_calls(model):
        found = names(lambda x: model(x), X)
    assert found["sin"] == {"Net/blocks/0", "Net/blocks/1"}
    assert found["cos"] == {"Net"}
    assert found["dot_general"] == {
        "Net/blocks/0/up",
        "Net/blocks/1/up",
        "Net/by_name/odd___name_",
        "Net/tower/layers",
    }
    assert found["scan"] == {"Net/tower"}
    again = names(lambda x: model(x), X)
    assert not any("Net" in stack for stacks in again.values() for stack in stacks)


def test_copies_have_the_place_of_what_was_copied():
    model = Net(nnx.Rngs(0))

    def program(model, x):
        for block in model.blocks:
            x = nnx.remat(lambda block, x: block(x))(block, x)
        return x

    class Whole(nnx.Module):
        def __init__(self):
            self.net = model

        def __call__(self, x):
            return program(self.net, x)

    whole = Whole()
    with named_calls(whole):
        found = names(lambda x: whole(x), X)
    assert found["sin"] == {"Whole/net/blocks/*"}
    assert found["dot_general"] == {"Whole/net/blocks/*/up"}


def test_gradients_keep_the_names_and_numbers_stay():
    model = Block(nnx.Rngs(0))
    loss = lambda model: jnp.sum(model(X))
    before = nnx.grad(loss)(model)
    with named_calls((model, {"other": 3})):
        graphdef, state = nnx.split(model)
        found = names(jax.grad(lambda state: loss(nnx.merge(graphdef, state))), state)
        assert found["cos"] == {"jvp(Block)"}
        after = nnx.grad(loss)(model)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, before, after))


def test_no_module_no_names():
    with named_calls({"x": X}):
        assert names(jnp.sin, X)["sin"] == {""}
