"""Programs that are traced once give the bits of the function, and refuse what is not in them."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie.core.tracing.program import NotShared, Program

X, Y = jnp.linspace(0.1, 2.0, 7), jnp.linspace(-1.0, 1.0, 7)


def several_uses(x, y, n):
    return [jnp.sin(x) * y + x * x * n, x, jnp.exp(y) + x]


def evaluated(jaxpr, consts, operands):
    """Evaluate a program one operation at a time, whatever was compiled in it."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *operands], strict=True))
    for equation in jaxpr.eqns:
        values = [v.val if hasattr(v, "val") else known[v] for v in equation.invars]
        if equation.primitive.name == "jit":
            inner = equation.params["jaxpr"]
            results = evaluated(inner.jaxpr, inner.consts, values)
        else:
            results = equation.primitive.bind(*values, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        known.update(zip(equation.outvars, results, strict=True))
    return [known[v] for v in jaxpr.outvars]


def test_calls_give_what_the_function_gives():
    def both(x, y, n):
        program = Program(several_uses, [x, y, n], "several")
        return program([y, x, n]), several_uses(y, x, n)

    got, want = jax.jit(both)(X, Y, 3)
    for a, b in zip(got, want, strict=True):
        assert_exact(a, b)


def test_cotangents_are_added_in_the_order_of_the_function():
    def gradient(call):
        def loss(x, y):
            z = x * 1.3
            program = call([z, y, 2])
            total = sum(jnp.tanh(v).sum() for v in (*program([z, y, 2]), *program([y, z, 2])))
            return total + (z * y).sum() + jnp.cos(z).sum()

        closed = jax.make_jaxpr(jax.grad(loss, (0, 1)))(X, Y)
        return evaluated(closed.jaxpr, closed.consts, [X, Y])

    got = gradient(lambda operands: Program(several_uses, operands, "several"))
    want = gradient(lambda operands: lambda given: several_uses(*given))
    for a, b in zip(got, want, strict=True):
        assert_exact(a, b)


@pytest.mark.parametrize("activation", [jnp.sin, jax.nn.relu, jax.nn.gelu, jax.nn.softmax])
def test_what_is_kept_outside_is_found(activation):
    kept = []

    def keeps(x):
        kept.append(activation(x))
        return [kept[-1] * 2]

    def outside(x):
        Program(lambda x: [activation(x)], [x], "pure")([x])
        with pytest.raises(NotShared, match="keeps"):
            Program(keeps, [x], "keeps")
        kept.clear()
        return x

    jax.make_jaxpr(outside)(X)


def test_foreign_tracers_and_effects_are_refused():
    def outside(x, y):
        with pytest.raises(NotShared, match="no argument"):
            Program(lambda x: [x * y], [x], "captures")
        with pytest.raises(NotShared, match="effects"):
            Program(lambda x: [x, jax.debug.print("x")][:1], [x], "prints")
        with pytest.raises(NotShared, match="effects"):
            Program(lambda x: [jax.pure_callback(lambda x: x, x, x)], [x], "calls")
        return x

    jax.make_jaxpr(outside)(X, Y)


def test_an_operand_that_is_not_used():
    def outside(x, y):
        return Program(lambda x, y: [x + 1], [x, y], "one")([x, y])[0]

    assert_exact(jax.jit(outside)(X, Y), X + 1)
    assert_exact(jax.jit(jax.grad(lambda y: outside(X, y).sum()))(Y), jnp.zeros_like(Y))
