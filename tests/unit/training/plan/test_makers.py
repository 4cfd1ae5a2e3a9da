"""What makes an array."""

from ramie.training.plan import hlo
from ramie.training.plan.makers import Makers

PROGRAM = hlo.parse("""
%alone (p: f32[6,8], q: f32[8], i: s32[]) -> f32[6,8] {
  %p = f32[6,8]{1,0} parameter(0)
  %q = f32[8]{0} parameter(1)
  %i = s32[] parameter(2)
  %up = f32[8]{0} tanh(%q), metadata={op_name="jit(f)/Net/tower/layers/tanh"}
  %row = f32[1,8]{1,0} bitcast(%up)
  ROOT %write = f32[6,8]{1,0} dynamic-update-slice(%p, %row, %i, %i), metadata={op_name="S/write"}
}

%several (a: f32[6,8], b: f32[8], j: s32[]) -> (f32[8], f32[6,8]) {
  %a = f32[6,8]{1,0} parameter(0)
  %b = f32[8]{0} parameter(1)
  %j = s32[] parameter(2)
  %line = f32[1,8]{1,0} bitcast(%b)
  %put = f32[6,8]{1,0} dynamic-update-slice(%a, %line, %j, %j), metadata={op_name="S/put"}
  %sin = f32[8]{0} sine(%b), metadata={op_name="jit(f)/Net/sin"}
  ROOT %both = (f32[8]{0}, f32[6,8]{1,0}) tuple(%sin, %put)
}

ENTRY %main (x: f32[6,8], y: f32[8], k: s32[]) -> f32[] {
  %x = f32[6,8]{1,0} parameter(0)
  %y = f32[8]{0} parameter(1)
  %k = s32[] parameter(2)
  %first = f32[6,8]{1,0} fusion(%x, %y, %k), kind=kLoop, calls=%alone, metadata={op_name="S/w"}
  %two = (f32[8]{0}, f32[6,8]{1,0}) fusion(%x, %y, %k), kind=kLoop, calls=%several
  %one = f32[8]{0} get-tuple-element(%two), index=0
  %next = (f32[8]{0}, f32[6,8]{1,0}) fusion(%x, %one, %k), kind=kLoop, calls=%stored
  %plain = f32[8]{0} cosine(%y), metadata={op_name="jit(f)/Net/cos"}
  ROOT %end = f32[] constant(0)
}

%stored (c: f32[6,8], d: f32[8], m: s32[]) -> f32[6,8] {
  %c = f32[6,8]{1,0} parameter(0)
  %d = f32[8]{0} parameter(1)
  %m = s32[] parameter(2)
  %wide = f32[1,8]{1,0} bitcast(%d)
  ROOT %keep = f32[6,8]{1,0} dynamic-update-slice(%c, %wide, %m, %m)
}
""")


def found(name, *index):
    one = Makers(PROGRAM).of(name, index)
    return one and one.name


def test_a_stack_is_made_by_what_makes_its_parts():
    assert found("first") == "up"
    assert found("write") == "up"
    # The part comes from outside of the fusion, and there from another one.
    assert found("next") == "sin"


def test_what_says_more_itself_is_left():
    assert found("plain") == "plain"
    assert found("two", 1) == "two"  # an argument is written, which has no module
    assert found("two") == "two"
    assert found("nowhere") is None
