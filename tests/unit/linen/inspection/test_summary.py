"""Tables of modules: which rows, what is counted, how it is written."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.strict_trees import Strict

from ramie import errors, struct
from ramie import linen as nn
from ramie.core.inspection.summary_text import (
    ShownArray,
    ShownObject,
    bytes_text,
    describe,
    outline,
)
from ramie.linen import summary

KEY = jax.random.key(0)
X = jax.ShapeDtypeStruct((2, 3), jnp.float32)
FLOAT = jnp.dtype("float32")
PLAIN = {"force_terminal": False, "no_color": True, "width": 200}

DOCUMENTED = """\
                                Foo Summary
┏━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━┓
┃ path    ┃ module ┃ inputs        ┃ outputs       ┃ params               ┃
┡━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━┩
│         │ Foo    │ float32[16,9] │ float32[16,2] │                      │
├─────────┼────────┼───────────────┼───────────────┼──────────────────────┤
│ Dense_0 │ Dense  │ float32[16,9] │ float32[16,4] │ bias: float32[4]     │
│         │        │               │               │ kernel: float32[9,4] │
│         │        │               │               │                      │
│         │        │               │               │ 40 (160 B)           │
├─────────┼────────┼───────────────┼───────────────┼──────────────────────┤
│ Dense_1 │ Dense  │ float32[16,4] │ float32[16,2] │ bias: float32[2]     │
│         │        │               │               │ kernel: float32[4,2] │
│         │        │               │               │                      │
│         │        │               │               │ 10 (40 B)            │
├─────────┼────────┼───────────────┼───────────────┼──────────────────────┤
│         │        │               │         Total │ 50 (200 B)           │
└─────────┴────────┴───────────────┴───────────────┴──────────────────────┘

                       Total Parameters: 50 (200 B)
"""


def rows(module, *args, depth=None, show_repeated=False, flops=False, **kwargs):
    make = summary._get_module_table(module, depth, show_repeated, flops, flops)
    return make(KEY, *args, **kwargs)


def shown(value):
    return ["".join(text for text, _ in line) for line in outline(describe(value))]


class Block(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x, scale=1.0):
        self.param("gain", nn.initializers.ones, ())
        return nn.Dense(self.width)(x) * scale


class Net(nn.Module):
    def setup(self):
        self.first = Block(4)
        self.second = Block(2)

    def __call__(self, x):
        return self.second(self.first(x, scale=2.0)), self.first(x)


def test_rows_are_in_the_order_of_calls():
    table = rows(Net(), X)
    assert [row.path for row in table] == [
        (),
        ("first",),
        ("first", "Dense_0"),
        ("second",),
        ("second", "Dense_0"),
    ]
    assert [type(row.module_copy).__name__ for row in table[:3]] == ["Net", "Block", "Dense"]
    assert table[1].inputs == (
        ShownArray((2, 3), jnp.dtype("float32")),
        {"scale": ShownObject(2.0)},
    )
    assert table[0].outputs[0] == ShownArray((2, 2), jnp.dtype("float32"))


def test_every_call_has_a_row_on_request():
    table = rows(Net(), X, show_repeated=True)
    assert [row.path for row in table].count(("first",)) == 2
    again = table[-2]
    assert (again.path, again.module_variables, again.counted_variables) == (("first",), {}, {})


@pytest.mark.parametrize("depth", [0, 1, 2, None])
def test_totals_do_not_depend_on_depth(depth):
    table = rows(Net(), X, depth=depth)
    sizes = [row.size_and_bytes(["params"])["params"] for row in table]
    total = 3 * 4 + 4 + 4 * 2 + 2 + 2
    assert (sum(s for s, _ in sizes), sum(b for _, b in sizes)) == (total, 4 * total)
    assert len(table) == {0: 1, 1: 3}.get(depth, 5)
    own = table[0].module_variables["params"]
    assert own == {}


def test_variables_of_modules_that_are_not_called_belong_to_the_one_above():
    class Tied(nn.Module):
        @nn.compact
        def __call__(self, x):
            table = nn.Embed(5, 3)
            return table.embedding.sum() + x

    (row,) = rows(Tied(), X)
    assert jax.tree.map(lambda v: v.shape, row.module_variables) == {
        "params": {"Embed_0": {"embedding": (5, 3)}}
    }


def test_a_call_that_fails_and_is_caught_has_no_row():
    class Cautious(nn.Module):
        @nn.compact
        def __call__(self, x):
            try:
                nn.Dense(3, name="fails")(x, x)
            except TypeError:
                return nn.Dense(2, name="works")(x)

    assert [row.path for row in rows(Cautious(), X)] == [(), ("works",)]


def test_other_methods_are_named():
    class Coder(nn.Module):
        def setup(self):
            self.dense = nn.Dense(2)

        def encode(self, x):
            return self.squash(self.dense(x))

        @nn.nowrap
        def squash(self, x):
            return jnp.tanh(x)

    text = Coder().tabulate(KEY, X, method="encode", show_repeated=True, console_kwargs=PLAIN)
    assert "Coder (encode)" in text
    assert "squash" not in text
    with pytest.raises(AttributeError, match="decode"):
        Coder().tabulate(KEY, X, method="decode")


def test_operations_are_counted_forward_and_backward():
    (row,) = rows(nn.Dense(4), X, flops=True)
    product = 2 * 2 * 3 * 4
    assert row.flops == product + 2 * 4
    # Three products, the bias added, its gradient summed, and what the variables add as outputs.
    assert row.vjp_flops == 3 * product + 2 * 4 + 4 + 3 * 4 + 4


def test_operations_inside_shared_and_lifted_modules_are_counted():
    class Shared(nn.Module):
        inner: Any

        def __call__(self, x):
            return self.inner(x) + 1

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            inner = nn.Dense(3)
            steps = nn.scan(
                Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=5
            )
            return steps()(Shared(inner)(x) + inner(x), None)

    class Step(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.Dense(3)(x), None

    table = rows(Outer(), X, flops=True)
    cost = {"/".join(row.path): row.flops for row in table}
    assert cost["Dense_0"] == cost["ScanStep_0/Dense_0"] == 2 * 2 * 3 * 3 + 2 * 3
    assert cost["Shared_0"] == cost["Dense_0"] + 2 * 3
    stacked = table[-1].module_variables["params"]["kernel"]
    assert stacked.shape == (5, 3, 3)


def test_no_value_is_needed_and_none_leaks():
    with jax.check_tracer_leaks(True):
        table = rows(Net(), X, flops=True)
    assert len(table) == 5


def test_the_table_is_the_documented_one():
    class Foo(nn.Module):
        @nn.compact
        def __call__(self, x):
            h = nn.Dense(4)(x)
            return nn.Dense(2)(h)

    text = Foo().tabulate(KEY, jnp.ones((16, 9)), console_kwargs=PLAIN)
    assert [line.rstrip() for line in text.splitlines()[1:-1]] == DOCUMENTED.splitlines()


def test_collections_stand_in_alphabetical_order_and_can_be_chosen():
    class Sower(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.sow("intermediates", "seen", x)
            return nn.BatchNorm(use_running_average=False)(x)

    assert rows(Sower(), X).collections == ("batch_stats", "params")
    everything = rows(Sower(), X, mutable=True)
    assert everything.collections == ("batch_stats", "intermediates", "params")
    with pytest.raises(errors.ScopeCollectionNotFound, match="batch_stats"):
        Sower().tabulate(KEY, X, mutable="params")


def test_console_table_and_columns_can_be_set():
    text = nn.Dense(2).tabulate(
        KEY,
        X,
        console_kwargs={"force_terminal": False, "width": 60},
        table_kwargs={"title": "[bold]Mine[/bold]", "show_footer": False},
        column_kwargs={"justify": "right"},
    )
    assert "Mine" in text.splitlines()[1]
    assert "Total Parameters" in text
    assert "Total │" not in text
    assert max(len(line) for line in text.splitlines()) <= 60
    assert "\x1b[1m" in nn.Dense(2).tabulate(KEY, X, console_kwargs={"force_terminal": True})


def test_collections_are_counted_apart():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(use_running_average=False)(nn.Dense(4)(x))

    wide = Normed().tabulate(KEY, X, console_kwargs=PLAIN)
    assert "Total Parameters: 32 (128 B) = batch_stats 8 (32 B) + params 24 (96 B)" in wide
    narrow = Normed().tabulate(KEY, X, console_kwargs={**PLAIN, "width": 50})
    for whole in ("kernel: float32[3,4]", "batch_stats 8 (32 B)", "+ params 24 (96 B)"):
        assert whole in narrow
    assert max(map(len, narrow.splitlines())) <= 50


def test_a_shared_parameter_is_counted_once():
    class Tied(nn.Module):
        @nn.compact
        def __call__(self, x):
            table = nn.Embed(5, 3)
            return table.attend(table(jnp.zeros(2, int)) + x)

    for show_repeated in (False, True):
        text = Tied().tabulate(KEY, X, show_repeated=show_repeated, console_kwargs=PLAIN)
        assert text.count("embedding: float32[5,3]") == 1
        assert "Total Parameters: 15 (60 B)" in text


def test_text_of_the_user_is_no_markup():
    class Echo(nn.Module):
        def __call__(self, text):
            return text

    assert "[bold]x[/bold] :smile:" in Echo().tabulate(
        {}, "[bold]x[/bold] :smile:", console_kwargs=PLAIN
    )


# How values are written ------------------------------------------------------------------------


class Named(struct.PyTreeNode):
    array: Any
    name: str = struct.field(pytree_node=False, default="fixed")


@jax.tree_util.register_pytree_node_class
class Custom:
    def __init__(self, held):
        self.held = held

    def tree_flatten(self):
        return (self.held,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


@dataclasses.dataclass
class Record:
    size: int


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (np.ones((2, 3), np.int64), ["int32[2,3]"]),
        (KEY, ["key<fry>[]"]),
        (float, ["float32[]"]),
        (jnp.bfloat16, ["bfloat16[]"]),
        (np.dtype("int8"), ["int8[]"]),
        (1 + 2j, ["complex64[]"]),
        (None, ["None"]),
        (np.float64(0.5), ["np.float64(0.5)"]),
        ("text", ["text"]),
        (str, ["<class str>"]),
        (np.array(["a"]), ["array([a], dtype=<U1)"]),
        ({}, []),
        ([], []),
        ([[]], ["- []"]),
        ({"a": {}}, ["a: {}"]),
        ({"b": [1, {"c": 2, "d": 3}], "a": 0}, ["a: 0", "b:", "- 1", "- c: 2", "  d: 3"]),
        ([[1, 2], {"a": [3]}], ["- - 1", "  - 2", "- a:", "  - 3"]),
        ({2: 0, "1": 0}, ["1: 0", "2: 0"]),
        (Record(3), ["Record(size=3)"]),
        (Named(np.ones(2, np.float32)), ["array: float32[2]", "name: fixed"]),
        (Custom({"x": 1}), ["- x: 1"]),
        (nn.Partitioned(np.ones(2, bool), ("a",)), ["bool[2] P(a,)"]),
        (nn.Partitioned({"x": 1}, ("a",)), ["x: 1"]),
        (nn.Partitioned(np.ones((2, 2), bool), (None, ("a", "b"))), ["bool[2,2] P(None, (a, b))"]),
    ],
)
def test_how_a_value_is_written(value, lines):
    assert shown(value) == lines


def test_a_repr_of_many_lines_becomes_one():
    (line,) = shown([nn.Dense(3)])
    assert line.startswith("- Dense( # attributes features = 3 ")


def test_bytes_are_written_in_decimal_units():
    sizes = [0, 1000, 1001, 10**6, 10**6 + 1, 10**9 + 1, 10**13]
    assert [bytes_text(size) for size in sizes] == [
        "0 B",
        "1,000 B",
        "1.0 KB",
        "1,000.0 KB",
        "1.0 MB",
        "1.0 GB",
        "10,000.0 GB",
    ]


def test_a_class_that_looks_at_its_fields_is_shown():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            w = self.param("w", lambda key: Strict(jnp.ones(2), jnp.ones(3)))
            self.variable("state", "steps", lambda: 0)
            return Strict(x.a + w.a, 2 * x.b)

    options = {"compute_flops": True, "compute_vjp_flops": True, "console_kwargs": PLAIN}
    text = nn.tabulate(Model(), jax.random.key(0), **options)(Strict(jnp.ones(2), jnp.ones(4)))
    for shape in ("float32[2]", "float32[3]", "float32[4]", "steps: int32[]", "5 (20 B)"):
        assert shape in text
