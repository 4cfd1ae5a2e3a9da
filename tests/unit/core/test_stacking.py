"""stack_layers and unstack_layers: entries with numbers, and entries with a first axis."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie.training.train_state import TrainState

N = 12


def numbered(prefix: str = "layers_") -> dict[str, Any]:
    # In the order of strings: "layers_10" comes before "layers_2".
    layers = {f"{prefix}{i}": {"w": {"kernel": jnp.full((2, 3), i)}} for i in range(N)}
    return dict(sorted(layers.items()))


def assert_same(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(assert_exact, a, b)


def test_layers_are_stacked_in_the_order_of_their_numbers_and_back() -> None:
    rest = {"head": {"bias": jnp.zeros(3)}, "layers_norm": jnp.ones(2), "layers_01": jnp.ones(1)}
    params = {"embed": jnp.ones(4), **numbered(), **rest}
    stacked = nn.stack_layers(params)
    assert sorted(stacked) == ["embed", "head", "layers", "layers_01", "layers_norm"]
    assert_exact(stacked["layers"]["w"]["kernel"][:, 0, 0], jnp.arange(N))
    assert stacked["head"]["bias"] is params["head"]["bias"]
    back = nn.unstack_layers(stacked)
    assert_same(back, params)
    assert list(back)[1:4] == ["layers_0", "layers_1", "layers_2"]


def test_numbers_below_the_name_are_layers() -> None:
    layers = {str(i): jnp.full(2, i) for i in reversed(range(N))}
    stacked = nn.stack_layers({"params": {"layers": layers}})
    assert_exact(stacked["params"]["layers"][:, 0], jnp.arange(N))


def test_classes_of_containers_and_arrays_stay() -> None:
    frozen = nn.FrozenDict({"params": numbered()})
    stacked = nn.stack_layers(frozen)
    assert isinstance(stacked, nn.FrozenDict)
    assert_same(nn.unstack_layers(stacked), frozen)
    host = jax.tree.map(np.asarray, numbered())
    assert isinstance(nn.stack_layers(host)["layers"]["w"]["kernel"], np.ndarray)
    assert_same(nn.unstack_layers(nn.stack_layers(host)), host)
    abstract = jax.eval_shape(lambda: numbered())
    stacked = nn.stack_layers(abstract)
    assert stacked["layers"]["w"]["kernel"].shape == (N, 2, 3)
    assert nn.unstack_layers(stacked) == abstract
    keys = jax.random.split(jax.random.key(0), 3)
    stacked_keys = nn.stack_layers({f"layers_{i}": key for i, key in enumerate(keys)})["layers"]
    assert_exact(jax.random.key_data(stacked_keys), jax.random.key_data(keys))


def test_states_of_optimizers_and_train_states() -> None:
    params = {"embed": jnp.ones(4), **jax.tree.map(lambda x: x * 1.0, numbered())}
    tx = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.masked(optax.adamw(1e-2), lambda p: jax.tree.map(lambda x: x.ndim > 1, p)),
    )

    def apply_fn(variables: Any) -> None:
        """Stands for a model."""

    state = TrainState.create(apply_fn=apply_fn, params=params, tx=tx)
    state = state.apply_gradients(grads=jax.tree.map(jnp.cos, params))
    stacked = nn.stack_layers(state)
    assert isinstance(stacked, TrainState)
    want = TrainState.create(apply_fn=apply_fn, params=nn.stack_layers(params), tx=tx)
    assert jax.tree.structure(want) == jax.tree.structure(stacked)
    assert_same(nn.unstack_layers(stacked), state)
    # And it trains on as it would have.
    grads = jax.tree.map(jnp.sin, params)
    one = nn.stack_layers(state.apply_gradients(grads=grads))
    other = stacked.apply_gradients(grads=nn.stack_layers(grads))
    jax.tree.map(assert_close, one.opt_state, other.opt_state)


def test_boxes_gain_and_lose_the_name_of_the_axis() -> None:
    def boxed(i: int) -> Any:
        return {
            "a": nn.Partitioned(jnp.full(2, i), names=("model",)),
            "b": nn.LogicallyPartitioned(jnp.full((2, 3), i), names=("embed", None)),
        }

    params = {f"layers_{i}": boxed(i) for i in range(3)}
    stacked = nn.stack_layers(params, partition_name="stage")["layers"]
    assert stacked["a"].names == ("stage", "model")
    assert stacked["b"].names == ("stage", "embed", None)
    assert_same(nn.unstack_layers({"layers": stacked}, partition_name="stage"), params)


def test_a_path_chooses_one_tower() -> None:
    params = {"encoder": numbered(), "decoder": numbered()}
    stacked = nn.stack_layers(params, "encoder/layers")
    assert list(stacked["encoder"]) == ["layers"]
    assert stacked["decoder"].keys() == params["decoder"].keys()
    assert_same(nn.unstack_layers(stacked, "encoder/layers"), params)
    both = nn.stack_layers(params)
    assert list(both["encoder"]) == list(both["decoder"]) == ["layers"]
    blocks = nn.stack_layers(numbered("block_"), "block")
    assert list(blocks) == ["block"]


def test_under_jit() -> None:
    assert_same(jax.jit(nn.stack_layers)(numbered()), nn.stack_layers(numbered()))


REFUSED = {
    "gap": (
        {"p": {f"layers_{i}": jnp.ones(1) for i in (0, 1, 3)}},
        "p/layers_0 to 3 are not all there: p/layers_2 is missing",
    ),
    "start": ({"layers_1": jnp.ones(1)}, "layers_0 is missing"),
    "shape": (
        {"p": {"layers_0": {"w": jnp.ones(2)}, "layers_1": {"w": jnp.ones(3)}}},
        r"p/layers_0/w is float32\[2\], but p/layers_1/w is float32\[3\]",
    ),
    "dtype": (
        {"layers_0": {"w": jnp.ones(2)}, "layers_1": {"w": jnp.ones(2, jnp.bfloat16)}},
        r"layers_0/w is float32\[2\], but layers_1/w is bfloat16\[2\]",
    ),
    "structure": (
        {"layers_0": {"w": jnp.ones(2)}, "layers_1": {"v": jnp.ones(2)}},
        "layers_1 has 'v', but layers_0 has not",
    ),
    "metadata": (
        {f"layers_{i}": nn.Partitioned(jnp.ones(1), names=(n,)) for i, n in enumerate("ab")},
        "layers_0 and layers_1 differ in structure or in metadata",
    ),
    "taken": (
        {"p": {"layers_0": jnp.ones(1), "layers": jnp.ones(1)}},
        "cannot become p/layers, which is there",
    ),
    "none": ({"encoder": {"block_0": jnp.ones(1)}}, "no layers .*'layers'.*encoder, block_0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stacked_is_refused_by_its_path(name: str) -> None:
    tree, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        nn.stack_layers(tree)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"layers": {"a": jnp.ones((2, 3)), "b": jnp.ones((3, 3))}}, "layers/a has 2 .*/b has 3"),
        ({"layers": {"a": jnp.ones(())}}, "layers/a has no axis"),
        ({"layers": {}}, "layers holds no arrays"),
        ({"layers": jnp.ones(2), "layers_1": jnp.ones(1)}, "but layers_1 is there"),
        ({"layers": {"0": jnp.ones(2)}}, "nothing to unstack"),
        ({"blocks": jnp.ones(2)}, "no such entry called 'layers'. Its keys are: blocks"),
    ],
)
def test_what_cannot_be_unstacked_is_refused_by_its_path(tree: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.unstack_layers(tree)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="name of the layers is empty"):
        nn.stack_layers({}, "")
