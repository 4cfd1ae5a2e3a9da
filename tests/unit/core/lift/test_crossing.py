"""State on its way through a transformation: what goes in, what may be written, what comes out."""

import jax
import jax.numpy as jnp
import pytest

from ramie import core, errors
from ramie.core import lift
from ramie.core.lift.crossing import Lift, count_roots

KNOWN = {
    "params": {"a": {"w": 1.0, "b": {"w": 2.0}}, "c": {"w": 3.0}},
    "cache": {"a": {"seen": 0}},
    "stats": {"a": {"mean": 4.0}},
}
PASS = Lift((True,), (True,), (True,))


def crossed(fn, writes=(True,), reads=(True,), rngs=(True,), mutable=("cache",), name="lifted"):
    """Apply a function of the scope "a" through a crossing that changes nothing."""

    def outside(root):
        scope = root.push("a")
        with Lift(reads, writes, rngs, name).open(scope) as crossing:
            inner = crossing.enter(crossing.variables, crossing.rngs)
            y = fn(inner)
            crossing.commit(crossing.leave(inner))
        return y

    return core.apply(outside, mutable=list(mutable))(KNOWN, rngs={"params": jax.random.key(0)})


def test_collections_go_to_the_first_group_that_wants_them():
    def outside(root):
        lift = Lift((["params"], ["nothing", "cache"], True), (), ())
        with lift.open(root.push("a")) as crossing:
            return crossing.variables

    params, cache, rest = core.apply(outside)(KNOWN)
    assert params == ({"params": KNOWN["params"]["a"]},)
    assert cache == ({"cache": {"seen": 0}},)
    assert rest == ({"stats": {"mean": 4.0}},)


def test_what_is_written_inside_arrives_outside():
    def write(scope):
        scope.put_variable("cache", "seen", 1)
        scope.push("b").put_variable("cache", "new", 2)
        return scope.get_variable("params", "w")

    y, state = crossed(write)
    assert y == 1.0
    assert state == {"cache": {"a": {"seen": 1, "b": {"new": 2}}}}
    assert KNOWN["cache"] == {"a": {"seen": 0}}


def test_running_a_function_is_to_enter_call_and_leave():
    def outside(root):
        scope = root.push("a")
        with PASS.open(scope) as crossing:

            def write(inner, variables, *, rngs):
                inner.put_variable("cache", "seen", variables)
                return inner.get_variable("params", "w"), rngs

            # Arguments may be called as those of `run` itself.
            y, written = crossing.run(write, crossing.variables, crossing.rngs, 7, rngs=8)
            assert scope.get_variable("cache", "seen") == 0
            crossing.commit(written)
        return y

    y, state = core.apply(outside, mutable=["cache"])(KNOWN)
    assert y == (1.0, 8)
    assert state == {"cache": {"a": {"seen": 7}}}


def test_an_error_inside_leaves_the_outside_untouched():
    def outside(root):
        scope = root.push("a")
        with pytest.raises(ZeroDivisionError), PASS.open(scope) as crossing:
            inner = crossing.enter(crossing.variables, crossing.rngs)
            inner.put_variable("cache", "seen", 1)
            raise ZeroDivisionError
        return scope.get_variable("cache", "seen")

    assert core.apply(outside, mutable=["cache"])(KNOWN)[0] == 0


@pytest.mark.parametrize(
    ("writes", "mutable"), [((), ["cache"]), (("stats",), ["cache"]), ((True,), ["stats"])]
)
def test_writing_needs_permission_on_both_sides(writes, mutable):
    with pytest.raises(errors.ModifyScopeVariableError, match=r"lifted\(a\)"):
        crossed(lambda scope: scope.put_variable("cache", "seen", 1), writes, mutable=mutable)


def test_what_no_filter_matches_does_not_exist_inside():
    crossed(lambda scope: _assert_absent(scope), reads=("stats",), rngs=("dropout",))


def _assert_absent(scope):
    assert not scope.has_variable("params", "w")
    assert scope.has_variable("stats", "mean")
    assert not scope.has_rng("params")


def test_scopes_inside_end_with_the_crossing():
    escaped = []
    crossed(escaped.append)
    assert escaped[0].invalid
    with pytest.raises(errors.InvalidScopeError):
        escaped[0].put_variable("cache", "seen", 1)


def test_scopes_inside_stand_at_their_place():
    def look(scope):
        return scope.path, scope.debug_path, scope.name, scope.push("b").path

    y, _ = crossed(look, name="vmap")
    assert y == (("a",), ("vmap(a)",), "a", ("a", "b"))


def test_scopes_that_lie_in_each_other_are_lifted_once():
    def outside(root):
        a, c = root.push("a"), root.push("c")
        b = a.push("b")
        assert count_roots([a, b, c, a.rewound()]) == 2
        with PASS.open({"several": (b, a, c), "again": a}) as crossing:
            assert [scope.path for scope in crossing.roots] == [("a",), ("c",)]
            inner = crossing.enter(crossing.variables, crossing.rngs)
            b_in, a_in, c_in = inner["several"]
            assert b_in.parent is a_in
            assert inner["again"] is a_in
            b_in.put_variable("cache", "seen", 7)
            assert a_in.variables()["cache"]["b"] == {"seen": 7}
            crossing.commit(crossing.leave(inner))
        return b.get_variable("cache", "seen"), c_in.get_variable("params", "w")

    assert core.apply(outside, mutable=["cache"])(KNOWN)[0] == (7, 3.0)


def test_draws_are_counted_on_both_sides_together():
    def outside(root):
        scope = root.push("a")
        scope.make_rng()
        with PASS.open(scope) as crossing:
            inner = crossing.enter(crossing.variables, crossing.rngs)
            before = crossing.counts()
            inside = inner.make_rng()
            assert crossing.counts() != before
        return jax.random.key_data(inside), scope.rng_counters["params"]

    _, plain = core.apply(lambda root: _two_draws(root.push("a")))({}, rngs=jax.random.key(0))
    inside, count = core.apply(outside)({}, rngs=jax.random.key(0))
    assert (inside == plain).all()
    assert count == 2


def _two_draws(scope):
    return [jax.random.key_data(scope.make_rng()) for _ in range(2)]


def test_pack_transposes_what_goes_in():
    def transposed(scope_fn, repack_fn, variables, rngs, x):
        target, rest = variables
        scope = scope_fn((jax.tree.map(jnp.transpose, target), rest), rngs)
        return x @ scope.get_variable("params", "w"), repack_fn(scope)

    fn = lift.pack(transposed, ("params", True), (True,), (True,), name="transposed")
    x, w = jnp.ones((1, 3)), jnp.arange(6.0).reshape(2, 3)
    assert (core.apply(fn)({"params": {"w": w}}, x) == x @ w.T).all()


def test_pack_takes_keywords_only_on_request():
    def fn(scope_fn, repack_fn, variables, rngs, **kwargs):
        return kwargs, ()

    assert core.apply(lift.pack(fn, (), (), (), enable_kwargs=True))({}, a=1) == {"a": 1}
    with pytest.raises(TypeError, match="no keyword arguments"):
        core.apply(lift.pack(fn, (), (), ()))({}, a=1)
