"""What a program switches around calls holds in its own thread or asynchronous task only."""

import asyncio
import contextlib
import contextvars
import functools
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest
from tests.unit.linen.sample_modules import KEY, Affine, X

import ramie.linen as nn

VARIABLES = Affine(2).init(KEY, X)


def has_names():
    """Tell whether equations carry the module's name; traced anew each time."""
    traced = jax.make_jaxpr(lambda v, x: Affine(2).apply(v, x))(VARIABLES, X)
    return any("Affine" in str(e.source_info.name_stack) for e in traced.jaxpr.eqns)


def intercepting(names, name):
    def note(next_fun, args, kwargs, about):
        names.append(name)
        return next_fun(*args, **kwargs)

    return nn.intercept_methods(note)


def heard_by(names):
    names.clear()
    Affine(2).apply(VARIABLES, X)
    return list(names)


RULES = [("batch", "data")]

# How to switch something for a `with` block, and how to see whether it is switched.
SWITCHES = {
    "named calls": (lambda _: nn.override_named_call(False), lambda _: not has_names()),
    "interception": (lambda heard: intercepting(heard, "it"), lambda heard: bool(heard_by(heard))),
    "axis rules": (
        lambda _: nn.logical_axis_rules(RULES),
        lambda _: nn.get_logical_axis_rules() == RULES,
    ),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_tasks_do_not_see_each_others_switches(name):
    switch, is_on = SWITCHES[name]
    heard = []

    async def task(wants, turn, other_turn):
        seen = []
        with switch(heard) if wants else contextlib.nullcontext():
            for _ in range(3):  # the other task goes on while this one is inside of its block
                turn.set()
                await other_turn.wait()
                other_turn.clear()
                seen.append(is_on(heard))
        turn.set()
        return seen, is_on(heard)

    async def both():
        one, two = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(task(True, one, two), task(False, two, one))

    assert asyncio.run(both()) == [([True] * 3, False), ([False] * 3, False)]


@pytest.mark.parametrize("name", SWITCHES)
def test_threads_do_not_see_each_others_switches(name):
    switch, is_on = SWITCHES[name]
    heard = []
    with ThreadPoolExecutor(1) as other, switch(heard):
        assert is_on(heard)
        assert not other.submit(is_on, heard).result()


def test_switching_off_for_good_stays_in_the_thread():
    def switch_off():
        nn.disable_named_call()
        off = has_names()
        nn.enable_named_call()
        return off, has_names()

    with ThreadPoolExecutor(1) as other:
        assert other.submit(nn.disable_named_call).result() is None
        assert not other.submit(has_names).result()
        assert has_names()
        assert other.submit(switch_off).result() == (False, True)


def test_a_copied_context_takes_the_switches_along():
    with ThreadPoolExecutor(1) as other, nn.override_named_call(False):
        seen = other.submit(contextvars.copy_context().run, has_names).result()
    assert not seen


def test_interceptors_of_tasks_end_in_any_order():
    heard = []

    async def task(name, entered, leave):
        with intercepting(heard, name):
            entered.set()
            await leave.wait()
            return heard_by(heard)

    async def first_in_first_out():
        events = [asyncio.Event() for _ in range(4)]
        one = asyncio.create_task(task("one", *events[:2]))
        await events[0].wait()
        two = asyncio.create_task(task("two", *events[2:]))
        await events[2].wait()
        events[1].set()
        first = await one
        events[3].set()
        return first, await two

    assert asyncio.run(first_in_first_out()) == (["one"], ["two"])
    assert heard_by(heard) == []


def test_a_compiled_method_is_compiled_anew_when_names_are_switched():
    class Model(nn.Module):
        @functools.partial(nn.jit)
        @nn.compact
        def __call__(self, x):
            return Affine(2, name="layer")(x)

    def named(variables):
        traced = jax.make_jaxpr(lambda v, x: Model().apply(v, x))(variables, X)
        return "layer" in traced.jaxpr.pretty_print(name_stack=True, use_color=False)

    variables = Model().init(KEY, X)
    assert named(variables)
    with nn.override_named_call(False):
        assert not named(variables)
    assert named(variables)
