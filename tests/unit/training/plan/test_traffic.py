"""Groups of devices in each way XLA writes them, and the axes they differ in."""

import pytest

from ramie.training.plan import hlo
from ramie.training.plan.report import Collective
from ramie.training.plan.traffic import _axes, _groups, collectives_of, wire_bytes

MESH = {"a": 2, "b": 3, "c": 2}


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("[6,2]<=[12]", ("c",)),
        ("[2,6]<=[12]", ("b", "c")),
        ("[1,12]<=[12]", ("a", "b", "c")),
        ("[6,2]<=[2,6]T(1,0)", ("a",)),
        ("[4,3]<=[2,3,2]T(0,2,1)", ("b",)),
        ("{{0,2,4},{1,3,5},{6,8,10},{7,9,11}}", ("b",)),
        ("{}", ("a", "b", "c")),
        ("mesh['a'=2,'b'=3,'c'=2] {'c'}", ("c",)),
        ("mesh['axis_0'=2,'axis_1'=6] {'axis_0'}", ("a",)),
        ("mesh['x'=2,'y'=3,'z'=2] {'x','z'}", ("a", "c")),
        ("{{0},{1}}", ()),
    ],
)
def test_axes_of_groups(text, axes):
    assert _axes(_groups(text, 12), MESH) == axes


def test_collectives_are_summed_by_kind_and_axes():
    program = hlo.parse(
        """HloModule m
%all-reduce-scatter.1 (p: f32[8]) -> f32[4] {
  %p = f32[8]{0} parameter(0)
  %r = f32[8]{0} all-reduce(%p), replica_groups=[2,2]<=[4], to_apply=%add
  ROOT %h = f32[4]{0} slice(%r), slice={[0:4]}
}
ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %s = f32[4]{0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.1
  %g = (f32[4]{0}, f32[8]{0}) all-gather-start(%s), replica_groups=[2,2]<=[4], dimensions={0}
  %d = f32[8]{0} all-gather-done(%g)
  %q = f32[8]{0} all-reduce(%d), replica_groups={{0,2},{1,3}}, to_apply=%add
  %n = f32[8]{0} collective-permute(%q), source_target_pairs={{0,1},{1,0},{2,3},{3,2}}
  ROOT %o = f32[8]{0} all-reduce(%n), replica_groups={{0},{1},{2},{3}}, to_apply=%add
}"""
    )
    found = {(c.kind, c.axes): c.bytes for c in collectives_of(program, {"x": 2, "y": 2})}
    assert found == {
        ("reduce-scatter", ("y",)): 32,
        ("all-gather", ("y",)): 32,
        ("all-reduce", ("x",)): 32,
        ("collective-permute", ("y",)): 32,
    }


def test_what_has_to_be_received():
    mesh = {"x": 4, "y": 2}
    row = lambda kind, *axes: Collective(kind, axes, 1, 800, "")
    assert wire_bytes(row("all-reduce", "x"), mesh) == 2 * 600
    assert wire_bytes(row("all-gather", "x", "y"), mesh) == 700
    assert wire_bytes(row("reduce-scatter", "y"), mesh) == 400
    assert wire_bytes(row("collective-permute", "x"), mesh) == 800
