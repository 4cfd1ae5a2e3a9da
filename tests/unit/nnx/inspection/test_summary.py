"""Tables of models: which rows there are, what stands in them, and what they cost."""

import jax
import jax.numpy as jnp
import pytest

from ramie import nnx

CONSOLE = {"force_terminal": False, "no_color": True, "width": 300}


def rows(text):
    """Return the cells of a table, without borders; lines of one row apart."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


class Inner(nnx.Module):
    def __init__(self):
        self.weight = nnx.Param(jnp.ones((2, 2)))
        self.seen = nnx.BatchStat(jnp.zeros(()))

    def __call__(self, x):
        self.seen[...] += 1
        return self.halved(x) @ self.weight[...]

    def halved(self, x):
        return x / 2


class Outer(nnx.Module):
    calls = 0

    def __init__(self):
        self.items = nnx.List([Inner(), nnx.Param(jnp.ones(3))])
        self.noise = nnx.Rngs(0).noise

    def __call__(self, x, flag=None):
        Outer.calls += 1
        self.items[0](x)
        return {"y": self.items[0](x) + self.noise.normal((1, 2)), "n": 1}


def test_rows_follow_the_calls():
    model = Outer()
    before = nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
    text = nnx.tabulate(model, jnp.ones((1, 2)), flag="on", console_kwargs=CONSOLE)
    assert text.splitlines()[0].strip() == "Outer Summary"
    table = rows(text)
    assert [row[:2] for row in table if row[1]] == [
        ["", "Outer"],
        ["items/0", "Inner"],
        ["items/0/halved", "Inner"],
    ]
    cells = [" ".join(column).split() for column in zip(*table[:3], strict=True)]
    assert cells[2] == ["-", "float32[1,2]", "flag:", "on"]
    assert cells[3] == ["n:", "1", "y:", "float32[1,2]"]
    assert cells[5][:6] == ["items:", "1:", "float32[3]", "7", "(28", "B)"] or "items:" in cells[5]
    assert table[-1][-3:] == ["1 (4 B)", "7 (28 B)", "2 (12 B)"]
    assert "Total Parameters: 10 (44 B)" in text
    assert nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)) == before


def test_rows_can_be_chosen():
    model, x = Outer(), jax.ShapeDtypeStruct((1, 2), jnp.float32)
    short = rows(nnx.tabulate(model, x, depth=2, console_kwargs=CONSOLE))
    assert [row[0] for row in short if row[1]] == ["", "items/0"]
    every = rows(nnx.tabulate(model, x, row_filter=lambda row: True, console_kwargs=CONSOLE))
    assert ["noise/normal", "RngStream"] in [row[:2] for row in every]
    one = nnx.tabulate(
        model.items[0],
        x,
        method="halved",
        table_kwargs={"title": "mine"},
        column_kwargs={"justify": "right"},
        console_kwargs=CONSOLE,
    )
    assert "mine" in one and [row[0] for row in rows(one) if row[1]] == ["halved"]


def test_operations_are_counted_in_one_trace():
    model, Outer.calls = Outer(), 0
    text = nnx.tabulate(
        model,
        jnp.ones((1, 2)),
        compute_flops=True,
        compute_vjp_flops=True,
        console_kwargs=CONSOLE,
    )
    assert Outer.calls == 1
    costs = {row[0]: (int(row[4]), int(row[5])) for row in rows(text) if row[4].isdigit()}
    assert costs["items/0/halved"][0] == 2
    assert costs["items/0"][0] >= 2 + 2 * 2 * 2
    assert costs[""][0] > 2 * costs["items/0"][0] > 0
    assert all(both > forward for forward, both in costs.values())


def test_models_that_cannot_be_called():
    state = nnx.Dict(a=nnx.Param(jnp.ones(2), note="n"), b=nnx.Dict(c=nnx.Param(jnp.ones(1))))
    table = rows(nnx.tabulate({"model": state}, console_kwargs=CONSOLE))
    assert [row[:2] for row in table if row[1]] == [
        ["", "dict"],
        ["model", "Dict"],
        ["model/b", "Dict"],
    ]
    text = nnx.tabulate(nnx.Param(jnp.ones(2)), console_kwargs=CONSOLE)
    assert "Total Parameters: 2 (8 B)" in text
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        nnx.tabulate(Inner())


def test_text_is_not_markup():
    model = nnx.Dict(a=nnx.Param(jnp.ones(1), note="[red]x[/red]"))
    assert "[red]x[/red]" in nnx.tabulate(model, console_kwargs=CONSOLE)
