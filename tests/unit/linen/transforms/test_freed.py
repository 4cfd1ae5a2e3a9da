"""What a call leaves behind: arrays go with the last reference, before the garbage collector."""

import gc

import jax
import jax.numpy as jnp
import pytest

from ramie import linen as nn

X = jnp.linspace(-1.0, 1.0, 8).reshape(2, 4)
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
LAYERS = {"variable_axes": {True: 0}, "split_rngs": {True: True}}


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        self.sow("intermediates", "hidden", x)
        return nn.BatchNorm(use_running_average=False)(nn.Dropout(0.5, deterministic=False)(x))


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return Net()(x), None


class Around(nn.Module):
    """A module that calls `function` with itself and its input."""

    function: object

    @nn.compact
    def __call__(self, x):
        return self.function(self, x)


def scanned(module, x):
    return nn.scan(Layer, length=3, **LAYERS)(parent=module)(x, None)[0]


def looped(module, x):
    dense = nn.Dense(4, parent=module)
    if module.is_initializing():
        return dense(x)
    x = nn.cond(x.sum() > 0, lambda m, x: m(x), lambda m, x: x, dense, x)
    return nn.while_loop(lambda m, c: c[1] < 2, lambda m, c: (m(c[0]), c[1] + 1), dense, (x, 0))[0]


def switched(module, x):
    layers = [nn.Dense(4, parent=module), nn.Dense(4, parent=module)]
    if module.is_initializing():
        return layers[1](layers[0](x))
    return nn.switch(1, [lambda m, x: layers[0](x), lambda m, x: layers[1](x)], module, x)


def pulled_back(module, x):
    return nn.vjp(lambda m, x: m(x), nn.Dense(4, parent=module), x)[1](x)[1]


def pushed_forward(module, x):
    return nn.jvp(lambda m, x: m(x), nn.Dense(4, parent=module), (x,), (x,), {})[1]


def in_method(transform):
    """Transform a function that closes over the module, anew in each call."""

    def call(module, x):
        return transform(lambda m, x: Net(parent=m)(x) + module.path.__len__())(module, x)

    return call


def recurrent(module, x):
    return nn.RNN(nn.LSTMCell(4), parent=module)(x[None])


MODULES = {
    "plain": Net(),
    "jit": nn.jit(Net)(),
    "jit in a method": Around(in_method(nn.jit)),
    "remat": nn.remat(Net)(),
    "remat in a method": Around(in_method(nn.remat)),
    "fold_rngs in a method": Around(in_method(nn.fold_rngs)),
    "vmap": nn.vmap(Net, **LAYERS)(),
    "scan": Around(scanned),
    "map_variables": nn.map_variables(Net, "params", mutable=True)(),
    "cond and while_loop": Around(looped),
    "switch": Around(switched),
    "vjp": Around(pulled_back),
    "jvp": Around(pushed_forward),
    "RNN": Around(recurrent),
    "tower": nn.Repeat(Net, 3),
    "scanned tower": nn.Repeat(Net, 3, scan=True),
    "rematerialized tower": nn.Repeat(Net, 3, scan=True, remat=True),
}


def left_behind(call):
    """Return how many arrays more there are after each of three calls."""
    for _ in range(3):
        call()
    gc.collect()
    gc.disable()
    try:
        before = len(jax.live_arrays())
        found = []
        for _ in range(3):
            call()
            found.append(len(jax.live_arrays()) - before)
    finally:
        gc.enable()
    return found


@pytest.mark.parametrize("name", MODULES)
def test_apply_leaves_nothing_to_the_garbage_collector(name, quick_collections):
    module = MODULES[name]
    variables = jax.jit(module.init)(KEYS, X)
    assert left_behind(lambda: module.apply(variables, X, rngs=KEYS, mutable=True)) == [0] * 3


@pytest.mark.parametrize("name", ["plain", "jit", "remat", "scan", "scanned tower"])
def test_nor_do_init_and_gradients(name, quick_collections):
    module = MODULES[name]
    variables = jax.jit(module.init)(KEYS, X)

    def loss(params):
        out, _ = module.apply({**variables, "params": params}, X, rngs=KEYS, mutable=True)
        return jnp.sum(out**2)

    assert left_behind(lambda: module.init(KEYS, X)) == [0] * 3
    assert left_behind(lambda: jax.grad(loss)(variables["params"])) == [0] * 3


def test_nor_do_bound_modules_and_tables(quick_collections):
    module = Net()
    variables = module.init(KEYS, X)
    assert left_behind(lambda: module.bind(variables, rngs=KEYS).unbind()) == [0] * 3
    assert left_behind(lambda: nn.tabulate(module, KEYS)(X)) == [0] * 3
    tower = nn.Repeat(Net, 3)
    assert left_behind(lambda: nn.stack_layers(tower.init(KEYS, X))) == [0] * 3
