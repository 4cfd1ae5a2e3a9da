"""XLA's account of memory."""

from ramie.training.plan import hlo
from ramie.training.plan.buffers import allocations_in, largest, temporaries_of
from ramie.training.plan.report import Buffer
from ramie.training.plan.sources import Sources

ACCOUNT = """BufferAssignment:
allocation 0: size 512, thread-local:
 value: <2 add.19 @0> (size=512,offset=0): f32[]{:T(128)}
allocation 1: size 1024, output shape is |f32[16,16]|, maybe-live-out:
 value: <3 out @0> (size=1024,offset=0): f32[16,16]{1,0}
allocation 2: size 2048, parameter 0, shape |f32[512]| at ShapeIndex {}, maybe-live-out:
 value: <4 x @0> (size=2048,offset=0): f32[512]{0}
allocation 3: size 256, page 0, parameter 1, shape |f32[64]| at ShapeIndex {}:
 value: <5 y @0> (size=256,offset=0): f32[64]{0}
allocation 4: size 9000, preallocated-temp:
 value: <6 t{} @0> (size=512,offset=0): (f32[1000], s32[])
 value: <7 t{0} @0> (size=4000,offset=512): f32[1000]{0:T(8,128)}
 value: <8 loop{1} (phi) @0> (size=4000,offset=512): f32[1000]{0}
 value: <9 u @0> (size=4400,offset=4600): f32[1100]{0}
allocation 5: size 4, constant:
 value: <10 c @0> (size=4,offset=0): s32[]
allocation 6: size 77777, color 1, preallocated-temp:
 value: <11 v @0> (size=77777,offset=0): f32[9]{0:S(1)}
"""
PROGRAM = """ENTRY %main (x: f32[]) -> f32[] {
  %t = (f32[1000]{0}, s32[]) fusion(%x), metadata={op_name="jit(f)/Net/up/dot_general"}
  %loop = f32[1000]{0} while(%t)
  ROOT %u = f32[1100]{0} copy(%t)
}"""


def test_kinds_of_allocations():
    found = [(one.kind, one.bytes) for one in allocations_in(ACCOUNT)]
    assert found == [
        ("other", 512),
        ("output", 1024),
        ("both", 2048),
        ("parameter", 256),
        ("temporary", 9000),
        ("other", 4),
        ("other", 77777),
    ]
    assert allocations_in("") == ()


def test_the_place_of_a_result_is_kept():
    values = [one.values for one in allocations_in(ACCOUNT)]
    assert values[4][0].result == () and values[4][1].result == (0,)
    assert values[4][2] == ("loop", (1,), 4000, 512, "f32[1000]{0}")


def test_lines_are_found():
    tables = """FileNames
1 "model.py"

FileLocations
1 {file_name_id=1 function_name_id=1 line=7 end_line=7 column=1 end_column=2}

StackFrames
1 {file_location_id=1 parent_frame_id=1}

"""
    text = tables + PROGRAM.replace("metadata={", "metadata={stack_frame_id=1 ")
    found = temporaries_of(allocations_in(ACCOUNT), hlo.parse(text), Sources(text))
    assert [one.source for one in found] == ["", "model.py:7"]


def test_arrays_in_one_place_count_once_and_are_named():
    found = temporaries_of(allocations_in(ACCOUNT), hlo.parse(PROGRAM))
    assert found == (
        Buffer(4400, "f32[1100]", "", "copy"),
        Buffer(4000, "f32[1000]", "Net/up", "dot_general"),
    )
    assert largest(found, (Buffer(4200, "", "x", "argument"),), count=2) == (
        found[0],
        Buffer(4200, "", "x", "argument"),
    )
