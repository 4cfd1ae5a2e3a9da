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


class Twice(nnx.Module):
    def __init__(self):
        self.first, self.second = Inner(), Inner()
        self.second.weight = self.first.weight
        self.third = nnx.Dict(again=self.first, own=nnx.Param(jnp.ones(3)))

    def __call__(self, x):
        return self.third.again(self.second(self.first(x)))


def test_tied_variables_are_counted_once_and_marked():
    text = nnx.tabulate(Twice(), jnp.ones((1, 2)), console_kwargs=CONSOLE)
    table = rows(text)
    assert "weight: float32[2,2] tied to first/weight" in text
    assert "third: again: tied to first" in " ".join(row[5] for row in table)
    sizes = {
        row[0]: cells[-1]
        for row in table
        if row[0]
        for cells in [
            [r[5] for r in table[table.index(row) :][:3] if r[5] and r[0] in ("", row[0])]
        ]
    }
    assert sizes["first"] == "4 (16 B)" and "(" not in sizes["second"]
    assert "Total Parameters: 9 (36 B) = BatchStat 2 (8 B) + Param 7 (28 B)" in text


def test_modules_that_are_not_called_mark_ties_too():
    tied = nnx.Dict(a=nnx.Dict(w=nnx.Param(jnp.ones(2))), b=nnx.Dict())
    tied.b.w = tied.a.w
    text = nnx.tabulate(tied, console_kwargs=CONSOLE)
    assert "w: float32[2] tied to a/w" in text and "Total Parameters: 2 (8 B)" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_shapes_and_sizes_stay_whole(width):
    text = nnx.tabulate(
        Outer(), jnp.ones((1, 2)), console_kwargs={"force_terminal": False, "width": width}
    )
    assert max(map(len, text.splitlines())) <= width
    for whole in ("float32[1,2]", "float32[2,2]", "7 (28 B)", "RngState 2 (12 B)"):
        assert whole in text
    assert "…" not in text


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
