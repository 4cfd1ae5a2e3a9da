"""Repeat: one tower, as a list or stacked for a scan, with the same numbers."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.tolerance import assert_close, assert_exact

from ramie import nnx
from ramie.core.tracing import trace

N = 3
X = jax.random.normal(jax.random.key(3), (2, 5, 8))
MASK = nnx.make_causal_mask(jnp.ones((2, 5)))


class Block(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, use_bias=False, decode=False, rngs=rngs)
        self.batch_norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(8, 8, rngs=rngs)

    def __call__(self, x: Any, mask: Any = None, *, scale: bool = False) -> Any:
        h = self.dropout(self.batch_norm(self.attention(self.norm(x), mask=mask)))
        if scale:
            h = h * 2
        return x + self.dense(nnx.gelu(h))


class Recurrent(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.rnn = nnx.RNN(nnx.GRUCell(8, 8, rngs=rngs), rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return x + self.rnn(x)


BLOCKS = {
    "transformer": Block,
    "dense": partial(nnx.Linear, 8, 8),
    "batch norm": partial(nnx.BatchNorm, 8),
    "rnn": Recurrent,
    "orthogonal": partial(nnx.Linear, 8, 8, kernel_init=nnx.initializers.orthogonal()),
}


def tower(block: Any = Block, **options: Any) -> nnx.Repeat:
    return nnx.Repeat(block, N, rngs=nnx.Rngs(0, dropout=1), **options)


def bits(tree: Any) -> Any:
    """Return a state as plain arrays, with the words of keys."""

    def plain(x: Any) -> Any:
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    return jax.tree.map(plain, nnx.to_pure_dict(tree))


def assert_same(a: Any, b: Any, kind: str = "exact") -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: assert_close(x, y, kind), a, b)


@pytest.fixture(params=[True, False], ids=["graph", "tree"])
def mode(request: pytest.FixtureRequest) -> Iterator[bool]:
    with nnx.set_graph_mode(request.param), nnx.set_graph_updates(request.param):
        yield request.param


@pytest.mark.parametrize("name", BLOCKS)
def test_initial_values_are_equal_bit_for_bit(name: str, mode: bool) -> None:
    written_out, scanned = tower(BLOCKS[name]), tower(BLOCKS[name], scan=True)
    state = nnx.stack_layers(nnx.state(written_out))
    assert_same(bits(state), bits(nnx.state(scanned)))
    assert nnx.graphdef(scanned) == nnx.graphdef(tower(BLOCKS[name], scan=True))


def test_layers_differ_and_later_draws_go_on() -> None:
    rngs = nnx.Rngs(0)
    first = nnx.Repeat(BLOCKS["dense"], N, rngs=rngs)
    second = nnx.Repeat(BLOCKS["dense"], N, rngs=rngs)
    kernels = [layer.kernel[...] for part in (first, second) for layer in part.layers]
    assert len({x.tobytes() for x in map(jax.device_get, kernels)}) == 2 * N


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("name", ["transformer", "rnn"])
def test_calls_and_gradients_are_equal(name: str, remat: bool, mode: bool) -> None:
    args, kwargs = ((MASK,), {"scale": True}) if name == "transformer" else ((), {})

    @nnx.jit
    def step(model: Any, x: Any) -> Any:
        graphdef, params, rest = nnx.split(model, nnx.Param, ...)

        def loss(params: Any) -> Any:
            inside = nnx.merge(graphdef, params, rest, copy=True)
            y = inside(x, *args, **kwargs)
            return (y**2).mean(), (y, nnx.split(inside, nnx.Param, ...)[2])

        (value, (y, changed)), grads = jax.value_and_grad(loss, has_aux=True)(params)
        nnx.update(model, changed)
        return (value, y), grads

    models = [tower(BLOCKS[name], scan=scan, remat=remat) for scan in (False, True)]
    (one, grads), (other, scanned_grads) = (step(model, X) for model in models)
    assert_same(one, other, "model")
    assert_same(bits(nnx.stack_layers(grads)), bits(scanned_grads), "model")
    states = nnx.stack_layers(nnx.state(models[0])), nnx.state(models[1])
    assert_same(*map(bits, states), "model")  # statistics, and how many keys were drawn
    if name == "transformer":
        assert models[1].layers.batch_norm.mean[...].any()
        assert models[1].layers.dropout.rngs.count[...].tolist() == [1] * N


def test_values_that_layers_sow_are_stacked() -> None:
    class Sows(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.dense = nnx.Linear(8, 8, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            y = self.dense(x)
            self.sow(nnx.Intermediate, "y", y)
            return y

    found = []
    for scan in (False, True):
        model = tower(Sows, scan=scan)
        model(X)
        found.append(nnx.pop(model, nnx.Intermediate))
    assert_same(bits(nnx.stack_layers(found[0])), bits(found[1]), "model")
    assert found[1].layers.y[0].shape == (N, *X.shape)


class Watched(nnx.Module):
    """Sows and perturbs what is inside, and keeps statistics."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(8, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        y = self.perturb("inside", self.norm(self.dense(x)))
        self.sow(nnx.Intermediate, "y", y)
        return x + self.dropout(jnp.tanh(y))


@pytest.mark.parametrize("remat", [False, True])
def test_sown_and_perturbed_values_come_out_in_all_modes(remat: bool, mode: bool) -> None:
    models = [tower(Watched, scan=scan, remat=remat) for scan in (False, True)]
    one, other = (model(X) for model in models)
    assert_close(one, other, "model")
    states = nnx.stack_layers(nnx.state(models[0])), nnx.state(models[1])
    assert_same(*map(bits, states), "model")
    assert states[1].layers.y[0].shape == states[1].layers.inside.shape == (N, *X.shape)


def test_gradients_by_perturbations_are_equal(mode: bool) -> None:
    def grads(scan: bool) -> Any:
        model = tower(Watched, scan=scan)
        model(X)
        graphdef, wanted, rest = nnx.split(model, nnx.Perturbation, ...)

        def loss(wanted: Any) -> Any:
            return (nnx.merge(graphdef, wanted, rest, copy=True)(X) ** 2).mean()

        return jax.grad(loss)(wanted)

    want, got = nnx.stack_layers(grads(False)), grads(True)
    assert_same(bits(want), bits(got), "model")
    assert got.layers.inside[...].any(axis=(1, 2, 3)).all()


def test_values_are_captured_in_all_modes(mode: bool) -> None:
    models = [tower(Watched, scan=scan) for scan in (False, True)]
    one, other = (nnx.capture(model, nnx.Intermediate)(X)[1] for model in models)
    assert_same(bits(nnx.stack_layers(one)), bits(other), "model")


class Plain(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return x + self.dropout(self.norm(x))


@pytest.mark.parametrize("how", [lambda f: f, nnx.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("hijax", [False, True])
def test_variables_in_references_change_alike(
    hijax: bool, remat: bool, how: Any, mode: bool
) -> None:
    def after(scan: bool, **kinds: bool) -> Any:
        with nnx.var_defaults(**kinds):
            model = tower(Plain, scan=scan, remat=remat)
            y = how(lambda model, x: model(model(x)))(model, X)
        fixed = nnx.with_vars(model, ref=False, hijax=False)
        assert isinstance(jax.tree.leaves(nnx.state(model))[0], jax.Ref) == kinds["ref"]
        return y, nnx.state(fixed)

    want, state = after(True, ref=False, hijax=False)
    for scan in (False, True):
        y, found = after(scan, ref=True, hijax=hijax)
        assert_close(y, want, "model")
        found = found if scan else nnx.stack_layers(found)
        assert_same(bits(found), bits(state), "model")


def test_boxes_are_refused_where_jax_has_no_rules_for_them() -> None:
    x, block = jnp.ones((2, 8)), BLOCKS["dense"]
    plain = tower(block, scan=True)
    with nnx.var_defaults(hijax=True):
        written_out = tower(block, remat=True)
        if not trace.has_boxes():  # high-level types then go through all transformations
            assert_close(tower(block, scan=True)(x), written_out(x), "model")
            return
        with pytest.raises(ValueError, match=r"scan=True of nnx.Repeat takes no .* at bias"):
            tower(block, scan=True)
    with pytest.raises(ValueError, match=r"remat=True of nnx.Repeat takes no .* at 0/bias"):
        written_out(x)
    with pytest.raises(ValueError, match=r"scan=True of nnx.Repeat takes no .* at bias"):
        nnx.with_vars(plain, hijax=True)(x)


CHANGES = {
    "shape": (lambda y: y[:, :4], r"got float32\[4@data,8\].* returned float32\[4@data,4\]"),
    "dtype": (lambda y: y.astype(jnp.bfloat16), r"returned bfloat16\[4@data,8\]"),
    "structure": (lambda y: {"a": y}, r"returned the structure PyTreeDef\(\{'a'"),
    "sharding": (
        lambda y: jax.sharding.reshard(y, PartitionSpec(None, None)),
        r"got float32\[4@data,8\].* returned float32\[4,8\]",
    ),
}


class Changes(nnx.Module):
    def __init__(self, change: str, *, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(8, 8, rngs=rngs)
        self.change = change

    def __call__(self, x: Any) -> Any:
        return CHANGES[self.change][0](self.dense(x))


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_errors_name_a_layer_that_hands_on_something_else(
    change: str, remat: bool, mode: bool
) -> None:
    kinds = (AxisType.Explicit, AxisType.Explicit)
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=kinds)
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((4, 8)), NamedSharding(mesh, PartitionSpec("data")))
        scanned = tower(partial(Changes, change), scan=True, remat=remat)
        with pytest.raises(TypeError, match=f"Changes in nnx.Repeat .*{CHANGES[change][1]}"):
            scanned(x)


def test_switches_reach_all_layers(mode: bool) -> None:
    models = [tower(scan=scan) for scan in (False, True)]
    for model in models:
        model.eval()
    assert_close(models[0](X), models[1](X), "model")
    assert models[1].layers.dropout.rngs.count[...].tolist() == [0] * N


def test_several_arguments_are_carried_and_others_are_not(mode: bool) -> None:
    class Two(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.dense = nnx.Linear(4, 4, rngs=rngs)

        def __call__(self, a: Any, b: Any, positions: Any, *, flip: bool, how: str) -> Any:
            assert flip is True and how == "sum"
            return (b, a + self.dense(b) + positions), a.sum()

    args = jnp.ones((2, 4)), jnp.zeros((2, 4)), jnp.arange(4.0)[None]
    for remat in (False, True):
        options = {"carried": 2, "has_aux": True, "remat": remat}
        one, other = (tower(Two, scan=scan, **options) for scan in (False, True))
        want, got = (m(*args, flip=True, how="sum") for m in (one, other))
        assert_same(want, got, "model")
        assert got[1].shape == (N,)


def test_outputs_of_cells_are_stacked() -> None:
    for scan in (False, True):
        cells = tower(partial(nnx.GRUCell, 4, 4), scan=scan, has_aux=True)
        last, outputs = cells(jnp.zeros((2, 4)), jnp.ones((2, 4)))
        assert outputs.shape == (N, 2, 4)
        assert_exact(outputs[-1], last)


def test_names_of_axes_in_metadata() -> None:
    kernel = nnx.with_metadata(
        nnx.initializers.ones, out_sharding=("embed", "hidden"), eager_sharding=False
    )
    block = partial(nnx.Linear, 8, 8, kernel_init=kernel)
    scanned = tower(block, scan=True, partition_name="layers")
    assert scanned.layers.kernel.out_sharding == ("layers", "embed", "hidden")
    scanned(X)
    assert scanned.layers.kernel.out_sharding == ("layers", "embed", "hidden")
    flat = nnx.unstack_layers(nnx.state(scanned), partition_name="layers")
    assert flat.layers[1].kernel.out_sharding == ("embed", "hidden")
    assert scanned.layers.kernel.out_sharding == ("layers", "embed", "hidden")
    again = nnx.stack_layers(flat, partition_name="layers")
    assert again.layers.kernel.out_sharding == ("layers", "embed", "hidden")


def test_abstract_models_and_vmap() -> None:
    abstract = nnx.eval_shape(lambda: tower(scan=True))
    assert abstract.layers.dense.kernel.shape == (N, 8, 8)

    @nnx.split_rngs(splits=2)
    @nnx.vmap
    def create(rngs: nnx.Rngs) -> Any:
        return nnx.Repeat(partial(nnx.Linear, 8, 8), N, rngs=rngs, scan=True)

    ensemble = create(nnx.Rngs(0))
    assert ensemble.layers.kernel.shape == (2, N, 8, 8)
    y = nnx.vmap(lambda model, x: model(x), in_axes=(0, None))(ensemble, X)
    assert y.shape == (2, *X.shape)


def test_a_scan_is_traced_once() -> None:
    traced = []

    class Noted(nnx.Linear):
        def __call__(self, inputs: Any, **kwargs: Any) -> Any:
            traced.append(1)
            return super().__call__(inputs, **kwargs)

    model = nnx.Repeat(partial(Noted, 8, 8), 48, rngs=nnx.Rngs(0), scan=True, unroll=2)
    nnx.jit(lambda model, x: model(x))(model, X)
    assert len(traced) == 1


def test_a_tower_of_towers() -> None:
    def both(scan: bool) -> Any:
        inner = partial(nnx.Repeat, partial(nnx.Linear, 8, 8), 2, scan=scan)
        return tower(inner, scan=scan)

    one, other = both(False), both(True)
    assert_same(bits(nnx.stack_layers(nnx.state(one))), bits(nnx.state(other)))
    assert_close(one(X), other(X), "model")


def test_tables_count_all_layers() -> None:
    block = partial(nnx.Linear, 8, 8)
    for scan in (False, True):
        table = nnx.tabulate(tower(block, scan=scan), X)
        assert "Repeat" in table and f"{N * (8 * 8 + 8)}" in table


def test_layers_that_cannot_be_scanned_are_refused() -> None:
    shared = nnx.Linear(8, 8, rngs=nnx.Rngs(0))

    class Shares(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.inner = shared

    with pytest.raises(ValueError, match=r"layers 0 and 1 of nnx.Repeat share the Param at inner/"):
        tower(Shares, scan=True)
    assert tower(Shares).layers[0].inner is tower(Shares).layers[1].inner
    sizes = iter(range(100))

    def unequal(*, rngs: nnx.Rngs) -> Any:
        return nnx.Linear(8, 8, use_bias=next(sizes) % 2 == 0, rngs=rngs)

    with pytest.raises(ValueError, match=r"layers 0 and 1 of nnx.Repeat differ"):
        tower(unequal, scan=True)

    class Free(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.w = nnx.Param(jnp.ones(next(sizes)))

    with pytest.raises(ValueError, match="arrays of several kinds in one place"):
        tower(Free, scan=True)


def test_what_makes_no_tower_is_refused() -> None:
    with pytest.raises(TypeError, match=r"functools.partial of one.*not a Linear"):
        tower(nnx.Linear(2, 2, rngs=nnx.Rngs(0)))
    for name in ("length", "unroll", "carried"):
        with pytest.raises(ValueError, match=f"{name} of nnx.Repeat has to be 1 or more, found 0"):
            options = {"length": 2, name: 0}
            nnx.Repeat(partial(nnx.Linear, 8, 8), rngs=nnx.Rngs(0), **options)
    with pytest.raises(ValueError, match="remat=True"):
        tower(policy=jax.checkpoint_policies.dots_saveable)
    for scan in (False, True):
        with pytest.raises(TypeError, match=r"carries 2 arguments .* called with 1"):
            tower(carried=2, scan=scan)(X)
        with pytest.raises(TypeError, match=r"2 arguments that are carried as a tuple, but Two"):
            tower(TwoIn, carried=2, scan=scan)(X, X)
        with pytest.raises(TypeError, match=r"With has_aux of Repeat a layer returns a pair"):
            tower(has_aux=True, scan=scan)(X)


class TwoIn(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.w = nnx.Param(jnp.ones(()))

    def __call__(self, a: Any, b: Any) -> Any:
        return a


class Divided(nnx.Module):
    def __init__(self, is_divided: bool = True, *, rngs: nnx.Rngs) -> None:
        def dense(width: int, out: int, *names: str | None) -> nnx.Linear:
            init: Any = nnx.initializers.lecun_normal()
            init = nnx.with_partitioning(init, names) if is_divided else init
            return nnx.Linear(width, out, use_bias=False, kernel_init=init, rngs=rngs)

        self.up = dense(8, 16, None, "model")
        self.down = dense(16, 8, "model", None)

    def __call__(self, x: Any) -> Any:
        return x + self.down(nnx.relu(self.up(x)))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("scan", [False, True])
def test_on_a_mesh_a_tower_computes_the_same_and_its_parameters_are_divided(
    kind: AxisType, scan: bool
) -> None:
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind, kind))
    plain = nnx.Repeat(partial(Divided, False), N, rngs=nnx.Rngs(0), scan=scan)
    x = jnp.tile(X[0], (2, 1))

    def loss(tower: Any, x: Any) -> Any:
        return jnp.sum(tower(x) ** 2)

    value, grads = nnx.value_and_grad(loss)(plain, x)
    with jax.set_mesh(mesh):
        tower = nnx.Repeat(Divided, N, rngs=nnx.Rngs(0), scan=scan)
        rows = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
        found, found_grads = nnx.jit(nnx.value_and_grad(loss))(tower, rows)
    assert_close(found, value, "model")
    trees = (found_grads, grads, nnx.state(tower))
    for grad, same, kernel in zip(*map(jax.tree.leaves, trees), strict=True):
        assert_close(grad, same, "model")
        assert "model" in kernel.sharding.spec
        assert kind == AxisType.Auto or grad.sharding.spec == kernel.sharding.spec


@pytest.mark.parametrize("how", [lambda f: f, nnx.jit], ids=["eager", "jit"])
def test_layers_are_divided_over_an_automatic_axis(how: Any) -> None:
    mesh = jax.make_mesh((2, 2), ("stage", "model"), axis_types=(AxisType.Auto, AxisType.Auto))

    def make(**options: Any) -> Any:
        return nnx.Repeat(Divided, 4, rngs=nnx.Rngs(0), scan=True, **options)

    with jax.set_mesh(mesh):
        whole, divided = make(), how(partial(make, partition_name="stage"))()
        with nnx.logical_axis_rules((("layers", "stage"),)):
            by_rule = how(partial(make, partition_name="layers"))()
        other = how(partial(make, partition_name="layers"))()
        up = divided.layers.up.kernel
        assert up.out_sharding == ("stage", None, "model")
        assert up[...].sharding.spec == PartitionSpec("stage", None, "model")
        assert by_rule.layers.up.kernel[...].sharding.spec == up[...].sharding.spec
        assert other.layers.up.kernel[...].sharding.spec == PartitionSpec(None, None, "model")
        x = jnp.tile(X[0], (2, 1))[:4]
        loss = nnx.jit(nnx.value_and_grad(lambda tower, x: jnp.sum(tower(x) ** 2)))
        (want, grads), (got, same) = loss(whole, x), loss(divided, x)
        assert_close(got, want, "model")
        assert_same(bits(same), bits(grads), "model")
        with pytest.raises(ValueError, match=r"3 layers of nnx.Repeat cannot .* over the 2 dev"):
            nnx.Repeat(Divided, 3, rngs=nnx.Rngs(0), scan=True, partition_name="stage")


def test_over_explicit_axes_layers_are_whole() -> None:
    kinds = (AxisType.Explicit, AxisType.Explicit)
    mesh = jax.make_mesh((2, 2), ("stage", "model"), axis_types=kinds)
    with jax.set_mesh(mesh):
        model = nnx.Repeat(Divided, 4, rngs=nnx.Rngs(0), scan=True, partition_name="stage")
        kernel = model.layers.up.kernel
        assert kernel[...].sharding.spec == PartitionSpec(None, None, "model")
        assert model(jnp.ones((4, 8))).shape == (4, 8)
        kernel[...] = jax.device_put(
            kernel[...], NamedSharding(mesh, PartitionSpec("stage", None, "model"))
        )
        with pytest.raises(ValueError, match=r"layers of nnx.Repeat are .*'stage'.*layers/up/ker"):
            model(jnp.ones((4, 8)))
