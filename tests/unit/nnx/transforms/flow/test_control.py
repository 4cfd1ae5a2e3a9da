"""Branches and loops over modules: what changes, what is shared, what is refused."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.strict_trees import Strict
from tests.tolerance import assert_exact

from ramie import errors, nnx, struct
from ramie.core.tracing.trace import has_boxes
from ramie.trees.frozen import FrozenDict

modes = pytest.mark.parametrize(
    ("graph", "graph_updates"), [(True, True), (True, False), (False, False)]
)


class Counter(nnx.Module):
    def __init__(self):
        self.count = nnx.Variable(jnp.array(0))
        self.total = nnx.Variable(jnp.array(10))
        self.label = "counter"


def _values(counter):
    return int(counter.count[...]), int(counter.total[...])


@modes
def test_cond(graph, graph_updates):
    def count(c, by):
        c.count[...] += by
        return {"sum": c.count + c.total, "new": nnx.Param(c.count * 2)}

    def add(c, by):
        c.total[...] += by
        return {"sum": c.count + c.total, "new": nnx.Param(c.count * 2)}

    counter = Counter()
    for pred, want in ((True, (5, 10)), (nnx.Variable(jnp.array(False)), (5, 15))):
        out = nnx.cond(pred, count, add, counter, 5, graph=graph, graph_updates=graph_updates)
        assert _values(counter) == want and int(out["sum"]) == sum(want)
        assert isinstance(out["new"], nnx.Param) and int(out["new"][...]) == 10


@modes
def test_switch(graph, graph_updates):
    def adds(number):
        def branch(c):
            c.count[...] += number

        return branch

    counter, branches = Counter(), [adds(1), adds(10), lambda c: None]
    for index in (0, 1, 2, 7, -3):
        nnx.switch(index, branches, counter, graph=graph, graph_updates=graph_updates)
    assert _values(counter) == (12, 10)


def test_branches_may_change_structure_alike():
    def branch(value):
        def make(c):
            c.extra = nnx.Param(jnp.array(value))
            return c

        return make

    counter = Counter()
    assert nnx.cond(False, branch(1), branch(2), counter) is counter
    assert int(counter.extra[...]) == 2
    nnx.cond(True, lambda c: c.extra, lambda c: c.extra, counter)
    other = Counter()
    nnx.cond(
        True,
        lambda c: setattr(c, "extra", nnx.Param(1)),
        lambda c: None,
        other,
        graph_updates=False,
    )
    assert not hasattr(other, "extra")


def test_branches_that_differ_are_refused():
    def relabel(c):
        c.count.set_metadata(note="new")

    for first, last, match in (
        (lambda c: 1, lambda c: (1, 2), r"returns PyTreeDef\(\*\), .*number 1. returns"),
        (lambda c: nnx.Param(1), lambda c: nnx.BatchStat(1), "BatchStat"),
        (lambda c: setattr(c, "n", nnx.Param(1)), lambda c: None, r"only <lambda> \(number 0\)"),
        (
            lambda c: setattr(c, "a", nnx.Param(1)),
            lambda c: setattr(c, "b", nnx.Param(1)),
            r"only one has \[\(0, 'a'\), \(0, 'b'\)\]",
        ),
        (lambda c: setattr(c, "label", "a"), lambda c: setattr(c, "label", "b"), "other static"),
        (lambda c: None, relabel, "metadata|only relabel"),
    ):
        with pytest.raises(TypeError, match=match):
            nnx.cond(True, first, last, Counter())
    with pytest.raises(TypeError, match="do not match"):
        nnx.cond(True, lambda c: c.count.set_value(1.5), lambda c: None, Counter())


@pytest.mark.parametrize("graph_updates", [True, False])
def test_branches_with_shared_variables(graph_updates):
    shared = nnx.Variable(jnp.array(0))
    pair = nnx.Dict(a=shared, b=shared)

    def first(m, v):
        m.a[...] += 1
        v[...] += 1

    nnx.cond(True, first, lambda m, v: None, pair, shared, graph_updates=graph_updates)
    assert int(shared[...]) == 2 and pair.a is pair.b is shared
    with pytest.raises(ValueError, match="Duplicate"):
        nnx.cond(True, lambda m: None, lambda m: None, pair, graph=False)


def test_branches_may_read_what_belongs_to_an_outer_trace():
    counter = Counter()

    @jax.jit
    def read(pred):
        return nnx.cond(pred, lambda c: c.count + 1, lambda c: c.total + 0, counter)

    assert int(read(False)) == 10

    @jax.jit
    def write(pred):
        nnx.cond(pred, lambda c: c.count.set_value(c.count + 1), lambda c: None, counter)

    with pytest.raises(errors.TraceContextError, match="Cannot mutate Variable"):
        write(True)


def test_gradients_through_branches():
    class Scale(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.array(3.0))

    def loss(m, pred):
        return nnx.cond(pred, lambda m: m.w**2, lambda m: -m.w, m)

    slopes = [float(nnx.grad(loss)(Scale(), jnp.array(pred)).w[...]) for pred in (True, False)]
    assert slopes == [6.0, -1.0]


# --- loops ----------------------------------------------------------------------------------------


@modes
def test_while_loop(graph, graph_updates):
    def body(carry):
        counter, x, i = carry
        counter.count[...] += i
        return counter, x * 2, i + 1

    counter = Counter()
    out, x, i = nnx.while_loop(
        lambda carry: carry[2] < 4,
        body,
        (counter, jnp.ones(2), 0),
        graph=graph,
        graph_updates=graph_updates,
    )
    assert _values(counter) == (6, 10) and int(i) == 4
    assert_exact(x, np.full(2, 16, np.float32))
    assert out.count is counter.count and (out is counter) is graph_updates


@modes
def test_fori_loop(graph, graph_updates):
    total = nnx.Variable(jnp.array(0))

    def body(i, total):
        total[...] += i
        return total

    for upper in (4, jnp.array(3)):
        out = nnx.fori_loop(0, upper, body, total, graph=graph, graph_updates=graph_updates)
        assert out is total
    assert int(total[...]) == 9
    unrolled = nnx.fori_loop(0, 4, lambda i, x: x + i, 1, unroll=2, graph=graph)
    assert int(unrolled) == 7


@modes
def test_loops_refuse_other_structures(graph, graph_updates):
    def run(body, init=None):
        nnx.while_loop(
            lambda carry: carry[0] < 2,
            lambda carry: (carry[0] + 1, body(*carry)),
            (0, Counter() if init is None else init),
            graph=graph,
            graph_updates=graph_updates,
        )

    with pytest.raises(ValueError, match="same pytree structure"):
        run(lambda i, c: (c, c.count))
    with pytest.raises(ValueError, match=r"identity must be preserved.*\(1, 'count'\)"):
        run(lambda i, c: nnx.clone(c))
    with pytest.raises(ValueError, match=r"identity must be preserved.*\(1, 0\)"):
        run(lambda i, pair: pair[::-1], (nnx.Param(1), nnx.Param(2)))

    def relabel(i, counter):
        counter.label = "other"
        return counter

    def replace(i, counter):
        counter.count = nnx.Variable(counter.count + 1)
        return counter

    def extend(i, counter):
        counter.extra = nnx.Variable(i)
        return counter

    for body in (relabel, extend, lambda i, c: c.count, lambda i, c: i):
        with pytest.raises(ValueError, match="reference and pytree structure"):
            run(body)
    with pytest.raises(ValueError, match="identity must be preserved"):
        run(replace)
    with pytest.raises(ValueError, match="reference and pytree structure"):
        run(lambda i, v: nnx.BatchStat(v[...]), nnx.Param(jnp.array(1)))
    with pytest.raises(TypeError):
        run(lambda i, x: x + 0.5, jnp.zeros((), jnp.int32))


@pytest.mark.parametrize("graph_updates", [True, False])
def test_loops_with_shared_objects(graph_updates):
    counter = Counter()

    def body(i, carry):
        first, second = carry
        first.count[...] += 1
        return first, second

    first, second = nnx.fori_loop(0, 3, body, (counter, counter), graph_updates=graph_updates)
    assert first is second and _values(counter) == (3, 10)
    with pytest.raises(ValueError, match="Duplicate"):
        nnx.fori_loop(0, 3, body, (counter, counter), graph=False)


def test_fori_loop_may_carry_new_objects_with_updates():
    def double(i, counter):
        other = nnx.clone(counter)
        other.count[...] = other.count * 2 + 1
        return other

    counter, total = Counter(), nnx.Variable(jnp.array(0))
    out = nnx.fori_loop(0, 3, double, counter)
    assert _values(out) == (7, 10) and _values(counter) == (0, 10) and out is not counter
    pair = nnx.fori_loop(0, 3, lambda i, pair: (double(i, pair[0]),) * 2, (counter, counter))
    assert pair[0] is pair[1] and _values(pair[0]) == (7, 10)

    def body(i, carry):
        counter, total, state = carry
        counter.count[...] += 1
        return counter, nnx.Variable(total + i), jax.tree.map(lambda x: x + 1, state)

    out, summed, state = nnx.fori_loop(0, 4, body, (counter, total, nnx.state(Counter())))
    assert out is counter and _values(counter) == (4, 10)
    assert int(summed[...]) == 6 and int(total[...]) == 0 and int(state.total[...]) == 14
    for wrong in (lambda i, pair: pair[::-1], lambda i, pair: (pair[1], nnx.Param(1))):
        with pytest.raises(ValueError, match="identity must be preserved"):
            nnx.fori_loop(0, 2, wrong, (nnx.Param(1), nnx.Param(2)))
    with pytest.raises(ValueError, match="identity must be preserved"):
        nnx.fori_loop(0, 3, double, counter, graph_updates=False)

    def replace(i, counter):
        counter.count = nnx.Variable(counter.count + 1)
        return counter

    with pytest.raises(ValueError, match="identity must be preserved"):
        nnx.fori_loop(0, 3, replace, counter)


def test_arrays_that_are_attributes():
    class Holder(nnx.Module):
        def __init__(self):
            self.array = jnp.zeros(2)
            self.inner = nnx.data([jnp.array(1.0)])

    def body(i, holder):
        holder.array = holder.array + 1
        holder.inner[0] = holder.inner[0] * 2
        return holder

    holder = Holder()
    assert nnx.fori_loop(0, 3, body, holder) is holder
    assert_exact(holder.array, np.full(2, 3, np.float32))
    assert float(holder.inner[0]) == 8.0
    other = Holder()
    out = nnx.fori_loop(0, 3, body, other, graph=False)
    assert float(out.inner[0]) == 8.0 and float(other.inner[0]) == 1.0


@pytest.mark.parametrize("kind", ["ref", "hijax"])
@modes
def test_cells_are_shared_with_branches_and_rounds(kind, graph, graph_updates):
    options = {"graph": graph, "graph_updates": graph_updates}
    cell = nnx.Variable(jnp.array(0.0), **{kind: True})

    def add(x, v):
        v[...] += x

    def body(i, carry):
        v, total = carry
        v[...] += 1
        return v, total + v

    if kind == "hijax" and not has_boxes():
        with pytest.raises(errors.ImmutableVariableError, match="ref=True"):
            nnx.cond(True, add, lambda x, v: None, jnp.array(5.0), cell, **options)
        with pytest.raises(errors.ImmutableVariableError, match="ref=True"):
            nnx.fori_loop(0, 3, body, (cell, 0.0), **options)
        cell[...] = 7.0
        read = nnx.cond(True, lambda v: v + 1, lambda v: v - 1, cell, **options)
        out, total = nnx.fori_loop(0, 3, lambda i, c: (c[0], c[1] + c[0]), (cell, 0.0), **options)
        assert (float(read), float(out[...]), float(total)) == (8, 7, 21)
        return
    nnx.cond(True, add, lambda x, v: None, jnp.array(5.0), cell, **options)
    same, total = nnx.fori_loop(0, 3, body, (cell, 0.0), **options)
    assert same is cell and float(cell[...]) == 8.0 and float(total) == 21.0


def test_condition_changes_nothing():
    counter = Counter()

    def condition(carry):
        carry[0].count[...] += 100
        return nnx.Variable(carry[1] < 2)

    nnx.while_loop(condition, lambda carry: (carry[0], carry[1] + 1), (counter, 0))
    assert _values(counter) == (0, 10)


@struct.dataclass
class Held:
    x: object


Pair = collections.namedtuple("Pair", "x y")
CONTAINERS = {
    "tuple": lambda x: (x, 2 * x),
    "namedtuple": lambda x: Pair({"a": x}, x),
    "struct": lambda x: Held((x,)),
    "in a list": lambda x: [(x, [Held(x)])],
    "in a dict": lambda x: {"a": Pair(x, (x,))},
    "FrozenDict": lambda x: FrozenDict(a={"b": x}),
    "optimizer": lambda x: optax.adam(0.1).init({"w": x}),
    "strict": lambda x: Strict(x, x),
}


@modes
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("loop", ["while_loop", "fori_loop"])
def test_arrays_in_containers_that_cannot_change_are_carried(loop, container, graph, graph_updates):
    class Model(nnx.Module):
        def __init__(self):
            self.held = nnx.data(CONTAINERS[container](jnp.ones(2)))
            self.kept = nnx.data((jnp.zeros(3),))

    def grow(model):
        model.held = jax.tree.map(lambda leaf: leaf + 1, model.held)
        return model

    options = {"graph": graph, "graph_updates": graph_updates}
    model = Model()
    kept = model.kept
    expected = jax.tree.map(lambda leaf: leaf + 3, model.held)
    if loop == "fori_loop":
        out = nnx.fori_loop(0, 3, lambda _, model: grow(model), model, **options)
    else:
        body = lambda carry: (grow(carry[0]), carry[1] + 1)
        out, _ = nnx.while_loop(lambda carry: carry[1] < 3, body, (model, 0), **options)
    assert jax.tree.structure(out.held) == jax.tree.structure(expected)
    for got, want in zip(jax.tree.leaves(out.held), jax.tree.leaves(expected), strict=True):
        assert_exact(got, want)
    if graph_updates:
        assert out is model
        assert model.kept is kept
