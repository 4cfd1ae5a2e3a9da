"""Every layer of the tables under meshes of JAX, trained there for a step.

What the axes of its outputs lie on is what docs/guides/sharding_rules.md says.
"""

import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from tests.families import meshes
from tests.families.nnx_rows import ROWS as NNX_ROWS
from tests.tolerance import assert_close

from ramie import linen, nnx

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "sharding_rules.md"
LAYOUTS = ("columns", "rows", "fsdp", "sequence")

CELLS = [
    *(("linen", row) for row in meshes.LINEN_ROWS if row.name not in meshes.UNFIT),
    *(("nnx", row) for row in NNX_ROWS),
]

# The axis of the batch is not the first one, or is summed over.
WITHOUT_BATCH = {"linen-dense_one_example", "nnx-linear_general"}

# Compiling costs half a second: one row for each operation.
COMPILED = {
    *("dense", "dense_general_axes", "dense_general_batch", "einsum", "embed", "conv"),
    *("conv_depthwise", "conv_groups", "conv_local_circular", "conv_transpose_kernel"),
    *("layer_norm", "group_norm", "batch_norm", "weight_norm_axes", "spectral_norm"),
    *("attention_dropout", "attention_cross", "optimized_lstm_cell", "bidirectional", "prelu"),
    *("dense_fp8", "dense_fp8_rounded", "einsum_fp8"),
    *("linear", "lora_linear", "attention_grouped", "rope", "rnn"),
}
AUTOMATIC = {"conv_depthwise", "conv_groups", "batch_norm", "attention_cross", "rnn"}


def _name(cell):
    return f"{cell[0]}-{cell[1].name}"


def _cells(names=None):
    wanted = [cell for cell in CELLS if names is None or cell[1].name in names]
    return pytest.mark.parametrize("cell", wanted, ids=_name)


@functools.cache
def _case(style, row):
    return meshes.linen_case(row, linen) if style == "linen" else meshes.nnx_case(row, nnx)


def _specs(tree):
    leaves = jax.tree.leaves(tree)
    return [(*x.sharding.spec, *[None] * (x.ndim - len(x.sharding.spec))) for x in leaves]


@_cells()
def test_outputs_lie_where_their_axes_come_from(cell):
    case, row = _case(*cell), cell[1]
    for layout in LAYOUTS:
        out, new = meshes.typed(case, row, "explicit", layout)
        if row.name == "attention_weights_kept" or _name(cell) in WITHOUT_BATCH:
            continue
        first, *others = _specs(out)[0]
        assert first == "data", layout
        assert "data" not in others, layout
        if layout == "fsdp":
            assert not any(others), "parameters on the axis of the batch leave outputs whole"
        if cell[0] == "linen":  # a new parameter lies where the old one did
            old = meshes.put(meshes.mesh_of("explicit"), case[1].get("params", {}), _of(layout))
            assert _specs(new) == _specs(old)


def _of(layout):
    return meshes.LAYOUTS[layout][1]


@pytest.mark.long
@_cells()
def test_a_mesh_of_both_kinds_of_axes(cell):
    out, _ = meshes.typed(_case(*cell), cell[1], "mixed", "fsdp")
    assert jax.tree.leaves(out)


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "layout", "cell"),
    [
        *(("explicit", "fsdp, last axis", c) for c in CELLS if c[1].name in COMPILED),
        *(("auto", "columns", c) for c in CELLS if c[1].name in AUTOMATIC),
    ],
    ids=lambda x: _name(x) if isinstance(x, tuple) else x,
)
def test_numbers_are_those_of_one_device(kind, layout, cell):
    case, row = _case(*cell), cell[1]
    want = jax.jit(case[0])(case[1], meshes.arguments_of(row))
    got = meshes.computed(case, row, kind, layout)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert_close(a, b, "model")


def _documented():
    """Read the table of the guide: for each layer and layout the spec of the output."""
    lines = [line for line in GUIDE.read_text().splitlines() if line.startswith("| `")]
    for line in lines:
        layer, *specs = (part.strip() for part in line.strip("|").split("|"))
        for name in re.findall(r"`(\w+-\w+)`", layer):
            yield name, [spec.strip("`") for spec in specs]


@pytest.mark.parametrize(("name", "specs"), list(_documented()), ids=lambda x: str(x))
def test_the_table_of_the_guide(name, specs):
    (cell,) = [cell for cell in CELLS if _name(cell) == name]
    for layout, spec in zip(LAYOUTS, specs, strict=True):
        out, _ = meshes.typed(_case(*cell), cell[1], "explicit", layout)
        assert str(P(*_specs(out)[-1])) == spec, layout


@pytest.mark.parametrize("eager", [True, False])
def test_outside_of_a_mesh_arrays_on_one_have_the_same_results(eager):
    mesh = meshes.mesh_of("explicit")
    layer = nnx.Embed(6, 4, rngs=nnx.Rngs(0))
    indices = jnp.array([[1, 2], [3, 5]])
    lying = jax.device_put(indices, NamedSharding(mesh, P("data")))
    call = layer if eager else nnx.jit(type(layer).__call__)
    with jax.set_mesh(mesh):
        got = call(lying) if eager else call(layer, lying)
    assert got.sharding.spec == P("data", None, None)
    assert_close(got, layer(indices))


def test_one_entry_is_spread_as_its_indices_are():
    mesh = meshes.mesh_of("explicit")
    layer = nnx.Embed(1, 4, rngs=nnx.Rngs(0))
    with jax.set_mesh(mesh):
        y = layer(jax.device_put(jnp.zeros(4, int), NamedSharding(mesh, P("data"))))
    assert y.sharding.spec == P("data", None)


def test_several_sequences_begin_with_a_carry_that_is_given():
    mesh = meshes.mesh_of("explicit")
    rnn = nnx.RNN(nnx.GRUCell(3, 4, rngs=nnx.Rngs(0)), return_carry=True)
    x, carry = (
        jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 3)), "float32"),
        jnp.ones((4, 4)),
    )
    want = rnn(x, initial_carry=carry)
    with jax.set_mesh(mesh):
        lying = jax.device_put(x, NamedSharding(mesh, P("data")))
        got = rnn(lying, initial_carry=carry)
        assert got[0].sharding.spec == P("data", None)
        divided = jax.device_put(carry, NamedSharding(mesh, P("data", "model")))
        assert rnn(lying, initial_carry=divided)[0].sharding.spec == P("data", "model")
    for a, b in zip(got, want, strict=True):
        assert_close(a, b)
