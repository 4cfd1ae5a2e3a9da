"""Errors of layers say which layer, where in the model, what it takes and what it got."""

import jax
import jax.numpy as jnp
import pytest

from ramie import errors, nnx

X = jnp.ones((2, 5))  # all layers below take 3 features


def rngs():
    return nnx.Rngs(0)


class Net(nnx.Module):
    def __init__(self, layer):
        self.layers = nnx.List([jax.nn.relu, layer])

    def __call__(self, *args):
        return self.layers[1](*args)


def cell(kind):
    layer = kind(3, 4, rngs=rngs())
    return layer, (layer.initialize_carry((2, 3), rngs()), X)


def attending():
    layer = nnx.Embed(4, 3, rngs=rngs())
    return type("Head", (Net,), {"__call__": lambda self, x: self.layers[1].attend(x)})(layer), X


ROWS = {
    "Linear": (nnx.Linear(3, 4, rngs=rngs()), (X,), "Linear at /layers/1 "),
    "LinearGeneral": (
        nnx.LinearGeneral((3,), 4, rngs=rngs()),
        (X,),
        "LinearGeneral at /layers/1 ",
    ),
    "Einsum": (nnx.Einsum("ab,bc->ac", (3, 4), rngs=rngs()), (X,), "Einsum at /layers/1 "),
    "Einsum with bias": (
        nnx.Einsum("ab,bc->ac", (3, 4), (4,), rngs=rngs()),
        (X,),
        "Einsum at /layers/1 ",
    ),
    "LoRA": (nnx.LoRA(3, 2, 3, rngs=rngs()), (X,), "LoRA at /layers/1 "),
    "LoRALinear": (
        nnx.LoRALinear(3, 3, lora_rank=2, rngs=rngs()),
        (X,),
        "LoRALinear at /layers/1 ",
    ),
    "Conv": (nnx.Conv(3, 4, (2,), rngs=rngs()), (X[None],), "Conv at /layers/1 "),
    "ConvTranspose": (
        nnx.ConvTranspose(3, 4, (2,), rngs=rngs()),
        (X[None],),
        "ConvTranspose at /layers/1 ",
    ),
    "BatchNorm": (nnx.BatchNorm(3, rngs=rngs()), (X,), "BatchNorm at /layers/1 "),
    "LayerNorm": (nnx.LayerNorm(3, rngs=rngs()), (X,), "LayerNorm at /layers/1 "),
    "RMSNorm": (nnx.RMSNorm(3, rngs=rngs()), (X,), "RMSNorm at /layers/1 "),
    "GroupNorm": (nnx.GroupNorm(3, 3, rngs=rngs()), (X,), "GroupNorm at /layers/1 "),
    "InstanceNorm": (nnx.InstanceNorm(3, rngs=rngs()), (X[None],), "InstanceNorm at /layers/1 "),
    "MultiHeadAttention": (
        nnx.MultiHeadAttention(1, 3, rngs=rngs(), decode=False),
        (X[None],),
        "MultiHeadAttention at /layers/1 ",
    ),
    "LSTMCell": (*cell(nnx.LSTMCell), "Linear at /layers/1/ii "),
    "OptimizedLSTMCell": (*cell(nnx.OptimizedLSTMCell), "Linear at /layers/1/dense_i "),
    "GRUCell": (*cell(nnx.GRUCell), "Linear at /layers/1/dense_i "),
    "SimpleCell": (*cell(nnx.SimpleCell), "Linear at /layers/1/dense_i "),
    "RNN": (nnx.RNN(cell(nnx.LSTMCell)[0]), (X[None],), "Linear at /layers/1/cell/ii "),
    "Sequential": (
        nnx.Sequential(jnp.sin, nnx.Linear(3, 4, rngs=rngs())),
        (X,),
        "Linear at /layers/1/layers/1 ",
    ),
}


def run(model, *args):
    return model(*args)


@pytest.mark.parametrize("how", [run, nnx.jit(run), nnx.remat(run)], ids=["eager", "jit", "remat"])
@pytest.mark.parametrize("name", ROWS)
def test_a_width_that_does_not_fit(name, how):
    layer, args, place = ROWS[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        how(Net(layer), *args)
    text = str(caught.value)
    assert place in text
    assert "3" in text and "5" in text.partition(place)[0] + text.partition(place)[2]
    assert len(text) < 600


def test_what_jax_says_and_raises_stays_there_to_be_matched():
    layer = nnx.Linear(3, 4, rngs=rngs())
    for kind in (TypeError, ValueError, errors.InputShapeError):
        with pytest.raises(kind, match="dot_general requires contracting dimensions"):
            layer(X)


def test_the_logits_of_a_table():
    model, x = attending()
    with pytest.raises(
        errors.InputShapeError, match=r"Embed at /layers/1 .*size 3 .*float32\[2,5\]"
    ):
        model(x)


def test_other_errors_get_a_note_with_the_place():
    with pytest.raises(ValueError, match="Input type must be an integer") as caught:
        Net(nnx.Embed(4, 3, rngs=rngs()))(X)
    assert "In module Embed at /layers/1" in caught.value.__notes__

    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken") as caught:
        Net(nnx.Linear(5, 3, dot_general=broken, rngs=rngs()))(X)
    assert "In module Linear at /layers/1" in caught.value.__notes__


@pytest.mark.parametrize("kind", [nnx.Conv, nnx.ConvTranspose])
def test_what_jax_says_of_a_convolution_gets_a_note_with_the_place(kind):
    def mixed(arrays, **options):
        inputs, kernel, bias = arrays
        return inputs, kernel.astype(jnp.int32), bias  # which JAX convolves with no floats

    layer = kind(5, 4, (3,), promote_dtype=mixed, rngs=rngs())
    with pytest.raises(TypeError) as caught:
        Net(layer)(jnp.ones((2, 6, 5)))
    assert f"In module {kind.__name__} at /layers/1" in caught.value.__notes__


def test_a_layer_alone_and_one_of_several_models():
    with pytest.raises(errors.InputShapeError, match=r"^Linear at / takes"):
        nnx.Linear(3, 4, rngs=rngs())(X)

    def loss(teacher, student, x):
        return student(teacher(x)).sum()

    first, second = Net(nnx.Linear(5, 4, rngs=rngs())), Net(nnx.Linear(3, 4, rngs=rngs()))
    for function in (loss, nnx.grad(loss, argnums=1), nnx.jit(nnx.grad(loss, argnums=1))):
        with pytest.raises(errors.InputShapeError, match=r"Linear at /layers/1 .*float32\[2,4\]"):
            function(first, second, X)


def test_an_einsum_blames_its_inputs_only_for_their_sizes():
    layer = nnx.Einsum("ab,bc->ac", (3, 4), rngs=rngs())
    with pytest.raises(ValueError, match="PartitionSpec") as caught:
        layer(jnp.ones((2, 3)), out_sharding=jax.sharding.PartitionSpec("data"))
    assert not isinstance(caught.value, errors.InputShapeError)
    assert "In module Einsum at /" in caught.value.__notes__


# --- errors about layouts, in code that calls JAX itself ------------------------------------------


class Own(nnx.Module):
    def __init__(self):
        self.kernel = nnx.Param(jnp.ones((4, 4)))

    def mixed(self, x):
        moved = jax.sharding.reshard(x, jax.sharding.PartitionSpec(None, "model"))
        return jnp.where(True, x, moved)  # no two cases that lie alike

    def __call__(self, x):
        return self.mixed(x) @ self.kernel[...]


def loss(model, x):
    return model(x).sum()


TRACED = {
    "jit": lambda model, x: nnx.jit(Net.__call__)(model, x),
    "donating": lambda model, x: nnx.jit(loss, donate_argnums=0)(model, x),
    "grad": lambda model, x: nnx.grad(loss)(model, x),
    "jit of grad": lambda model, x: nnx.jit(lambda m, x: nnx.value_and_grad(loss)(m, x))(model, x),
    "vjp": lambda model, x: nnx.vjp(loss, model, x, graph_updates=False),
    "remat": lambda model, x: nnx.remat(loss)(model, x),
    "vmap": lambda model, x: nnx.vmap(loss, in_axes=(None, 1))(model, x[:, None]),
    "scan": lambda model, x: nnx.scan(
        lambda x, model: (model(x), None), in_axes=(nnx.Carry, None), length=2
    )(x, model),
    "eval_shape": lambda model, x: nnx.eval_shape(loss, model, x),
    "make_jaxpr": lambda model, x: nnx.make_jaxpr(loss, graph_updates=False)(model, x),
    "checkify": lambda model, x: nnx.checkify(loss)(model, x),
    "cond": lambda model, x: nnx.cond(True, loss, loss, model, x),
    "switch": lambda model, x: nnx.switch(1, [loss, loss], model, x),
    "fori_loop": lambda model, x: nnx.fori_loop(
        0, 2, lambda i, carry: (carry[0], carry[0](carry[1])), (model, x)
    ),
    "while_loop": lambda model, x: nnx.while_loop(
        lambda carry: loss(*carry) > 0, lambda carry: carry, (model, x)
    ),
    "custom_vjp": lambda model, x: differentiated()(model, x),
    "custom_vjp, forward": lambda model, x: nnx.grad(differentiated())(model, x),
}


def differentiated():
    rule = nnx.custom_vjp(loss)
    rule.defvjp(lambda model, x: (loss(model, x), ()), lambda residual, g: (None, None))
    return rule


@pytest.mark.parametrize("way", TRACED)
def test_a_layout_that_jax_refuses_in_a_module_of_a_user(way):
    mesh = jax.make_mesh((2, 2), ("data", "model"))
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((4, 4)), jax.sharding.PartitionSpec("data"))
        with pytest.raises(Exception, match="same sharding") as caught:
            TRACED[way](Net(Own()), x)
    notes = [note for note in caught.value.__notes__ if "JAX has removed" not in note]
    assert notes[0] == "In module Own at /layers/1"
    assert notes[1].startswith("On explicit mesh axes") and len(notes) == 2


def test_other_errors_stay_as_they_are():
    def failing(model):
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else") as caught:
        nnx.jit(failing)(Own())
    assert "In module" not in str(getattr(caught.value, "__notes__", ""))
