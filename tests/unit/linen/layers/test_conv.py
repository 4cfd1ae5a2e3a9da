import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tests.tolerance import assert_exact

import ramie.linen as nn
from ramie import errors

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5, 4)), jnp.float32)


class Outer(nn.Module):
    """A layer at the path /layer, so that messages have a path to name."""

    layer: nn.Module

    def __call__(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv(4, (3, 3, 3)), r"Conv at /layer.*3 spatial axes.*\(2, 5, 4\)"),
        (nn.ConvTranspose(4, (3, 3, 3)), r"ConvTranspose at /layer.*\(2, 5, 4\)"),
        (nn.ConvLocal(4, (3, 3, 3)), r"ConvLocal at /layer.*\(2, 5, 4\)"),
        (nn.Conv(4, 3, feature_group_count=3), "Conv at /layer.*4 channels.*=3"),
        (
            nn.Conv(4, 3, mask=jnp.ones((3, 4))),
            r"Shapes are: \(3, 4\), \(3, 4, 4\) in Conv at /layer",
        ),
        (nn.ConvTranspose(4, 3, mask=jnp.ones(3)), r"\(3,\), .* in ConvTranspose at /layer"),
        (nn.Conv(4, 3, padding=(1, 1)), "1 spatial axes"),
        (nn.Conv(4, 3, strides=(1, 1)), "strides=.* has 2 entries.*1 spatial"),
        (nn.Conv(4, 3, kernel_dilation=(2, 2)), "kernel_dilation=.* has 2 entries"),
        (nn.ConvLocal(4, 3, input_dilation=()), "input_dilation=.* has 0 entries"),
        (nn.ConvTranspose(4, 3, strides=(1, 1)), "strides=.* has 2 entries"),
        (nn.Conv(4, (1, 3), padding="CAUSAL"), "CAUSAL.*one spatial axis"),
    ],
)
def test_settings_that_do_not_fit_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        Outer(layer).init(KEY, X)


def test_unshared_weights_have_no_groups():
    with pytest.raises(NotImplementedError, match="`feature_group_count != 1`, got `2`"):
        nn.ConvLocal(4, 3, feature_group_count=2).init(KEY, X)


@pytest.mark.parametrize("layer", [nn.Conv(4, 3), nn.ConvTranspose(4, 3), nn.ConvLocal(4, 3)])
def test_a_kernel_made_for_other_channels_is_named(layer):
    variables = Outer(layer).init(KEY, X)
    with pytest.raises(errors.ScopeParamShapeError, match=r"kernel.*/layer"):
        Outer(layer).apply(variables, X[..., :3])


def test_masked_weights_take_no_part():
    mask = jnp.ones((3, 4, 2), bool).at[0].set(False)
    layer = nn.Conv(2, 3, mask=mask, use_bias=False)
    y, variables = layer.init_with_output(KEY, X)
    changed = jax.tree_util.tree_map(lambda k: k.at[0].set(9.0), variables)
    assert_exact(layer.apply(changed, X), y)


def test_the_convolution_can_be_replaced():
    calls = []

    class Recording:
        def __call__(self, *args, **kwargs):
            calls.append(sorted(kwargs))
            return lax.conv_general_dilated(*args, **kwargs)

    y, variables = nn.Conv(4, 3).init_with_output(KEY, X)
    for layer in (
        nn.Conv(4, 3, conv_general_dilated=Recording()),
        nn.Conv(4, 3, conv_general_dilated_cls=Recording),
    ):
        assert_exact(layer.apply(variables, X), y)
    assert len(calls) == 2


def test_an_integer_is_a_window_along_one_axis():
    for kind in (nn.Conv, nn.ConvLocal, nn.ConvTranspose):
        got, want = (kind(4, size).init(KEY, X)["params"]["kernel"] for size in (3, (3,)))
        assert_exact(got, want)


def test_none_stands_for_one():
    y, variables = nn.Conv(4, 3).init_with_output(KEY, X)
    layer = nn.Conv(4, 3, strides=None, input_dilation=None, kernel_dilation=None)
    assert_exact(layer.apply(variables, X), y)


def test_layers_say_whether_they_share_weights():
    assert nn.Conv(4, 3).shared_weights
    assert not nn.ConvLocal(4, 3).shared_weights


def test_integers_are_convolved_in_float():
    whole = jnp.arange(20).reshape(1, 5, 4)
    y, variables = nn.Conv(4, 3, padding="CIRCULAR").init_with_output(KEY, whole)
    assert y.dtype == jnp.float32
    want = nn.Conv(4, 3, padding="CIRCULAR").apply(variables, whole.astype(jnp.float32))
    assert_exact(y, want)
