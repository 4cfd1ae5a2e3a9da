"""Arithmetic and layers in fp8, against Flax's: values, gradients, next scales and histories."""

import functools
import warnings

import pytest

flax = pytest.importorskip("flax")

import flax.linen as peer_nn  # noqa: E402
import flax.linen.fp8_ops as peer_fp8  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax.training.train_state import TrainState as PeerTrainState  # noqa: E402
from tests.parity.families.test_layers import _equations  # noqa: E402
from tests.tolerance import assert_close, assert_exact  # noqa: E402

import ramie.linen as nn  # noqa: E402
from ramie.linen import fp8_ops  # noqa: E402
from ramie.training.train_state import TrainState  # noqa: E402

E4M3, E5M2 = jnp.float8_e4m3fn, jnp.float8_e5m2
MATMUL = (((1,), (0,)), ((), ()))
MIXED = (((2, 1), (0, 3)), ((0,), (1,)))
LAYERS = ["Fp8DotGeneral", "Fp8DotGeneralOp", "NANOOFp8DotGeneralOp"]
BOTH = (fp8_ops, peer_fp8)

old_op = pytest.mark.filterwarnings("ignore:The Fp8DotGeneralOp:DeprecationWarning")


def _array(*shape, seed=0, dtype=jnp.float32, scale=1.0):
    values = np.random.default_rng(seed).standard_normal(shape) * scale
    return jnp.asarray(values, dtype)


def _same(got, want, check=assert_exact):
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        check(a, b)


def _meta():
    names = ("lhs", "rhs", "grad")
    scales = {f"{n}_scale": jnp.array([0.3 + i]) for i, n in enumerate(names)}
    histories = {f"{n}_amax_history": jnp.array([0.4, 2.0 + i]) for i, n in enumerate(names)}
    return scales | histories


@pytest.mark.parametrize(
    ("q_dtype", "dtype"),
    [
        (E4M3, jnp.float32),
        (E5M2, jnp.bfloat16),
        (jnp.float8_e4m3fnuz, jnp.bfloat16),
        (jnp.float8_e5m2fnuz, jnp.float32),
    ],
)
def test_quantisation(q_dtype, dtype):
    x = _array(3, 5, dtype=dtype, scale=300.0)
    scale, history = jnp.array([0.37]), jnp.array([2.0, 0.5, 7.0, 0.0])
    for name, args in {
        "qdq": (x, q_dtype, scale, dtype),
        "quantize_dequantize_update": (x, q_dtype, scale, history, dtype),
        "in_q_fwd": (dtype, q_dtype, x, scale, history),
    }.items():
        _same(getattr(fp8_ops, name)(*args), getattr(peer_fp8, name)(*args))
    got, want = (library.get_fp8_max(q_dtype, dtype) for library in BOTH)
    assert got == want
    assert got.dtype == want.dtype


@pytest.mark.parametrize("margin", [0, 2])
def test_scales(margin):
    amax = jnp.array([0.0, 1.0, 3.3, np.inf, np.nan, 1e-30, -1.0])
    args = (amax, jnp.linspace(0.1, 3.0, 7), 448.0, margin)
    _same(fp8_ops.compute_scale(*args), peer_fp8.compute_scale(*args))


@pytest.mark.parametrize("length", [1, 2, 4])
def test_histories(length):
    args = (_array(2, 3), jnp.arange(1.0, length + 1))
    _same(fp8_ops.compute_amax_history(*args), peer_fp8.compute_amax_history(*args))


@pytest.mark.parametrize(("name", "q_dtype"), [("in_qdq", E4M3), ("out_qdq", E5M2)])
def test_derivatives_of_roundings(name, q_dtype):
    scale, history = jnp.array([0.37]), jnp.array([2.0, 0.5, 7.0, 0.0])
    results = []
    for library in BOTH:
        function = functools.partial(getattr(library, name), jnp.float32, q_dtype)
        out, pull = jax.vjp(function, _array(3, 5), scale, history)
        results.append((out, pull(_array(3, 5, seed=1))))
    _same(*results)


@pytest.mark.parametrize("name", ["dot_general_transpose_lhs", "dot_general_transpose_rhs"])
def test_transposed_products(name):
    arrays = (_array(2, 5, 6), _array(2, 3, 4, 5), _array(4, 2, 6, 3))
    settings = {
        "dimension_numbers": MIXED,
        "precision": None,
        "preferred_element_type": jnp.float32,
    }
    _same(*(getattr(library, name)(*arrays, **settings) for library in BOTH))


@pytest.mark.parametrize(
    ("dtype", "preferred"),
    [(jnp.float32, None), (jnp.bfloat16, jnp.bfloat16), (jnp.bfloat16, jnp.float32)],
)
def test_scaled_products(dtype, preferred):
    x, y = _array(2, 3, dtype=dtype), _array(3, 5, dtype=dtype, seed=1)
    results = []
    for library in BOTH:

        def product(x, y, meta, library=library):
            return library.fp8_scaled_dot_general(
                x, y, MATMUL, preferred_element_type=preferred, **meta
            )

        out, pull = jax.vjp(product, x, y, _meta())
        results.append((out, pull(_array(2, 5, seed=2).astype(out.dtype))))
    _same(*results)


def _arguments(name, x, kernel):
    return ("bi,io->bo", x, kernel) if name == "Fp8Einsum" else (x, kernel, MATMUL)


@old_op
@pytest.mark.parametrize("name", [*LAYERS, "Fp8Einsum"])
def test_layers(name):
    x, kernel = _array(2, 3), _array(3, 5, seed=1)
    results, orders = [], []
    for library in (nn, peer_nn):
        layer = getattr(library, name)(amax_history_length=4)
        variables = layer.init(jax.random.key(0), *_arguments(name, x, kernel))
        orders.append({k: list(v) for k, v in variables.items()})

        def loss(variables, x, kernel, layer=layer):
            return jnp.sum(layer.apply(variables, *_arguments(name, x, kernel)) ** 2)

        gradients = jax.value_and_grad(loss, argnums=(0, 1, 2))
        first = gradients(variables, x, kernel)
        # The gradients of scales and histories are their next values.
        results.append((variables, first, gradients(first[1][0], 2 * x, kernel)))
    _same(*results)
    assert orders[0] == orders[1]
    assert getattr(nn, name).__name__ == getattr(peer_nn, name).__name__


@old_op
@pytest.mark.parametrize("name", LAYERS[:2])
def test_traced_layers_are_no_longer(name):
    x, kernel = _array(2, 3), _array(3, 5)
    counts = []
    for library in (nn, peer_nn):
        layer = getattr(library, name)(amax_history_length=4)
        variables = layer.init(jax.random.key(0), x, kernel, MATMUL)

        def loss(variables, x, kernel, layer=layer):
            return jnp.sum(layer.apply(variables, x, kernel, MATMUL))

        trace = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1, 2)))(variables, x, kernel)
        counts.append(_equations(trace.jaxpr))
    assert counts[0] <= counts[1]


def test_training():
    import optax

    states = []
    for library, state_class in ((nn, TrainState), (peer_nn, PeerTrainState)):
        layer = library.Dense(5, dot_general_cls=library.Fp8DotGeneral)
        variables = layer.init(jax.random.key(0), _array(2, 3))
        state = state_class.create(apply_fn=layer.apply, params=variables, tx=optax.adam(0.1))

        @jax.jit
        def step(state, x):
            grads = jax.grad(lambda v: jnp.sum(state.apply_fn(v, x) ** 2))(state.params)
            return state.apply_gradients(grads=grads)

        for seed in range(3):
            state = step(state, _array(2, 3, seed=seed))
        states.append(state.params)
    _same(*states, check=lambda got, want: assert_close(got, want, "model"))


def test_gradients_joined_by_maximum():
    results = []
    for library in BOTH:

        def scanned(x, *meta, library=library):
            meta = [jax.lax.convert_element_type(a, library.fm32) for a in meta]

            def body(carry, _):
                return library.in_qdq(jnp.float32, E4M3, carry, *meta), None

            return jax.lax.scan(body, x, None, length=3)[0].sum()

        grad = jax.jit(jax.grad(scanned, argnums=(0, 1, 2)))
        results.append(grad(_array(2), jnp.array([0.5]), jnp.array([1.0, 3.0, 2.0])))
    _same(*results)
    assert repr(fp8_ops.fm32) == repr(peer_fp8.fm32)


def test_warnings():
    for library in (nn, peer_nn):
        with pytest.warns(DeprecationWarning, match="Use Fp8DirectDotGeneralOp or Fp8Einsum"):
            library.Fp8DotGeneralOp()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            library.NANOOFp8DotGeneralOp()
        layer = library.Fp8Einsum(amax_history_length=4)
        args = ("bi,io->bo", _array(2, 3), _array(3, 5))
        variables = layer.init(jax.random.key(0), *args)
        with pytest.warns(UserWarning, match="fp8_scaled_dot_general will set the"):
            layer.apply(variables, *args, precision="highest")
