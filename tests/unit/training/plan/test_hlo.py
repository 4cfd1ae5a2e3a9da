"""The text of compiled programs, and how often their loops run."""

import jax
import jax.numpy as jnp
import pytest

from ramie.training.plan import hlo

LOOP = """HloModule m
%body (p: (s32[], f32[4], s32[])) -> (s32[], f32[4], s32[]) {
  %p = (s32[]{:T(128)}, f32[4]{0}, s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %c = s32[] copy(%i)
  %x = f32[4]{0} get-tuple-element(%p), index=1
  %k = s32[] get-tuple-element(%p), index=2
  %y = f32[4]{0} tanh(%x), metadata={op_name="jit(f)/while/body/tanh"}
  STEP
  ROOT %t = (s32[], f32[4]{0}, s32[]) tuple(%n, %y, %k)
}
%cond (q: (s32[], f32[4], s32[])) -> pred[] {
  %q = (s32[], f32[4]{0}, s32[]) parameter(0)
  %j = s32[] get-tuple-element(%q), index=0
  %m = s32[] LIMIT
  ROOT %r = pred[] compare(%j, %m), direction=LT
}
%fused (a: s32[], b: s32[]) -> s32[] {
  %a = s32[] parameter(0)
  %b = s32[] parameter(1)
  ROOT %s = s32[] add(%a, %b)
}
ENTRY %main (x: f32[4]) -> f32[4] {
  %x.1 = f32[4]{0} parameter(0)
  %zero = s32[] constant(3)
  %two = s32[] constant(2)
  %init = (s32[], f32[4]{0}, s32[]) tuple(%zero, %x.1, %two)
  %w = (s32[], f32[4]{0}, s32[]) while(%init), condition=%cond, body=%body
  ROOT %out = f32[4]{0} get-tuple-element(%w), index=1
}
"""


@pytest.mark.parametrize(
    ("step", "limit", "trips"),
    [
        ("%n = s32[] add(%c, %k)", "constant(14)", 6),  # 3, 5, 7, 9, 11, 13
        ("%n = s32[] fusion(%i, %k), kind=kLoop, calls=%fused", "constant(13)", 5),
        ("%one = s32[] constant(1)\n  %n = s32[] add(%one, %i)", "constant(13)", 10),
        ("%n = s32[] add(%c, %k)", "constant(1)", 0),
        ("%n = s32[] multiply(%c, %k)", "constant(14)", None),
        ("%n = s32[] add(%c, %c)", "constant(14)", None),
        ("%n = s32[] add(%c, %k)", "parameter(1)", None),
    ],
)
def test_the_length_of_a_loop_is_read(step, limit, trips):
    program = hlo.parse(LOOP.replace("STEP", step).replace("LIMIT", limit))
    times = [(times, known) for _, times, known in program.executed()]
    assert times == [(1, True), (1 if trips is None else trips or 1, trips is not None)]


def test_an_instruction_is_taken_apart():
    line = (
        "  %d.1 = (bf16[2,3]{1,0:T(8,128)(2,1)S(1)}, pred[]) fusion(%a, f32[] %b.2), kind=kLoop, "
        "calls=%inside, window={size=3x3 pad=1_1x1_1}, dim_labels=bf_io->bf, "
        "metadata={op_name=\"jit(f)/state[\\'w\\']/dot\" x=1}"
    )
    program = hlo.parse("ENTRY %e (a: f32[]) -> f32[] {\n" + line + "\n}")
    one = program.computations["e"].instructions["d.1"]
    assert [str(shape) for shape in one.shapes] == ["bf16[2,3]", "pred[]"]
    assert [shape.in_hbm for shape in one.shapes] == [False, True]
    assert [shape.bytes for shape in one.shapes] == [12, 1]
    assert one.operands == ("a", "b.2") and one.called == ("inside",)
    assert one.attribute("window") == "{size=3x3 pad=1_1x1_1}"
    assert one.attribute("dim_labels") == "bf_io->bf" and one.attribute("nothing") == ""
    assert one.path == "jit(f)/state['w']/dot"


def test_odd_sizes_are_rounded_up():
    assert [shape.bytes for shape in hlo.shapes_in("s4[3] f8e4m3fn[5] c64[2] token[]")] == [
        *(2, 5, 16, 0)
    ]


def test_what_xla_writes_here_is_read():
    def f(x, w):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), x.sum()), x, w)

    text = jax.jit(f).lower(jnp.ones((4, 8)), jnp.ones((3, 8, 8))).compile().as_text()
    program = hlo.parse(text)
    assert 3 in [times for _, times, _ in program.executed()]
    assert all(computation.root for computation in program.computations.values())
