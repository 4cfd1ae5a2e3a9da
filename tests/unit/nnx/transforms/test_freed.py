"""What a call leaves behind: arrays go with the last reference, before the garbage collector."""

import gc
from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest

from ramie import nnx

X = jnp.linspace(-1.0, 1.0, 8).reshape(2, 4)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(4, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.drop(self.norm(self.dense(x)))


def loss(net, x):
    return jnp.sum(net(x) ** 2)


def train(net, optimizer, x):
    value, grads = nnx.value_and_grad(loss)(net, x)
    optimizer.update(net, grads)
    return value, grads


def made():
    return Net(nnx.Rngs(0))


def optimizer(net):
    return nnx.Optimizer(net, optax.adam(1e-3), wrt=nnx.Param)


@nnx.vmap
def ensemble(key):
    return Net(nnx.Rngs(key))


def tower(**options):
    return nnx.Repeat(partial(nnx.Linear, 4, 4), 3, rngs=nnx.Rngs(0), **options)


def jitted(fun, *models, **options):
    compiled = nnx.jit(fun, **options)
    return lambda: compiled(*models, X)


def step(**options):
    net = made()
    return jitted(train, net, optimizer(net), **options)


def by_keyword():
    net, compiled = made(), nnx.jit(lambda *, net, x: nnx.grad(loss)(net, x))
    return lambda: compiled(net=net, x=X)


def static():
    net = made()
    compiled = nnx.jit(lambda net, n, x: nnx.grad(loss)(net, n * x), static_argnums=1)
    return lambda: compiled(net, 2, X)


def relinked():
    def rebuilt(net, x):
        net.other = nnx.Param(net(x))
        return net.other, nnx.clone(net)

    return jitted(rebuilt, made())


def partially():
    net = made()
    compiled = nnx.cached_partial(nnx.jit(lambda net, x: nnx.grad(loss)(net, x)), net)
    return lambda: compiled(X)


def scanned():
    nets = ensemble(jax.random.split(jax.random.key(0), 3))
    run = nnx.scan(lambda net, x: net(x), in_axes=(0, nnx.Carry), out_axes=nnx.Carry)
    return lambda: run(nets, X)


def mapped():
    nets = ensemble(jax.random.split(jax.random.key(0), 3))
    run = nnx.vmap(lambda net, x: (net(x), nnx.clone(net)), in_axes=(0, None))
    return lambda: run(nets, X)


def pulled_back():
    net = made()
    return lambda: nnx.vjp(loss, net, X, graph_updates=False)[1](jnp.ones(()))


def without_graph():
    dense = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    return jitted(nnx.value_and_grad(loss, graph=False), dense, graph=False)


def pushed_forward():
    net, wrt = made(), nnx.clone(made())
    return lambda: nnx.jvp(loss, (net, X), (wrt, X), graph=False)


def looped():
    net = made()
    return lambda: nnx.fori_loop(0, 2, lambda i, c: (c[0], c[0](c[1])), (net, X))


def branched():
    net = made()
    return lambda: nnx.cond(True, lambda net, x: net(x), lambda net, x: x, net, X)


def of(function, *arguments):
    return lambda: function(*arguments)


CALLS = {
    "jit": lambda: jitted(loss, made()),
    "jit of gradients": lambda: jitted(nnx.value_and_grad(loss), made()),
    "jit without graph": without_graph,
    "jit without updates": lambda: jitted(nnx.grad(loss), made(), graph_updates=False),
    "jit of a step": step,
    "donate": lambda: step(donate_argnums=(0, 1)),
    "donate auto": lambda: step(donate="auto"),
    "jit by keyword": by_keyword,
    "static arguments": static,
    "jit that makes a model": lambda: of(nnx.jit(made)),
    "jit that changes structure": relinked,
    "jit of a state": lambda: jitted(lambda net, x: nnx.state(net), made()),
    "cached_partial": partially,
    "jit_partial": lambda: of(lambda: nnx.jit_partial(loss, made())(X)),
    "grad": lambda: of(nnx.grad(loss), made(), X),
    "remat": lambda: of(nnx.grad(nnx.remat(loss)), made(), X),
    "vjp": pulled_back,
    "jvp": pushed_forward,
    "scan": scanned,
    "vmap": mapped,
    "vmap that makes models": lambda: of(ensemble, jax.random.split(jax.random.key(0), 3)),
    "fori_loop": looped,
    "cond": branched,
    "written out": lambda: of(nnx.grad(loss), tower(), X),
    "scanned tower": lambda: of(nnx.grad(loss), tower(scan=True), X),
    "rematerialized tower": lambda: of(nnx.grad(loss), tower(scan=True, remat=True), X),
    "scanned tower in jit": lambda: jitted(nnx.grad(loss), tower(scan=True)),
    "making a tower": lambda: of(partial(tower, scan=True)),
    "split and merge": lambda: of(lambda net: nnx.merge(*nnx.split(net)), made()),
    "clone": lambda: of(nnx.clone, made()),
    "pop": lambda: of(lambda: nnx.pop(made(), nnx.BatchStat)),
    "states": lambda: of(lambda: nnx.state(made()).flat_state()),
    "pure states": lambda: of(lambda: nnx.to_flat_state(nnx.state(made()))),
    "duplicates": lambda: of(lambda: nnx.find_duplicates(made())),
    "paths": lambda: of(lambda: next(nnx.iter_graph(made()))),
    "text": lambda: of(lambda: repr(made())),
}


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_left_to_the_garbage_collector(name, quick_collections):
    call = CALLS[name]()
    for _ in range(3):
        call()
    gc.collect()
    gc.disable()
    try:
        before = len(jax.live_arrays())
        after = []
        for _ in range(3):
            call()
            after.append(len(jax.live_arrays()))
    finally:
        gc.enable()
    assert after == [before] * 3
