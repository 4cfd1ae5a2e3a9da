"""The proof behind `ramie.ops.drawing`: whatever is drawn there has the bits of `jax.random`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.nn import initializers as jax_initializers
from tests.tolerance import assert_exact

from ramie.configurations import config
from ramie.ops import initializers
from ramie.ops.drawing import requests, sampling

pytestmark = pytest.mark.optimised

DTYPES = ("float32", "bfloat16", "float16")
CASES = {
    "lecun_normal": (),
    "he_uniform": (),
    "glorot_normal": (),
    "normal": (0.02,),
    "uniform": (0.3,),
    "truncated_normal": (0.7, None, -1.3, 0.4),
    "variance_scaling": (0.3, "fan_geo_avg", "normal"),
}
SHAPE = (21, 55)


def _compare(name, key, shape, dtype):
    init = getattr(initializers, name)(*CASES[name])
    drawn = init.draw(key, shape, dtype)
    assert drawn is not None
    assert_exact(drawn, getattr(jax_initializers, name)(*CASES[name])(key, shape, dtype))
    assert not drawn.weak_type and not drawn.committed
    assert_exact(init(key, shape, dtype), drawn)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_bits_are_those_of_jax(name, dtype):
    _compare(name, jax.random.key(3), SHAPE, jnp.dtype(dtype))


@pytest.mark.parametrize("row", [*range(1, 10), 12, 15, 16, 17, 31])
@pytest.mark.parametrize("name", ["lecun_normal", "normal"])
def test_bits_are_those_of_jax_whatever_the_length_of_rows(name, row):
    for shape in ((64, row), (5, 4, row, 1)):
        init, key = getattr(initializers, name)(*CASES[name]), jax.random.key(8)
        plain = getattr(jax_initializers, name)(*CASES[name])(key, shape)
        assert_exact(init(key, shape), plain)


@pytest.mark.parametrize("name", ["lecun_normal", "he_uniform", "variance_scaling"])
def test_bits_in_double_precision(name):
    with jax.enable_x64(True):
        _compare(name, jax.random.key(4), (31, 7), jnp.float64)


def test_arrays_that_take_several_blocks(monkeypatch):
    monkeypatch.setattr(sampling, "BLOCK", 1 << 9)
    monkeypatch.setattr(sampling, "LARGE_BLOCK", 1 << 9)
    for shape in ((512,), (13, 100)):
        words = sampling.key_words(jax.random.key(1))
        drawn = sampling.draw(sampling.Request("normal"), words, shape, np.dtype("float32"))
        assert_exact(drawn, jax.random.normal(jax.random.key(1), shape))


@pytest.mark.parametrize("count", [sampling.BLOCK - 1, sampling.BLOCK, sampling.BLOCK + 1])
def test_bits_are_those_of_jax_where_blocks_become_large(count):
    for name in ("lecun_normal", "normal", "he_uniform"):
        _compare(name, jax.random.key(5), (1, count), jnp.dtype("float32"))


def _compiled(caplog, make):
    """Return the names of what is compiled while a function runs."""
    caplog.clear()
    with jax.log_compiles(), caplog.at_level("WARNING"):
        make()
    found = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Compiling ")]
    return [message.split()[1] for message in found]


def test_matrices_of_all_sizes_are_drawn_by_one_program(caplog):
    init, shapes = initializers.lecun_normal(), ((64, 64), (7, 7, 3, 64), (300, 400))
    init(jax.random.key(0), shapes[0])  # the comparison with JAX
    sampling._block.clear_cache()
    found = _compiled(caplog, lambda: [init(jax.random.key(1), shape) for shape in shapes])
    assert [name for name in found if "block" in name] == ["jit(_block)"]


def test_constants_are_compiled_only_where_that_pays_off(caplog):
    def fill():
        return sampling.filled((3, 17), 1.0, jnp.float32)

    def compiled(count):
        return _compiled(caplog, lambda: [fill() for _ in range(count)])

    assert compiled(100) == []
    assert len(compiled(2000)) == 1
    assert_exact(fill(), jnp.ones((3, 17)))


def test_the_offset_carries_into_the_high_word():
    key, start = jax.random.key_data(jax.random.key(7)), (1 << 32) - 3
    state = jnp.array([*key, start >> 32, start & 0xFFFFFFFF], jnp.uint32)
    words = sampling._bits_from_offset(state, 32, (6,))
    count = np.arange(start, start + 6, dtype=np.uint64)
    high, low = (count >> 32).astype(np.uint32), (count & 0xFFFFFFFF).astype(np.uint32)
    hashed = jax.extend.random.threefry_2x32(tuple(key), jnp.concatenate([high, low]))
    assert_exact(words, hashed[:6] ^ hashed[6:])


@given(
    scale=st.floats(1e-3, 10.0),
    fans=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    mode=st.sampled_from(["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]),
    routine=st.sampled_from(["normal", "uniform", "truncated_normal"]),
    dtype=st.sampled_from(DTYPES),
)
def test_factors_are_rounded_step_by_step(scale, fans, mode, routine, dtype):
    init = initializers.variance_scaling(scale, mode, routine)
    dtype = jnp.dtype(dtype)
    request = requests.request_of("variance_scaling", init.settings, fans, dtype)
    fan = {"fan_in": float(fans[0]), "fan_out": float(fans[1])}
    fan["fan_avg"], fan["fan_geo_avg"] = sum(fans) / 2, (fan["fan_in"] * fan["fan_out"]) ** 0.5
    variance = jnp.array(scale / fan[mode], dtype)
    if request is None:
        assert variance < jnp.finfo(dtype).tiny
        return
    expected = {
        "normal": lambda: jnp.sqrt(variance),
        "uniform": lambda: jnp.sqrt(3 * variance),
        "truncated_normal": lambda: jnp.sqrt(variance) / jnp.array(0.87962566103423978, dtype),
    }[routine]()
    assert_exact(request.factor, expected)


def test_raw_and_typed_keys_draw_the_same():
    raw = jax.random.PRNGKey(9)
    typed = jax.random.wrap_key_data(raw)
    init = initializers.lecun_normal()
    expected = init(typed, SHAPE)
    for key in (raw, np.asarray(raw)):
        assert_exact(init(key, SHAPE), expected)


def test_a_committed_key_places_what_it_draws():
    device = jax.devices()[1]
    drawn = initializers.normal()(jax.device_put(jax.random.key(0), device), (3, 4))
    assert drawn.committed and drawn.devices() == {device}
    with jax.default_device(device):
        drawn = initializers.normal()(jax.random.key(0), (3, 4))
        filled = sampling.filled((2,), 1.0)
    assert not drawn.committed and drawn.devices() == filled.devices() == {device}


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_other_generators_are_left_to_jax(impl):
    key = jax.random.key(2, impl=impl)
    init = initializers.normal(1.0)
    assert init.draw(key, (3,), jnp.float32) is None
    assert_exact(init(key, (3,)), jax.random.normal(key, (3,)))


def test_what_is_not_proven_is_left_to_jax():
    init, key = initializers.normal(1.0), jax.random.key(0)
    assert init.draw(key, (3,), jnp.float32) is not None
    assert init.draw(key, (3,), jnp.complex64) is None
    assert initializers.normal(np.float32(1.0)).draw(key, (3,), jnp.float32) is None
    assert initializers.orthogonal().draw(key, (3, 3), jnp.float32) is None
    assert initializers.lecun_normal().draw(key, (3,), jnp.float32) is None  # no fan: JAX refuses
    with pytest.raises(ValueError, match="Can't compute input and output sizes"):
        initializers.lecun_normal()(key, (3,), jnp.float32)
    with jax.threefry_partitionable(False):
        assert init.draw(key, (3,), jnp.float32) is None
        assert_exact(init(key, (3,)), jax.random.normal(key, (3,)))


@pytest.mark.parametrize("switch", ["jax_disable_jit", "jax_debug_nans", "jax_debug_key_reuse"])
def test_debugging_switches_see_the_plain_path(switch):
    before = getattr(jax.config, switch)
    jax.config.update(switch, True)
    try:
        assert not sampling.is_direct()
    finally:
        jax.config.update(switch, before)
    assert sampling.is_direct()


def test_the_flag_and_transformations_turn_the_sampler_off():
    with config.temp_flip_flag("fast_init", False):
        assert not sampling.is_direct()
    seen = []
    jax.eval_shape(lambda: seen.append(sampling.is_direct()))
    with jax.set_mesh(jax.make_mesh((1,), ("a",))):
        seen.append(sampling.is_direct())
    assert seen == [False, False]


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16", "int32", "bool"])
@pytest.mark.parametrize("value", [0, 1])
def test_constants_are_those_of_jax(value, dtype):
    made = sampling.full((2, 3), value, dtype)
    assert made is not None and not made.weak_type
    assert_exact(made, jnp.full((2, 3), value, dtype or float))
    assert_exact(initializers.constant(value)(None, (2, 3), dtype), made)


def test_arrays_do_not_share_memory():
    first, second = (initializers.constant(1.0)(None, (8,)) for _ in range(2))
    other = first + 0
    jax.jit(lambda x: x + 1, donate_argnums=0)(first)
    assert_exact(second, other)


def test_a_reshaped_initializer_draws_in_the_flat_shape():
    init = initializers.ReshapedInitializer(initializers.lecun_normal(), (2,))
    flat = initializers.lecun_normal()(jax.random.key(0), (6, 5))
    assert_exact(init(jax.random.key(0), (2, 3, 5)), flat.reshape(2, 3, 5))
    zeros = initializers.ReshapedInitializer(initializers.zeros, (2,))
    assert_exact(zeros(None, (2, 3, 5), jnp.float32), np.zeros((2, 3, 5), np.float32))


def test_empty_arrays_and_scalars():
    key = jax.random.key(0)
    assert initializers.normal()(key, (0, 3)).shape == (0, 3)
    assert_exact(initializers.normal(1.0)(key, ()), jax.random.normal(key, ()))


def test_a_traced_draw_has_the_bits_of_a_real_one():
    init, key = initializers.lecun_normal(), jax.random.key(6)
    assert_exact(jax.jit(init, static_argnums=1)(key, (7, 3)), init(key, (7, 3)))
