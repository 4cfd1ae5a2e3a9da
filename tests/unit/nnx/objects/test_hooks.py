"""What frameworks on top of NNX override and reach into."""

import jax
import jax.numpy as jnp
import pytest

from ramie import errors, nnx
from ramie.compat.paths.nnx import pytreelib, tracers


class Free(nnx.Module):
    """Changes anywhere while `free` is set, and notes what it was told."""

    free = False

    def __init__(self):
        self.count = 0

    def _check_valid_context(self, error_msg):
        if type(self).free:
            return
        super()._check_valid_context(error_msg)


def test_frameworks_override_the_check_of_the_transformation(monkeypatch):
    module = Free()

    def change(x):
        module.count += 1
        return x

    with pytest.raises(errors.TraceContextError, match="Cannot mutate 'Free'"):
        jax.jit(change)(1.0)
    monkeypatch.setattr(Free, "free", True)
    jax.jit(change)(2.0)
    assert module.count == 1


@pytest.mark.parametrize("change", ["set", "delete", "append", "update"])
def test_all_changes_ask_with_a_message(change):
    asked = []

    class Asking(nnx.List if change == "append" else nnx.Module):
        def _check_valid_context(self, error_msg):
            asked.append(error_msg())
            super()._check_valid_context(error_msg)

    module = Asking()
    module.x = 1
    other = Asking()
    other.x = 2
    asked.clear()
    if change == "set":
        module.x = 3
    elif change == "delete":
        del module.x
    elif change == "append":
        module.append(nnx.Param(1))
    else:
        module.x = nnx.data(jnp.ones(1))
    assert asked and all(text.startswith("Cannot mutate 'Asking'") for text in asked)


@pytest.mark.parametrize("pytree", [True, False])
def test_attributes_stored_past_setattr_belong_to_the_object(pytree):
    class Layer(nnx.Module, pytree=pytree):
        def __init__(self):
            self.kernel = nnx.Param(jnp.ones(2))
            object.__setattr__(self, "built", True)
            vars(self)["bias"] = nnx.Param(jnp.zeros(2))

    layer = Layer()
    assert sorted(nnx.state(layer)) == ["bias", "kernel"]
    for twin in (nnx.clone(layer), nnx.merge(*nnx.split(layer))):
        assert twin.built is True
        assert twin.bias.shape == (2,)
    grads = nnx.grad(lambda m: (m.kernel[...] + m.bias[...]).sum())(layer)
    assert sorted(grads) == ["bias", "kernel"]

    @nnx.jit
    def step(m):
        object.__setattr__(m, "built", "in a program")
        return m.bias + 1

    step(layer)
    assert layer.built == "in a program"


def test_a_variable_of_a_trace_may_be_handed_to_the_one_around_it():
    """Frameworks that infer shapes make variables under a trace that hold plain values."""
    outside = tracers.current_jax_trace()
    made = []

    def infer(x):
        variable = nnx.Param(0)
        assert variable._trace_state.is_valid()
        object.__setattr__(variable._trace_state, "_jax_trace", outside)
        assert not variable._trace_state.is_valid()
        made.append(variable)
        return x

    jax.eval_shape(infer, jnp.ones(2))
    (variable,) = made
    assert variable._trace_state.is_valid() and variable._trace_state.jax_trace is outside
    variable[...] = 5
    assert variable.get_value() == 5
    other = nnx.Param(1)
    object.__setattr__(other, "_trace_state", variable._trace_state)
    assert other._trace_state.is_valid()


def test_a_module_of_a_trace_may_be_handed_to_the_one_around_it():
    outside = tracers.current_jax_trace()
    made = []

    def infer(x):
        for handed in (True, False):
            module = nnx.Module()
            vars(module)["_pytree__state"] = pytreelib.PytreeState()
            if handed:
                state = vars(module)["_pytree__state"]._trace_state
                object.__setattr__(state, "_jax_trace", outside)
            made.append(module)
        return x

    jax.eval_shape(infer, jnp.ones(2))
    handed, left = made
    handed.count = 1
    assert handed.count == 1
    with pytest.raises(errors.TraceContextError):
        left.count = 1
