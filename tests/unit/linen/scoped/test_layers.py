"""Layers on bare scopes: what they ask of the scope, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import core, errors, linen
from ramie.core import nn

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (2, 3, 4))


def shapes_of(fn, *args):
    _, variables = jax.eval_shape(core.init(fn), KEY, *args)
    return jax.tree.map(lambda leaf: leaf.shape, variables)


def test_every_name_is_loaded_with_the_package():
    assert core.nn is nn
    assert all(hasattr(nn, name) for name in nn.__all__)
    assert nn.relu is linen.relu and nn.initializers is linen.initializers


@pytest.mark.parametrize(
    ("layer", "collections"),
    [
        (lambda s, x: nn.layer_norm(s, x), {"params": {"scale": (4,), "bias": (4,)}}),
        (lambda s, x: nn.layer_norm(s, x, bias=False), {"params": {"scale": (4,)}}),
        (
            lambda s, x: nn.group_norm(s, x, 2),
            {"params": {"scale": (1, 1, 4), "bias": (1, 1, 4)}},
        ),
        (
            lambda s, x: nn.batch_norm(s, x, axis=(1, 2), scale=False, kind="stats"),
            {"params": {"bias": (3, 4)}, "stats": {"mean": (3, 4), "var": (3, 4)}},
        ),
        (lambda s, x: nn.dropout(s, x, 0.5, deterministic=True), {}),
        (lambda s, x: nn.embedding(s, 9, 4).attend(x), {"params": {"table": (9, 4)}}),
    ],
)
def test_variables(layer, collections):
    assert shapes_of(layer, X) == collections


def test_norms_give_mean_zero_and_variance_one():
    for norm in (nn.layer_norm, lambda s, x: nn.group_norm(s, x, 4), nn.batch_norm):
        y, _ = core.init(norm)(KEY, 5.0 + 3.0 * jax.random.normal(KEY, (64, 8, 4)))
        assert abs(float(jnp.mean(y))) < 1e-3
        assert_close(jnp.std(y), np.float32(1), kind="model")


def test_batch_norm_moves_statistics_only_once_they_exist():
    _, first = core.init(nn.batch_norm)(KEY, X)
    assert_exact(first["batch_stats"]["mean"], np.zeros(4, np.float32))
    moving = core.apply(nn.batch_norm, mutable=["batch_stats"])
    _, second = moving(first, X, momentum=0.5)
    assert_close(second["batch_stats"]["mean"], np.float32(0.5) * np.mean(X, (0, 1)))
    with pytest.raises(errors.ModifyScopeVariableError):
        core.apply(nn.batch_norm)(first, X)
    still = core.apply(nn.batch_norm)(first, X, use_running_average=True)
    assert_close(still, np.asarray(X) / np.float32(np.sqrt(1 + 1e-5)))


def test_group_norm_wants_one_of_its_two_sizes():
    for sizes in ({"group_size": 2}, {"num_groups": None}, {"num_groups": 3}):
        with pytest.raises(ValueError, match="group"):
            core.init(lambda s, sizes=sizes: nn.group_norm(s, X, **sizes))(KEY)


def test_dropout_draws_from_its_stream_or_from_the_key_given():
    dropped = core.apply(lambda s: nn.dropout(s, X, 0.5))({}, rngs={"dropout": KEY})
    again = core.apply(lambda s: nn.dropout(s, X, 0.5))({}, rngs={"dropout": KEY})
    assert_exact(dropped, again)
    kept = np.asarray(dropped) != 0
    assert_exact(np.asarray(dropped)[kept], 2 * np.asarray(X)[kept])
    with pytest.raises(errors.InvalidRngError):
        core.apply(lambda s: nn.dropout(s, X, 0.5))({})


def test_an_embedding_is_a_pytree_that_refuses_floats():
    table = nn.Embedding(jnp.arange(6.0).reshape(3, 2))
    assert_exact(table.lookup(jnp.array([2, -1])), np.array([[4, 5], [4, 5]], np.float32))
    assert len(jax.tree.leaves(table)) == 1
    with pytest.raises(ValueError, match="integer"):
        table.lookup(jnp.ones(2))


class TestHeads:
    """Attention with projections."""

    @staticmethod
    def heads(**kwargs):
        return lambda s, x: nn.multi_head_dot_product_attention(s, x, None, 2, **kwargs)

    def test_parameters(self):
        found = shapes_of(self.heads(out_features=5, bias=False), X)["params"]
        assert found == {
            "query": {"kernel": (4, 2, 2)},
            "key": {"kernel": (4, 2, 2)},
            "value": {"kernel": (4, 2, 2)},
            "out": {"kernel": (2, 2, 5)},
        }

    def test_keys_that_are_padding_do_not_matter(self):
        real = jnp.array([[1, 1, 0], [1, 1, 0]], bool)
        layer = self.heads(key_padding_mask=real)
        y, variables = core.init(layer)(KEY, X)
        other = core.apply(
            lambda s, x: nn.multi_head_dot_product_attention(s, X, x, 2, key_padding_mask=real)
        )(variables, X.at[:, 2].set(7.0))
        assert_exact(other, y)

    @pytest.mark.parametrize(
        "mistake",
        [
            {"qkv_features": 5},
            {"cache": True},
            {"attention_axis": (2,)},
            {"padding_mask": jnp.ones((2, 4), bool)},
            {"key_segmentation": jnp.ones((2, 3), int)},
        ],
    )
    def test_mistakes(self, mistake):
        with pytest.raises(ValueError):
            jax.eval_shape(core.init(self.heads(**mistake)), KEY, X)

    def test_a_cache_has_to_be_made_before_it_is_used(self):
        decode = self.heads(cache=True, causal_mask=True)
        _, variables = core.init(decode)(KEY, X)
        new = variables["cache"]["entry"]
        with pytest.raises(ValueError, match="not initialized"):
            core.apply(decode, mutable=["cache"])(variables, X[:, :1])
        with pytest.raises(ValueError, match="2 sizes"):
            new((2, 3, 2))
        variables = {**variables, "cache": {"entry": new((2, 3))}}
        with pytest.raises(ValueError, match="one at a time"):
            core.apply(decode, mutable=["cache"])(variables, X)


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_of_dropout_that_is_no_probability_is_refused(rate):
    one = jnp.ones((1, 3, 2, 4))
    with pytest.raises(ValueError, match=r"^dropout_rate must be in the range \[0, 1\], got"):
        core.init(lambda s: nn.dot_product_attention(s, one, one, one, axis=1, dropout_rate=rate))(
            {"params": KEY, "dropout": KEY}
        )
