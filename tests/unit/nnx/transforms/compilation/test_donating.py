"""donate="auto": what is given away, what is not, and that nothing reachable is ever deleted."""

import gc
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from tests.tolerance import assert_exact
from tests.unit.nnx.transforms.holders import HOLDERS, SIZE, content, made

from ramie import nnx
from ramie.checkpoint.saving.background import AsyncManager
from ramie.configurations import config
from ramie.core.donation import copied
from ramie.nnx.transforms.compilation import donating
from ramie.training.checkpoints import restore_checkpoint, save_checkpoint


class Block(nnx.Module):
    """A layer with a norm, noise, and a part that a step does not change."""

    def __init__(self, rngs):
        self.linear = nnx.Linear(SIZE, SIZE, rngs=rngs)
        self.norm = nnx.BatchNorm(SIZE, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.fixed = nnx.Variable(jnp.ones((SIZE, SIZE)) * 0.5)

    def __call__(self, x):
        return self.dropout(self.norm(self.linear(x))) @ self.fixed


def _train(model, optimizer, x):
    def loss(model):
        return (model(x) ** 2).mean()

    value, grads = nnx.value_and_grad(loss)(model)
    optimizer.update(model, grads)
    return value


def _trained(seed=0):
    model = Block(nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    _settle(model, optimizer)
    return model, optimizer


def _settle(*nodes):
    """Put values into memory of JAX: at first it may have borrowed that of NumPy."""
    for node in nodes:
        nnx.update(node, jax.tree.map(jnp.copy, nnx.state(node)))


def _address(variable):
    return variable.raw_value.unsafe_buffer_pointer()


def _batch(seed=0):
    return jax.random.normal(jax.random.key(seed), (8, SIZE))


def _values(*nodes):
    return jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(nodes, nnx.Not(nnx.RngState))))


@nnx.jit(donate="auto")
def double(module):
    module.w[...] = module.w * 2


# --- what is given away ---------------------------------------------------------------------------


def test_what_a_step_replaces_is_given_away_and_the_numbers_are_the_same(deleted):
    auto, named = nnx.jit(_train, donate="auto"), nnx.jit(_train, donate="named")
    found = []
    for step in (auto, named):
        model, optimizer = _trained()
        before = _address(model.linear.kernel), _address(model.norm.mean), _address(model.fixed)
        losses = [np.asarray(step(model, optimizer, _batch(i))) for i in range(3)]
        after = _address(model.linear.kernel), _address(model.norm.mean), _address(model.fixed)
        is_same = [x == y for x, y in zip(before, after, strict=True)]
        assert is_same == ([True, True, True] if step is auto else [False, False, True])
        found.append((losses, _values(model, optimizer)))
    jax.tree.map(assert_exact, *found)
    assert deleted() == []


def test_a_step_takes_no_memory_for_its_new_state():
    model, optimizer = _trained()
    size = sum(x.nbytes for x in jax.tree.leaves(_values(model, optimizer)))
    compiled = nnx.jit(_train, donate="auto").lower(model, optimizer, _batch()).compile()
    analysis = compiled.memory_analysis()
    assert analysis.alias_size_in_bytes > 0.7 * size  # the rest, `fixed`, stays as it is
    assert analysis.output_size_in_bytes - analysis.alias_size_in_bytes < 0.01 * size
    before = _address(model.linear.kernel)
    compiled(model, optimizer, _batch())
    assert _address(model.linear.kernel) == before
    kept = model.linear.kernel[...]
    value = np.array(kept)
    compiled(model, optimizer, _batch())
    assert_exact(kept, value)


def test_nothing_is_traced_or_compiled_twice():
    traced = []

    @nnx.jit(donate="auto")
    def step(module, x):
        traced.append(x.shape)
        module.w[...] += x.sum()

    module = made()
    kept = None
    for x in (jnp.ones(2), jnp.ones(2), jnp.ones(3), jnp.ones(2), jnp.ones(3)):
        step(module, x)
        kept = module.w[...] if kept is None else None  # sometimes held
    assert traced == [(2,), (3,)]
    assert_exact(module.w[...], np.full((SIZE, SIZE), 1.0 + 3 * 2 + 2 * 3, np.float32))


def test_the_flag_says_what_is_not_said_in_the_call():
    module = made()

    @nnx.jit
    def plain(module):
        module.w[...] *= 2

    @nnx.jit(donate="named")
    def never(module):
        module.w[...] *= 2

    @nnx.jit(donate_argnums=1)
    def named(module, x):
        module.w[...] *= 2
        return x + 1

    def keeps(function, *args):
        before = _address(module.w)
        function(module, *args)
        return _address(module.w) == before

    assert not keeps(plain)
    with config.temp_flip_flag("ramie_donate", "auto"):
        assert keeps(plain) and not keeps(never)
        x = jnp.ones(3) + 0
        assert not keeps(named, x) and x.is_deleted()
    assert not keeps(plain)


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match=r"nnx.jit got donate='always'"):
        nnx.jit(lambda x: x, donate="always")
    for name in ("donate_argnums", "donate_argnames"):
        with pytest.raises(ValueError, match=f'donate="auto" and {name}'):
            nnx.jit(lambda x: x, donate="auto", **{name: "x" if name.endswith("s") else 0})
    with pytest.raises(ValueError, match=r"nnx.jit_partial got .* in_shardings"):
        nnx.jit_partial(lambda x: x, donate="auto", in_shardings=jax.devices()[0])


def test_first_arguments_that_are_given_once():
    module = made()
    step = nnx.jit_partial(
        lambda module, x: module.w.set_value(module.w + x), module, donate="auto"
    )
    before = _address(module.w)
    step(1.0)
    assert _address(module.w) == before
    assert_exact(module.w[0, 0], np.float32(2))


@pytest.mark.parametrize("spec", [PartitionSpec("data"), PartitionSpec()])
def test_on_several_devices(spec, monkeypatch):
    mesh = jax.make_mesh((4,), ("data",))
    module = made()
    module.w[...] = jax.device_put(module.w[...], NamedSharding(mesh, spec)) + 0
    copies = []
    monkeypatch.setattr(donating, "copied", lambda x: copies.append(1) or copied(x))
    for _ in range(3):
        double(module)
    assert len(module.w.raw_value.devices()) == 4 and not copies
    part = module.w[...].addressable_data(2)
    value = np.array(part)
    double(module)
    assert_exact(part, value)
    assert_exact(module.w[...], np.full((SIZE, SIZE), 16.0, np.float32))
    assert len(copies) == 1
    whole = double.lower(module).compile().memory_analysis()
    assert whole.alias_size_in_bytes == whole.output_size_in_bytes > 0


# --- what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_something_holds_keeps_its_value(holder):
    module = made(3.0)
    expected = content(HOLDERS[holder](made(3.0)))
    double(module)
    module.w[...] = jnp.full((SIZE, SIZE), 3.0) + 0
    held = HOLDERS[holder](module)
    double(module)
    for x, y in zip(content(held), expected, strict=True):
        assert_exact(x, y)
    assert_exact(module.w[...], np.full((SIZE, SIZE), 6.0, np.float32))
    del held
    gc.collect()
    double(module)
    before = _address(module.w)
    double(module)
    assert _address(module.w) == before


def test_two_variables_of_one_array_stay_two():
    w = jnp.ones((SIZE, SIZE)) + 0
    module = nnx.Dict(w=nnx.Param(w), other=nnx.Param(w))
    del w
    double(module)
    assert_exact(module.other[...], np.ones((SIZE, SIZE), np.float32))

    @nnx.jit(donate="auto")
    def both(module):
        module.w[...], module.other[...] = module.w + 1, module.other + 2

    module.other[...] = module.w[...]
    both(module)
    assert_exact(module.w[...], np.full((SIZE, SIZE), 3.0, np.float32))
    assert_exact(module.other[...], np.full((SIZE, SIZE), 4.0, np.float32))


def test_an_array_that_is_also_an_argument():
    module = made()

    @nnx.jit(donate="auto")
    def add(module, x):
        module.w[...] += x
        return x

    x = add(module, module.w[...])
    assert_exact(x, np.ones((SIZE, SIZE), np.float32))
    assert_exact(module.w[...], np.full((SIZE, SIZE), 2.0, np.float32))


def test_old_values_that_a_step_returns():
    @nnx.jit(donate="auto")
    def exchange(module):
        old = module.w[...]
        module.w[...] = old + 1
        return old, module.w[...], module

    module = made()
    for i in range(3):
        old, new, same = exchange(module)
        assert same is module
        assert_exact(old, np.full((SIZE, SIZE), 1.0 + i, np.float32))
        assert_exact(new, np.full((SIZE, SIZE), 2.0 + i, np.float32))
        assert_exact(module.w[...], new)


def test_a_model_that_the_function_sees_from_outside_too(deleted):
    module = made(2.0)
    seen = []

    @nnx.jit(donate="auto")
    def step(module_inside, x):
        module_inside.w[...] = module_inside.w + module.w[...] * x.sum()

    for x in (jnp.ones(1), jnp.ones(1), jnp.ones(3), jnp.ones(3), jnp.ones(1)):
        step(module, x)
        seen.append(float(module.w[0, 0]))
    # As everywhere under jit: what was seen while tracing is a constant.
    assert seen == [4.0, 6.0, 6.0 + 3 * 6.0, 24.0 + 18.0, 44.0]
    assert deleted() == []


def test_memory_of_numpy_is_not_written_to():
    from tests.memory import aligned

    memory = aligned((SIZE, SIZE))
    memory[:] = 1
    module = nnx.Dict(w=nnx.Param(jax.device_put(memory)), other=nnx.Param(memory))
    assert _address(module.w) == memory.ctypes.data
    double(module)
    assert_exact(memory, np.ones((SIZE, SIZE), np.float32))
    assert_exact(module.w[...], memory * 2)


def test_values_that_are_no_arrays():
    @nnx.jit(donate="auto")
    def step(module):
        module.n[...] = module.n + 1
        module.pair.value = {k: v + 1 for k, v in module.pair.value.items()}
        module.host[...] = module.host + 1

    module = nnx.Dict(
        n=nnx.Variable(1), pair=nnx.Variable({"a": jnp.ones(2)}), host=nnx.Variable(np.ones(2))
    )
    pair = module.pair.value
    for i in range(3):
        step(module)
        assert int(module.n[...]) == 2 + i
        assert_exact(module.pair.value["a"], np.full(2, 2.0 + i, np.float32))
        assert_exact(module.host[...], np.full(2, 2.0 + i, np.float32))
    assert_exact(pair["a"], np.ones(2, np.float32))
    module.n[...] = jnp.array(5)  # other kinds of value for the same structure
    module.pair.value = jnp.ones(3)
    with pytest.raises(AttributeError):
        step(module)
    assert int(module.n[...]) == 5


def test_random_keys_and_references_stay():
    module = nnx.Dict(rngs=nnx.Rngs(0), ref=nnx.Variable(jnp.ones(3), ref=True))

    @nnx.jit(donate="auto")
    def step(module):
        module.ref[...] += 1
        return module.rngs()

    key = module.rngs.default.key[...]
    assert len({tuple(jax.random.key_data(step(module)).tolist()) for _ in range(3)}) == 3
    assert module.rngs.default.key[...] == key
    assert_exact(module.ref[...], np.full(3, 4.0, np.float32))


@pytest.mark.parametrize("graph_updates", [True, False])
def test_steps_that_change_structure(graph_updates):
    @nnx.jit(donate="auto", graph=True, graph_updates=graph_updates)
    def step(module, more):
        if graph_updates:
            module.new = nnx.Param(module.w[...] * 10)
        module.w[...] *= more
        return module.w[...]

    module = made()
    w = module.w
    for i in range(3):
        step(module, 2.0)
        assert module.w is w
        assert_exact(w[...], np.full((SIZE, SIZE), 2.0 ** (i + 1), np.float32))
        if graph_updates:
            assert_exact(module.new[...], np.full((SIZE, SIZE), 10 * 2.0**i, np.float32))
            del module.new


def test_a_variable_that_only_some_shapes_replace_or_lose(deleted):
    @nnx.jit(donate="auto")
    def step(module, x):
        if x.size == 1:
            module.w[...] = module.w + 1
        elif x.size == 3:
            del module.w

    module = made()
    w = module.w
    step(module, jnp.ones(1))
    step(module, jnp.ones(2))  # it comes back as it is
    assert_exact(w[...], np.full((SIZE, SIZE), 2.0, np.float32))
    step(module, jnp.ones(3))
    assert not hasattr(module, "w")
    assert_exact(w[...], np.full((SIZE, SIZE), 2.0, np.float32))
    module.w = w
    step(module, jnp.ones(1))
    step(module, jnp.ones(3))
    assert_exact(w[...], np.full((SIZE, SIZE), 3.0, np.float32))
    assert deleted() == []


# --- failures -------------------------------------------------------------------------------------


def test_a_step_that_fails_before_it_runs_leaves_the_model_whole(deleted):
    model, optimizer = _trained()
    step = nnx.jit(_train, donate="auto")
    for good, bad, error in (
        (False, jnp.ones((8, SIZE + 1)), TypeError),
        (True, jnp.ones((8, SIZE + 1)), TypeError),
        (True, object(), TypeError),
    ):
        if good:
            step(model, optimizer, _batch())
        expected = _values(model, optimizer)
        with pytest.raises(error):
            step(model, optimizer, bad)
        jax.tree.map(assert_exact, _values(model, optimizer), expected)
    step(model, optimizer, _batch())
    assert deleted() == []


def test_a_step_that_fails_while_it_runs_says_what_is_lost():
    def refuse(x):
        raise ValueError("no")

    @nnx.jit(donate="auto")
    def step(module):
        module.w[...] = module.w + 1
        jax.debug.callback(refuse, module.w[0, 0])

    module = made()
    with pytest.raises(Exception, match="no") as found:
        step(module)
        jax.effects_barrier()
        jax.block_until_ready(module.w[...])
    if module.w.raw_value.is_deleted():
        notes = "\n".join(found.value.__notes__)
        assert "1 variables" in notes and "args[0].w" in notes and "checkpoint" in notes
    assert_exact(module.other[...], np.ones(SIZE, np.float32))


def test_while_nans_are_looked_for_nothing_is_given_away():
    module = made()
    with jax.debug_nans(True):
        before = module.w[...]
        double(module)
    assert_exact(before, np.ones((SIZE, SIZE), np.float32))
    with jax.disable_jit():
        double(module)
    assert_exact(module.w[...], np.full((SIZE, SIZE), 4.0, np.float32))


# --- around it ------------------------------------------------------------------------------------


def test_inside_of_other_transformations():
    module = made()

    @nnx.jit
    def outer(module):
        double(module)
        return module.w.sum()

    assert_exact(outer(module), np.float32(2 * SIZE * SIZE))
    double(module)
    grads = nnx.grad(lambda m: (double(m), m.w.sum())[1])(module)
    assert_exact(grads["w"][...], np.full((SIZE, SIZE), 2.0, np.float32))
    assert_exact(module.w[...], np.full((SIZE, SIZE), 8.0, np.float32))
    assert jax.tree.leaves(double.eval_shape(module)) == []
    assert "donor" in double.lower(module).as_text() or "alias" in double.lower(module).as_text()
    double.clear_cache()
    double(module)
    assert_exact(module.w[...], np.full((SIZE, SIZE), 16.0, np.float32))


def test_a_save_in_the_background_gets_the_values_of_its_call(tmp_path):
    model, optimizer = _trained()
    step = nnx.jit(_train, donate="auto")
    manager = AsyncManager()
    for i in range(4):
        step(model, optimizer, _batch(i))
        state = nnx.to_pure_dict(nnx.state(model, nnx.Param))
        expected = jax.tree.map(np.array, state)
        save_checkpoint(tmp_path, state, i, keep=9, async_manager=manager)
        del state
        step(model, optimizer, _batch(i + 10))
        manager.wait_previous_save()
        jax.tree.map(assert_exact, restore_checkpoint(tmp_path, expected, i), expected)


def test_two_models_in_two_threads():
    step = nnx.jit(_train, donate="auto")
    models = [_trained(i) for i in range(2)]
    failures = []

    def run(model, optimizer, seed):
        try:
            for i in range(8):
                step(model, optimizer, _batch(seed + i))
        except Exception as error:  # told to the main thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(*m, 9 * i)) for i, m in enumerate(models)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for i, (model, optimizer) in enumerate(models):
        alone, its_optimizer = _trained(i)
        for number in range(8):
            nnx.jit(_train)(alone, its_optimizer, _batch(9 * i + number))
        jax.tree.map(assert_exact, _values(model, optimizer), _values(alone, its_optimizer))
