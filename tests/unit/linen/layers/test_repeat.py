"""Repeat: one tower, written out or scanned, with the same numbers."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie.errors import ScopeParamShapeError
from ramie.foundation.configurations import config

N = 3
KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(3), (2, 5, 8))
MASK = nn.make_causal_mask(jnp.ones((2, 5)))


class Block(nn.Module):
    width: int = 8

    @nn.compact
    def __call__(self, x: Any, mask: Any = None, *, train: bool = False) -> Any:
        h = nn.LayerNorm(use_bias=False)(x)
        h = nn.MultiHeadDotProductAttention(num_heads=2, use_bias=False)(h, mask=mask)
        h = nn.BatchNorm(use_running_average=not train)(h)
        h = nn.Dropout(0.5, deterministic=not train)(h)
        self.sow("intermediates", "h", h)
        return x + nn.Dense(self.width)(nn.gelu(h))


class Recurrent(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return x + nn.RNN(nn.GRUCell(features=8))(x)


class Drawn(nn.Module):
    """Draws from a stream that falls back on another, in a submodule of a field."""

    inner: nn.Module = nn.Dense(8)

    @nn.compact
    def __call__(self, x: Any) -> Any:
        noise = jax.random.normal(self.make_rng("noise"), x.shape)
        return self.inner(x) + nn.Dropout(0.3, deterministic=False)(noise)


BLOCKS = {
    "transformer": (Block, {"params": KEY, "dropout": jax.random.key(1)}, {}),
    "dense": (partial(nn.Dense, 8), {"params": KEY}, {}),
    "batch norm": (partial(nn.BatchNorm, use_running_average=False), {"params": KEY}, {}),
    "rnn": (Recurrent, {"params": KEY}, {}),
    "orthogonal": (
        partial(nn.Dense, 8, kernel_init=nn.initializers.orthogonal()),
        {"params": KEY},
        {},
    ),
    "drawn": (Drawn, {"params": KEY, "noise": jax.random.key(2)}, {}),
}


def assert_same(a: Any, b: Any, kind: str = "exact") -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: assert_close(x, y, kind), a, b)


@pytest.mark.optimised  # without, XLA compiles products inside of loops in other ways
@pytest.mark.parametrize("how", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("name", BLOCKS)
def test_initial_values_are_equal_bit_for_bit(name: str, how: Any) -> None:
    block, rngs, _ = BLOCKS[name]
    tower = nn.Repeat(block, N)
    variables = how(tower.init)(rngs, X)
    scanned = how(tower.clone(scan=True).init)(rngs, X)
    without = {c: v for c, v in scanned.items() if c != "intermediates"}
    # Orthogonal matrices are products, which XLA compiles in other ways inside of a loop.
    kind = "op" if name in ("rnn", "orthogonal") and how is not jax.jit else "exact"
    assert_same(nn.stack_layers({c: variables[c] for c in without}), without, kind)
    first, second = (
        jax.tree.leaves(variables["params"]["layers_0"]),
        jax.tree.leaves(variables["params"]["layers_1"]),
    )
    if name != "batch norm":
        assert any(bool((a != b).any()) for a, b in zip(first, second, strict=True))


def test_initial_values_of_an_abstract_init() -> None:
    tower = nn.Repeat(Block, N)
    abstract = jax.eval_shape(tower.init, KEY, X)
    scanned = jax.eval_shape(tower.clone(scan=True).init, KEY, X)
    stacked = nn.stack_layers(abstract)
    assert stacked == scanned


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("name", ["transformer", "rnn", "drawn"])
def test_calls_and_gradients_are_equal(name: str, remat: bool) -> None:
    block, rngs, _ = BLOCKS[name]
    options = {"train": True} if name == "transformer" else {}
    args = (MASK,) if name == "transformer" else ()
    tower = nn.Repeat(block, N, remat=remat)
    variables = tower.init(rngs, X)
    scan = tower.clone(scan=True)

    def loss(module: Any, variables: Any, x: Any) -> Any:
        fixed = {c: v for c, v in variables.items() if c != "params"}

        def of(params: Any, x: Any) -> Any:
            y, changed = module.apply(
                {**fixed, "params": params},
                x,
                *args,
                **options,
                rngs=rngs,
                mutable=["batch_stats", "intermediates"],
            )
            return (y**2).mean(), (y, changed)

        return jax.jit(jax.value_and_grad(of, (0, 1), has_aux=True))(variables["params"], x)

    variables = {c: v for c, v in variables.items() if c != "intermediates"}
    (value, (y, changed)), (grads, x_grad) = loss(tower, variables, X)
    (svalue, (sy, schanged)), (sgrads, sx_grad) = loss(scan, nn.stack_layers(variables), X)
    if changed:
        changed = nn.stack_layers(changed)
    got = (value, y, changed, nn.stack_layers(grads), x_grad)
    assert_same(got, (svalue, sy, schanged, sgrads, sx_grad), "model")


class Watched(nn.Module):
    """Sows in two ways, perturbs, draws and keeps statistics."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        y = self.perturb("inside", nn.Dense(8)(x))
        self.sow("intermediates", "y", y)
        self.sow("sums", "s", y.sum(), reduce_fn=lambda a, b: a + b, init_fn=lambda: 0.0)
        y = nn.BatchNorm(use_running_average=False)(y)
        return x + nn.Dropout(0.5, deterministic=False)(jnp.tanh(y))


@pytest.mark.parametrize("remat", [False, True])
def test_sown_and_perturbed_values_and_their_gradients_are_equal(remat: bool) -> None:
    tower = nn.Repeat(Watched, N, remat=remat)
    rngs = {"params": KEY, "dropout": jax.random.key(1)}
    made = tower.init(rngs, X)
    variables = {c: made[c] for c in ("params", "perturbations", "batch_stats")}

    def of(module: Any, variables: Any) -> Any:
        def loss(perturbations: Any) -> Any:
            given = {**variables, "perturbations": perturbations}
            kinds = ["batch_stats", "intermediates", "sums"]
            y, changed = module.apply(given, X, rngs=rngs, mutable=kinds)
            return (y**2).mean(), changed

        return jax.value_and_grad(loss, has_aux=True)(variables["perturbations"])

    want = of(tower, variables)
    got = of(tower.clone(scan=True), nn.stack_layers(variables))
    assert_same(nn.stack_layers(want), got, "model")
    assert got[0][1]["intermediates"]["layers"]["y"][0].shape == (N, *X.shape)
    assert got[1]["layers"]["inside"].any(axis=(1, 2, 3)).all()


def test_each_layer_draws_the_same_keys_in_both_forms_and_at_every_call() -> None:
    class Keys(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            drawn = jnp.stack([jax.random.bits(self.make_rng("a")) for _ in range(2)])
            return x, drawn

    class Twice(nn.Module):
        scan: bool

        @nn.compact
        def __call__(self, x: Any) -> Any:
            tower = nn.Repeat(Keys, N, scan=self.scan, has_aux=True)
            return tower(x)[1], tower(x)[1]

    rngs = {"a": jax.random.key(5)}
    out = [Twice(scan).apply({}, jnp.ones(2), rngs=rngs) for scan in (False, True)]
    assert_same(*out)
    drawn = [int(x) for part in out[0] for x in part.ravel()]
    assert len(set(drawn)) == 2 * N * 2
    weak = [nn.Repeat(Keys, N, scan=scan, has_aux=True) for scan in (False, True)]
    assert_same(*(m.apply({}, 1.0, rngs=rngs)[1] for m in weak))  # JAX traces a weak carry twice


def test_several_arguments_are_carried_and_others_are_not() -> None:
    class Two(nn.Module):
        @nn.compact
        def __call__(self, a: Any, b: Any, positions: Any, *, flip: bool, mode: str) -> Any:
            assert flip is True and mode == "sum"
            return b, a + nn.Dense(4)(b) + positions

    a, b, positions = jnp.ones((2, 4)), jnp.zeros((2, 4)), jnp.arange(4.0)[None]
    tower = nn.Repeat(Two, N, carried=2)
    call = {"flip": True, "mode": "sum"}
    variables = tower.init(KEY, a, b, positions, **call)
    want = tower.apply(variables, a, b, positions, **call)
    for remat in (False, True):
        scanned = tower.clone(scan=True, remat=remat)
        got = scanned.apply(nn.stack_layers(variables), a, b, positions, **call)
        assert_same(got, want, "op")


@pytest.mark.parametrize("scan", [False, True])
def test_outputs_of_layers_are_stacked_in_both_forms(scan: bool) -> None:
    class Cell(nn.Module):
        @nn.compact
        def __call__(self, carry: Any, x: Any) -> Any:
            return nn.GRUCell(4)(carry, x)

    tower = nn.Repeat(Cell, N, scan=scan, has_aux=True)
    carry, x = jnp.zeros((2, 4)), jnp.ones((2, 4))
    (last, outputs), _ = tower.init_with_output(KEY, carry, x)
    assert outputs.shape == (N, 2, 4)
    assert_exact(outputs[-1], last)


def test_names_of_axes_in_boxes() -> None:
    kernel = nn.with_logical_partitioning(nn.initializers.ones, ("embed", "hidden"))
    mesh_kernel = nn.with_partitioning(nn.initializers.zeros, ("model",))
    block = partial(nn.Dense, 8, kernel_init=kernel, bias_init=mesh_kernel)
    tower = nn.Repeat(block, N, scan=True, partition_name="layers")
    variables = tower.init(KEY, X)
    names = nn.get_partition_spec(variables)["params"]["layers"]
    assert tuple(names["kernel"]) == ("layers", "embed", "hidden")
    assert tuple(names["bias"]) == ("layers", "model")
    flat = nn.unstack_layers(variables, partition_name="layers")
    assert_same(flat, tower.clone(scan=False).init(KEY, X))
    assert_same(nn.stack_layers(flat, partition_name="layers"), variables)
    with pytest.raises(ValueError, match="to be removed should be called 'stack'"):
        nn.unstack_layers(variables, partition_name="stack")


def test_remat_recomputes_and_policies_store() -> None:
    def products(**options: Any) -> int:
        tower = nn.Repeat(partial(nn.Dense, 8), N, scan=True, **options)
        variables = tower.init(KEY, X)
        text = str(jax.make_jaxpr(jax.grad(lambda v: jnp.tanh(tower.apply(v, X)).sum()))(variables))
        assert ("checkpoint" in text or "remat" in text) == ("remat" in options)
        return text.count("dot_general[")

    class Deep(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            return jnp.sin(nn.Dense(8)(jnp.sin(nn.Dense(8)(x))))

    def deep(**options: Any) -> int:
        tower = nn.Repeat(Deep, N, scan=True, **options)
        variables = tower.init(KEY, X)
        grad = jax.make_jaxpr(jax.grad(lambda v: tower.apply(v, X).sum()))(variables)
        return str(grad).count("dot_general[")

    assert products() <= products(remat=True)
    stored = deep(remat=True, policy=jax.checkpoint_policies.dots_saveable)
    assert deep() <= stored < deep(remat=True)


def test_unroll_keeps_the_numbers() -> None:
    tower = nn.Repeat(Block, 4, scan=True)
    variables = tower.init(KEY, X)
    variables = {c: variables[c] for c in ("params", "batch_stats")}
    assert_close(tower.clone(unroll=2).apply(variables, X), tower.apply(variables, X), "model")


def test_a_scan_is_traced_once() -> None:
    traced = []

    class Noted(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            traced.append(1)
            return nn.Dense(8)(x)

    tower = nn.Repeat(Noted, 48, scan=True)
    variables = tower.init(KEY, X)
    traced.clear()
    jax.jit(tower.apply)(variables, X)
    assert len(traced) == 1


def test_vmap_over_towers() -> None:
    tower = nn.Repeat(partial(nn.Dense, 8), N, scan=True)
    variables = jax.vmap(tower.init, (0, None))(jax.random.split(KEY, 2), X)
    y = jax.vmap(tower.apply, (0, None))(variables, X)
    for i in range(2):
        one = jax.tree.map(lambda x, i=i: x[i], variables)
        assert_close(y[i], tower.apply(one, X), "model")


def test_a_tower_inside_of_lifted_transformations() -> None:
    class Outer(nn.Module):
        scan: bool

        @nn.compact
        def __call__(self, x: Any) -> Any:
            towers = nn.Repeat(
                partial(nn.Repeat, partial(nn.Dense, 8), 2, scan=self.scan), N, scan=self.scan
            )
            return towers(x)

    variables = Outer(False).init(KEY, X)
    want = Outer(True).init(KEY, X)
    assert_same(nn.stack_layers(variables), want)
    assert_close(Outer(True).apply(want, X), Outer(False).apply(variables, X), "model")


def test_traces_may_be_shared() -> None:
    block, rngs, _ = BLOCKS["transformer"]
    tower = nn.Repeat(block, N)
    want = tower.init(rngs, X)
    with config.temp_flip_flag("ramie_share_traces", True):
        assert config.ramie_share_traces
        assert_same(tower.init(rngs, X), want)
        y = tower.apply(want, X, train=True, rngs=rngs, mutable=True)
    assert_same(y, tower.apply(want, X, train=True, rngs=rngs, mutable=True), "model")


def test_tables_show_layers() -> None:
    tower = nn.Repeat(partial(nn.Dense, 8), N)
    for scan, names in ((False, ("layers_0", "layers_2")), (True, ("layers ",))):
        table = tower.clone(scan=scan).tabulate(KEY, X)
        assert all(name in table for name in names)
        assert "step" not in table


def test_errors_name_the_layer_or_the_tower() -> None:
    tower = nn.Repeat(partial(nn.Dense, 8), N)
    variables = tower.init(KEY, X)
    bad = jax.tree.map(lambda x: x, variables)
    bad["params"]["layers_1"]["kernel"] = jnp.ones((7, 8))
    with pytest.raises(ScopeParamShapeError, match="/layers_1"):
        tower.apply(bad, X)
    stacked = nn.stack_layers(variables)
    stacked["params"]["layers"]["kernel"] = jnp.ones((N, 7, 8))
    with pytest.raises(ScopeParamShapeError, match="/scan\\(layers\\)"):
        tower.clone(scan=True).apply(stacked, X)


CHANGES = {
    "shape": (lambda y: y[:, :4], r"got float32\[4@data,8\].* returned float32\[4@data,4\]"),
    "dtype": (lambda y: y.astype(jnp.bfloat16), r"returned bfloat16\[4@data,8\]"),
    "structure": (lambda y: {"a": y}, r"returned the structure PyTreeDef\(\{'a'"),
    "sharding": (
        lambda y: jax.sharding.reshard(y, PartitionSpec(None, None)),
        r"got float32\[4@data,8\].* returned float32\[4,8\]",
    ),
}


class Changes(nn.Module):
    change: str

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return CHANGES[self.change][0](nn.Dense(8)(x))


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_errors_name_a_layer_that_hands_on_something_else(change: str, remat: bool) -> None:
    kinds = (AxisType.Explicit, AxisType.Explicit)
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=kinds)
    tower = nn.Repeat(partial(Changes, change), N, scan=True, remat=remat)
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((4, 8)), NamedSharding(mesh, PartitionSpec("data")))
        with pytest.raises(TypeError, match=f"Changes at /layers .*{CHANGES[change][1]}"):
            tower.init(KEY, x)


def test_what_makes_no_tower_is_refused() -> None:
    with pytest.raises(TypeError, match=r"functools.partial of one.*not a Dense"):
        nn.Repeat(nn.Dense(8), 3)
    with pytest.raises(TypeError, match="give it a module class"):
        nn.Repeat(lambda x: x, 3)
    for name in ("length", "unroll", "carried"):
        with pytest.raises(ValueError, match=f"{name} of nn.Repeat has to be 1 or more, found 0"):
            nn.Repeat(nn.Dense, **{"length": 2, name: 0})
    with pytest.raises(ValueError, match="remat=True"):
        nn.Repeat(nn.Dense, 2, policy=jax.checkpoint_policies.dots_saveable)
    with pytest.raises(TypeError, match=r"carries 2 arguments .* called with 1"):
        nn.Repeat(partial(nn.Dense, 8), 2, carried=2).init(KEY, X)
    for scan in (False, True):
        dense = nn.Repeat(partial(nn.Dense, 8), 2, scan=scan)
        with pytest.raises(TypeError, match=r"carried as a tuple, but Swapped"):
            nn.Repeat(Swapped, 2, scan=scan, carried=2).init(KEY, X, X)
        with pytest.raises(TypeError, match="With has_aux of Repeat a layer returns a pair"):
            dense.clone(has_aux=True).init(KEY, X)


class Swapped(nn.Dense):
    features: int = 8

    def __call__(self, a: Any, b: Any) -> Any:
        return super().__call__(a)


def dense(width: int, *names: str | None) -> nn.Dense:
    init = nn.with_partitioning(nn.initializers.lecun_normal(), names)
    return nn.Dense(width, use_bias=False, kernel_init=init)


class Divided(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return x + dense(8, "model", None)(nn.relu(dense(16, None, "model")(x)))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("scan", [False, True])
def test_on_a_mesh_a_tower_computes_the_same_and_gradients_lie_like_parameters(
    kind: AxisType, scan: bool
) -> None:
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind, kind))
    tower = nn.Repeat(Divided, N, scan=scan)
    boxed = tower.init(KEY, X[0])
    variables, x = nn.meta.unbox(boxed), jnp.tile(X[0], (2, 1))

    def loss(variables: Any, x: Any) -> Any:
        return jnp.sum(tower.apply(variables, x) ** 2)

    expected = jax.value_and_grad(loss)(variables, x)
    placed = jax.tree.map(
        lambda spec: NamedSharding(mesh, spec),
        nn.get_partition_spec(boxed),
        is_leaf=lambda spec: isinstance(spec, PartitionSpec),
    )
    rows = NamedSharding(mesh, PartitionSpec("data"))
    with jax.set_mesh(mesh):
        step = jax.jit(
            jax.value_and_grad(loss), in_shardings=(placed, rows), out_shardings=(None, placed)
        )
        found = step(jax.device_put(variables, placed), jax.device_put(x, rows))
    assert_close(found[0], expected[0], "model")
    trees = (found[1], expected[1], placed)
    for grad, same, sharding in zip(*map(jax.tree.leaves, trees), strict=True):
        assert_close(grad, same, "model")
        assert grad.sharding.is_equivalent_to(sharding, grad.ndim)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_layers_are_divided_over_automatic_axes_only(kind: AxisType) -> None:
    mesh = jax.make_mesh((2, 2), ("stage", "model"), axis_types=(kind, kind))
    tower = nn.Repeat(Divided, 4, scan=True, partition_name="stage")
    want = tower.apply(tower.init(KEY, X[0]), X[0])
    with jax.set_mesh(mesh):
        shardings = nn.get_sharding(jax.eval_shape(tower.init, KEY, X[0]), mesh)
        variables = jax.jit(tower.init, out_shardings=shardings)(KEY, X[0])
        kernel = nn.meta.unbox(variables)["params"]["layers"]["Dense_0"]["kernel"]
        assert kernel.sharding.spec[0] == "stage"
        if kind == AxisType.Auto:
            assert_close(jax.jit(tower.apply)(variables, X[0]), want, "model")
            return
        with pytest.raises(ValueError, match=r"Repeat at / are divided .*'stage'.*'kernel'"):
            jax.jit(tower.apply)(variables, X[0])
        assert tower.apply(tower.init(KEY, X[0]), X[0]).shape == X[0].shape
