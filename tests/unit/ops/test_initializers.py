import copy
import gc
import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers as jax_initializers
from tests.tolerance import assert_exact

from ramie.linen import initializers as facade
from ramie.ops import initializers

MAKERS = [
    name
    for name in facade.__all__
    if name not in ("Initializer", "ones", "zeros", "ones_init", "zeros_init")
]
REQUIRED = {"constant": (0.5,), "variance_scaling": (2.0, "fan_out", "uniform")}


def _made(module, name):
    return getattr(module, name)(*REQUIRED.get(name, ()))


@pytest.mark.optimised
@pytest.mark.parametrize("name", MAKERS)
def test_numbers_and_parameters_are_those_of_jax(name):
    key, shape = jax.random.key(3), (3, 4, 5)
    ours, theirs = getattr(initializers, name), getattr(jax_initializers, name)
    for a, b in zip(
        inspect.signature(ours).parameters.values(),
        inspect.signature(theirs).parameters.values(),
        strict=True,
    ):
        assert (a.name, a.default) == (b.name, b.default)
    # Other dtypes and shapes: test_sampling.py.
    got = _made(initializers, name)(key, shape)
    assert got.dtype == jnp.float32
    assert_exact(got, _made(jax_initializers, name)(key, shape, jnp.float32))


@pytest.mark.parametrize("name", MAKERS)
def test_an_initializer_is_a_value(name):
    first = _made(initializers, name)
    assert _made(initializers, name) is first
    assert pickle.loads(pickle.dumps(first)) is first
    assert copy.deepcopy(first) is first
    assert first.__name__ == "init"
    assert repr(first).startswith(first.distribution)
    assert first.output_shape([2, np.int64(3)], jnp.float32) == (2, 3)
    assert isinstance(first, jax_initializers.Initializer)
    with pytest.raises(AttributeError, match="cannot be changed"):
        first.distribution = "other"


def test_settings_that_differ_in_type_or_sign_make_different_initializers():
    values = (0.0, -0.0, 0, False, np.float32(0), np.float16(0))
    made = [initializers.constant(value) for value in values]
    assert len(set(made)) == len(values)
    assert np.signbit(made[1](None, (1,), jnp.float32))[0]


def test_spellings_of_a_setting_make_one_initializer():
    assert initializers.normal(dtype="float32") is initializers.normal(dtype=jnp.float32)
    assert initializers.he_normal(in_axis=[0, 1]) is initializers.he_normal(in_axis=(0, 1))
    assert initializers.kaiming_uniform() is initializers.he_uniform()
    assert initializers.xavier_normal() is initializers.glorot_normal()


def test_a_dtype_of_the_maker_holds_where_the_call_names_none():
    init = initializers.uniform(dtype=jnp.bfloat16)
    key = jax.random.key(0)
    assert init(key, (2,)).dtype == jnp.bfloat16
    assert init(key, (2,), jnp.float32).dtype == jnp.float32


def test_arrays_as_settings_compare_by_identity():
    value = jnp.arange(3.0)
    assert initializers.constant(value) == initializers.constant(value)
    assert initializers.constant(value) != initializers.constant(jnp.arange(3.0))
    assert_exact(initializers.constant(value)(None, (2, 3), jnp.float32)[1], value)


def test_initializers_that_nobody_holds_are_forgotten():
    before = len(initializers._interned)
    made = [initializers.normal(1.5 + i) for i in range(10)]
    assert len(initializers._interned) >= before + 10
    del made
    gc.collect()
    assert len(initializers._interned) <= before


def test_zeros_and_ones_are_functions():
    assert initializers.zeros is jax_initializers.zeros
    assert initializers.zeros_init() is initializers.zeros
    assert initializers.ones_init()(None, (2,), jnp.int32).tolist() == [1, 1]


def test_fans_of_a_reshaped_kernel_count_groups_of_axes():
    init = initializers.ReshapedInitializer(initializers.lecun_normal(), (2,))
    key, shape = jax.random.key(0), (4, 8, 3, 5)
    assert init.flat_shape(shape) == (32, 15)
    want = initializers.lecun_normal()(key, (32, 15), jnp.float32).reshape(shape)
    assert_exact(init(key, shape, jnp.float32), want)
    assert init.output_shape(shape) == shape
    assert init == initializers.ReshapedInitializer(initializers.lecun_normal(), (2,))
    assert init != initializers.ReshapedInitializer(initializers.lecun_normal(), (1,))
    assert hash(init) == hash(pickle.loads(pickle.dumps(init)))


def test_a_reshaped_vector_has_one_axis():
    init = initializers.ReshapedInitializer(initializers.normal(), ())
    assert init.flat_shape((2, 3)) == (6,)


def test_a_box_around_a_value_stays_around_the_reshaped_value():
    def boxed(key, shape, dtype):
        return {"box": jnp.zeros(shape, dtype)}

    init = initializers.ReshapedInitializer(boxed, (1,))
    assert init(None, (2, 3, 4), jnp.float32)["box"].shape == (2, 3, 4)


def test_initializers_work_under_jit_and_as_static_arguments():
    init = initializers.truncated_normal(0.5, lower=-1.0)
    key = jax.random.key(1)
    draw = jax.jit(lambda i, k: i(k, (4,), jnp.float32), static_argnums=0)
    assert draw(init, key).shape == (4,)
    assert jax.eval_shape(lambda k: init(k, (4,)), key).shape == (4,)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "make, shape",
    [(initializers.orthogonal, (4, 6)), (initializers.delta_orthogonal, (3, 3, 2, 4))],
)
def test_orthogonal_initializers_round_float32_to_sixteen_bits(make, shape, dtype, named, jit):
    key = jax.random.key(3)
    given = (dtype,) if named else ()
    init = make(2.0) if named else make(2.0, dtype=dtype)

    def draw(key):
        return init(key, shape, *given)

    got = (jax.jit(draw) if jit else draw)(key)
    assert_exact(got, make(2.0)(key, shape, jnp.float32).astype(dtype))
