"""Results of operations on explicit mesh axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from tests.tolerance import assert_close

import ramie.linen as nn
from ramie import nnx
from ramie.ops import linear
from ramie.ops.eager import meshes


def _mesh(*kinds):
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=kinds, devices=jax.devices()[:4])


EXPLICIT, AUTO = AxisType.Explicit, AxisType.Auto


@pytest.fixture
def mesh():
    with jax.set_mesh(_mesh(EXPLICIT, EXPLICIT)):
        yield


def _lying(x, *names):
    return jax.device_put(x, P(*names))


def _arrays():
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=n), "float32") for n in ((4, 6), (6, 8), (8,))]


def test_nothing_changes_where_jax_knows_or_the_error_is_another(mesh):
    calls = []

    @meshes.laid_out()
    def doubled(x):
        calls.append(x)
        if x.ndim == 2:
            raise ValueError("two axes")
        return x + x

    assert doubled(_lying(jnp.ones(4), "data")).sharding.spec == P("data")
    assert len(calls) == 1
    with pytest.raises(ValueError, match="two axes"):
        doubled(_lying(jnp.ones((4, 4)), "data"))
    assert len(calls) == 2


@pytest.mark.parametrize("compiled", [False, True])
def test_a_mesh_axis_goes_to_the_first_argument_that_has_it(mesh, compiled):
    x, kernel, bias = _arrays()
    want = linear.dense(x, kernel, bias)
    args = _lying(x, "data"), _lying(kernel, None, "data"), _lying(bias, "model")
    call = jax.jit(linear.dense) if compiled else linear.dense
    got = call(*args)
    assert got.sharding.spec == P("data", "model")
    assert_close(got, want)
    gradient = jax.grad(lambda *args: jnp.sum(jnp.sin(call(*args))), argnums=(0, 1, 2))(*args)
    assert [g.sharding.spec for g in gradient] == [P("data", None), P(None, "data"), P("model")]


def test_derivatives_of_what_was_left_to_the_compiler(mesh):
    x, kernel, _ = _arrays()
    lying = _lying(x, "data"), _lying(kernel, None, "data")
    _, tangent = jax.jvp(linear.dense, lying, lying)
    assert_close(tangent, 2 * (x @ kernel), "model")
    mapped = jax.vmap(linear.dense, (0, None))(jnp.stack([lying[0], lying[0]]), lying[1])
    assert_close(mapped[1], x @ kernel)

    def second(product, x, kernel):
        @jax.checkpoint
        def first(kernel):
            return jax.grad(lambda x: jnp.sum(jnp.sin(product(x, kernel))))(x)

        return jax.grad(lambda kernel: jnp.sum(first(kernel) ** 2))(kernel)

    assert_close(second(linear.dense, *lying), second(jnp.dot, x, kernel), "model")


def test_arrays_on_no_mesh_take_part(mesh):
    x, kernel, bias = _arrays()
    got = linear.dense(_lying(x, "data"), _lying(kernel, None, "data"), np.asarray(bias))
    assert_close(got, linear.dense(x, kernel, bias))


def test_sizes_that_do_not_divide_are_whole(mesh):
    taken = meshes.laid_by(jnp.ones((3, 4)), [(_lying(jnp.ones((4, 4)), "data", "model"), (0, 1))])
    assert taken.sharding.spec == P(None, "model")


def test_the_layout_that_a_caller_wants_is_that_of_the_result(mesh):
    x, kernel, bias = _arrays()
    args = _lying(x, "data"), _lying(kernel, "model", None), _lying(bias, "model")
    for wanted in (P("data", None), P(None, "model"), P(("data", "model"), None)):
        got = linear.dense(*args, out_sharding=wanted)
        assert got.sharding.spec == wanted
        assert_close(got, linear.dense(x, kernel, bias))


def test_products_with_a_table_are_laid_out_by_the_product(mesh):
    table = _lying(jnp.ones((8, 4)), "model", "data")
    query = _lying(jnp.ones((2, 3, 4)), "data", None, "model")
    logits = linear.embed_attend(query, table, out_sharding=P("data", None, "model"))
    assert logits.sharding.spec == P("data", None, "model")


def test_several_axes_count_only_where_they_divide():
    x = jnp.ones((4, 4))
    assert not meshes.on_several_axes(x)
    with jax.set_mesh(_mesh(AUTO, AUTO)):
        assert meshes.on_several_axes(x)
    with jax.set_mesh(jax.make_mesh((4, 1), ("a", "b"), devices=jax.devices()[:4])):
        assert not meshes.on_several_axes(x)
    lying = jax.device_put(x, NamedSharding(_mesh(EXPLICIT, EXPLICIT), P("data")))
    assert meshes.on_several_axes(lying)


def test_axes_that_are_gathered_first(mesh):
    seen = []

    @meshes.laid_out(lambda x, y: [[(x, (meshes.GATHERED, 1)), (y, (None, 1))]])
    def product(x, y):
        seen.append(x)
        return x.T @ y

    x = _lying(jnp.ones((4, 4)), "data", "model")
    got = product(x, _lying(jnp.ones((4, 4)), "data", None))
    assert got.sharding.spec == P(None, "model")
    assert len(seen) == 3  # refused, asked for the shape, and left to the compiler


def test_what_takes_the_place_of_a_carry_lies_as_that_did(mesh):
    old = _lying(jnp.zeros((4, 4)), "data", None)
    assert meshes.laid_again(_lying(old, "data", "model"), old).sharding.spec == P("data", None)
    assert meshes.laid_again(old, old) is old
    x = _lying(jnp.ones((6, 4, 3)), None, "data")
    carries = meshes.laid_like({"h": jnp.zeros((4, 2)), "t": jnp.zeros(())}, x, [1])
    assert carries["h"].sharding.spec == P("data", None)
    assert meshes.laid_like(_lying(old, None, "model"), x, [1]).sharding.spec == P(None, "model")


def test_errors_name_the_module_and_what_to_do(mesh):
    class Product(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x @ self.param("kernel", nn.initializers.ones, (4, 4)).T

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Product(name="inner")(x)

    kernel = _lying(jnp.ones((4, 4)), "data", None)
    with pytest.raises(Exception, match="illegally sharded") as caught:
        Outer().apply({"params": {"inner": {"kernel": kernel}}}, _lying(jnp.ones((4, 4)), "data"))
    notes = "\n".join(caught.value.__notes__)
    assert "Product.__call__ at /inner" in notes
    assert "out_sharding=PartitionSpec(...)" in notes
    assert notes.count("explicit mesh axes") == 1


def test_a_mesh_that_is_not_set_is_what_to_do():
    x = jax.device_put(jnp.ones((4, 6, 3)), NamedSharding(_mesh(EXPLICIT, EXPLICIT), P("data")))
    layer = nn.RNN(nn.SimpleCell(5))
    with pytest.raises(ValueError) as caught:
        layer.init_with_output(jax.random.key(0), x)
    notes = "\n".join(caught.value.__notes__)
    assert "`with jax.set_mesh(mesh):`" in notes and "out_sharding" not in notes


@pytest.mark.parametrize("time_major", [False, True])
def test_sequences_that_are_divided_over_time(mesh, time_major):
    names = ("model", "data") if time_major else ("data", "model")
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 3)), "float32")
    linen = nn.RNN(nn.SimpleCell(5), time_major=time_major)
    variables = linen.init(jax.random.key(0), x)
    other = nnx.RNN(nnx.SimpleCell(3, 5, rngs=nnx.Rngs(0)), time_major=time_major)
    for run in (lambda x: linen.apply(variables, x), other, nnx.jit(other)):
        found = run(_lying(x, *names))
        at = names.index("data")
        assert jax.typeof(found).sharding.spec[at] == "data"
        assert_close(found, run(x))
