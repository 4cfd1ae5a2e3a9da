"""Operations of products, counted one by one."""

import itertools

import pytest

from ramie.training.plan import hlo
from ramie.training.plan.work import _pairs, work_of


def _counted(outputs, inputs, size, stride, before, holes, spread):
    return sum(
        0 <= (place := o * stride + k * spread - before) <= (inputs - 1) * holes
        and place % holes == 0
        for o in range(outputs)
        for k in range(size)
    )


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_pairs_of_outputs_and_places_of_a_window(stride):
    for sizes in itertools.product([1, 4, 7], [1, 3, 6], [1, 2, 5], [0, 1, 4], [1, 2, 3], [1, 2]):
        outputs, inputs, size, before, holes, spread = sizes
        window = {
            "size": (size,),
            "stride": (stride,),
            "pad": (before, 0),
            "lhs_dilate": (holes,),
            "rhs_dilate": (spread,),
        }
        expected = _counted(outputs, inputs, size, stride, before, holes, spread)
        assert _pairs(outputs, inputs, window) == expected, sizes


def _program(*lines, computations=""):
    body = "\n".join(f"  {line}" for line in lines)
    return hlo.parse(f"HloModule m\n{computations}\nENTRY %main (x: f32[]) -> f32[] {{\n{body}\n}}")


def test_a_product_in_each_way_it_is_written():
    found = work_of(
        _program(
            "%a = bf16[5,6,7]{2,1,0} parameter(0)",
            "%b = bf16[5,7,8]{2,1,0} parameter(1)",
            "%d = bf16[5,6,8]{2,1,0} dot(%a, %b), lhs_batch_dims={0}, rhs_batch_dims={0}, "
            "lhs_contracting_dims={2}, rhs_contracting_dims={1}",
            "%i = f32[2,9,9,4]{3,2,1,0} parameter(2)",
            "%k = f32[3,3,4,6]{3,2,1,0} parameter(3)",
            "ROOT %c = f32[2,7,7,6]{3,2,1,0} convolution(%i, %k), window={size=3x3}, "
            "dim_labels=b01f_01io->b01f",
        )
    )
    assert found.flops_by_dtype == {
        "bfloat16": 2 * 5 * 6 * 7 * 8,
        "float32": 2 * (2 * 7 * 7 * 6) * (3 * 3 * 4),
    }
    moved = 2 * (5 * 6 * 7 + 5 * 7 * 8 + 5 * 6 * 8)
    assert found.hbm_bytes == moved + 4 * (2 * 9 * 9 * 4 + 3 * 3 * 4 * 6 + 2 * 7 * 7 * 6)


def test_a_product_of_complex_numbers_is_four_of_real_ones():
    found = work_of(
        _program(
            "%a = c64[5,6]{1,0} parameter(0)",
            "%b = c64[6,7]{1,0} parameter(1)",
            "ROOT %d = c64[5,7]{1,0} dot(%a, %b), lhs_contracting_dims={1}, "
            "rhs_contracting_dims={0}",
        )
    )
    assert found.flops_by_dtype == {"complex64": 4 * 2 * 5 * 6 * 7}


def test_a_batched_product_as_tpus_write_it():
    # The batch is an axis of a window as long, of which each output meets one place.
    found = work_of(
        _program(
            "%a = f32[5,6,7]{2,1,0} parameter(0)",
            "%b = f32[5,7,8]{2,1,0} parameter(1)",
            "ROOT %c = f32[5,6,8]{2,1,0} convolution(%a, %b), window={size=5 stride=4 pad=0_0 "
            "lhs_dilate=5}, dim_labels=0bf_0io->0bf",
        )
    )
    assert found.flops == 2 * 5 * 6 * 7 * 8


def test_only_what_is_used_of_an_array_is_moved():
    inside = """%inside (p0: f32[100,8], p1: s32[]) -> f32[1,8] {
  %p0 = f32[100,8]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %z = s32[] constant(0)
  ROOT %s = f32[1,8]{1,0} dynamic-slice(%p0, %p1, %z), dynamic_slice_sizes={1,8}
}
%written (p2: f32[100,8], p3: f32[1,8], p4: s32[]) -> f32[100,8] {
  %p2 = f32[100,8]{1,0} parameter(0)
  %p3 = f32[1,8]{1,0} parameter(1)
  %p4 = s32[] parameter(2)
  %z.1 = s32[] constant(0)
  ROOT %u = f32[100,8]{1,0} dynamic-update-slice(%p2, %p3, %p4, %z.1)
}"""
    found = work_of(
        _program(
            "%x = f32[100,8]{1,0} parameter(0)",
            "%i = s32[] parameter(1)",
            "%y = f32[1,8]{1,0} fusion(%x, %i), kind=kLoop, calls=%inside",
            "ROOT %w = f32[100,8]{1,0} fusion(%x, %y, %i), kind=kLoop, calls=%written",
            computations=inside,
        )
    )
    assert found.hbm_bytes == (32 + 4 + 32) + (32 + 4 + 32)


def test_memories_on_the_chip_are_free():
    found = work_of(
        _program(
            "%x = f32[64]{0} parameter(0)",
            "%s = (f32[64]{0:S(1)}, f32[64]{0}, u32[]{:S(2)}) copy-start(%x)",
            "%d = f32[64]{0:S(1)} copy-done(%s)",
            "%y = f32[64]{0:S(1)} tanh(%d)",
            "ROOT %z = f32[64]{0} copy(%y)",
        )
    )
    assert found.hbm_bytes == 2 * 4 * 64 and found.flops == 0


def test_kernels_that_xla_does_not_know_are_named():
    kernel = "f32[8]{0} custom-call(%p), custom_call_target="
    body = (
        "%body (p: f32[8]) -> f32[8] {\n"
        "  %p = f32[8]{0} parameter(0)\n"
        f'  %my_matmul.3 = {kernel}"tpu_custom_call"\n'
        f'  %note = {kernel}"AllocateBuffer"\n'
        f'  %begun = {kernel}"AsyncCollectiveStart"\n'
        f'  ROOT %custom-call.4 = {kernel}"tpu_custom_call"\n'
        "}\n"
        "%test (q: f32[8]) -> pred[] {\n"
        "  ROOT %q = pred[] parameter(0)\n"
        "}\n"
        "%fused (r: f32[8]) -> f32[8] {\n"
        "  %r = f32[8]{0} parameter(0)\n"
        f'  ROOT %lower = {kernel.replace("%p", "%r")}"Cholesky"\n'
        "}"
    )
    found = work_of(
        _program(
            "%x = f32[8]{0} parameter(0)",
            "%w = f32[8]{0} while(%x), condition=%test, body=%body, "
            'backend_config={"known_trip_count":{"n":"5"}}',
            "ROOT %y = f32[8]{0} fusion(%w), kind=kLoop, calls=%fused",
            computations=body,
        )
    )
    assert found.flops == 0
    assert found.unknown_calls == {"my_matmul": 5, "tpu_custom_call": 5, "Cholesky": 1}
