import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.ops import conv

RNG = np.random.default_rng(0)


def _array(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def _by_hand(x, kernel, strides=1, dilation=1):
    """Convolve ``[spatial..., in]`` without padding, in float64, one window after the other."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rank = kernel.ndim - 2
    reach = [(k - 1) * dilation + 1 for k in kernel.shape[:rank]]
    places = [range(0, n - r + 1, strides) for n, r in zip(x.shape, reach, strict=False)]
    out = np.zeros((*map(len, places), kernel.shape[-1]))
    for index in np.ndindex(out.shape[:-1]):
        window = x[tuple(
            slice(p[i], p[i] + r, dilation) for i, p, r in zip(index, places, reach, strict=True)
        )]  # fmt: skip
        out[index] = np.tensordot(window, kernel, axes=rank + 1)
    return out.astype(np.float32)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_convolution_is_a_product_per_window(strides, dilation):
    x, kernel, bias = _array(2, 7, 6, 3), _array(3, 2, 3, 4), _array(4)
    got = conv.conv(x, kernel, bias, strides=strides, kernel_dilation=dilation, padding="VALID")
    want = np.stack([_by_hand(example, kernel, strides, dilation) for example in x])
    assert_close(got, want + np.asarray(bias))


@pytest.mark.parametrize(
    ("padding", "mode", "widths"),
    [
        ("CIRCULAR", "wrap", ((2, 2), (1, 2))),
        ("REFLECT", "reflect", ((2, 2), (1, 2))),
        (((1, 2), 3), "constant", ((1, 2), (3, 3))),
        (2, "constant", ((2, 2), (2, 2))),
    ],
)
def test_paddings_are_those_of_numpy(padding, mode, widths):
    x, kernel = _array(6, 5, 2), _array(5, 4, 2, 3)
    padded = np.pad(np.asarray(x), (*widths, (0, 0)), mode=mode)
    assert_close(conv.conv(x, kernel, padding=padding), _by_hand(padded, kernel))


def test_causal_results_do_not_see_later_inputs():
    x, kernel = _array(8, 2), _array(3, 2, 3)
    got = conv.conv(x, kernel, padding="CAUSAL", kernel_dilation=2)
    assert got.shape == (8, 3)
    changed = conv.conv(x.at[5:].set(9.0), kernel, padding="CAUSAL", kernel_dilation=2)
    assert_exact(changed[:5], got[:5])
    assert not np.array_equal(changed[5:], got[5:])


def test_causal_padding_is_for_one_spatial_axis():
    with pytest.raises(ValueError, match="one spatial axis"):
        conv.conv(_array(4, 4, 2), _array(2, 2, 2, 3), padding="CAUSAL")


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3), (1, 2, 2)])
def test_any_number_of_batch_axes(batch):
    kernel, bias = _array(3, 2, 4), _array(4)
    x = _array(*batch, 5, 2)
    flat = conv.conv(x.reshape(-1, 5, 2), kernel, bias)
    assert_close(conv.conv(x, kernel, bias), np.asarray(flat).reshape(*batch, 5, 4))


def test_groups_are_convolved_by_themselves():
    x, kernel = _array(2, 6, 4), _array(3, 2, 6)
    got = conv.conv(x, kernel, feature_group_count=2)
    first = conv.conv(x[..., :2], kernel[..., :3])
    second = conv.conv(x[..., 2:], kernel[..., 3:])
    assert_close(got, jnp.concatenate([first, second], axis=-1))


def test_input_dilation_spreads_the_input():
    x, kernel = _array(4, 2), _array(3, 2, 3)
    spread = jnp.zeros((7, 2)).at[::2].set(x)
    got = conv.conv(x, kernel, input_dilation=2, padding=1)
    assert_close(got, conv.conv(spread, kernel, padding=1))


def test_unshared_weights_are_used_where_they_belong():
    x, window = _array(5, 2), (3,)
    places = conv.local_output_shape(x.shape, window, padding="CIRCULAR")
    assert places == (5,)
    kernel, bias = _array(5, 6, 4), _array(5, 4)
    got = conv.conv_local(x, kernel, bias, window=window, padding="CIRCULAR")
    for place in range(5):
        # In the kernel a channel comes before the positions of the window.
        own = kernel[place].reshape(2, 3, 4).transpose(1, 0, 2)
        shared = conv.conv(x, own, bias[place], padding="CIRCULAR")
        assert_close(got[place], shared[place])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"padding": "VALID"}, (5, 6)),
        ({"padding": "SAME", "strides": 2}, (4, 4)),
        ({"padding": ((1, 2), 0), "strides": (1, 2)}, (8, 3)),
        ({"padding": "CIRCULAR", "kernel_dilation": 2}, (7, 8)),
        ({"padding": 1, "input_dilation": (2, 1)}, (13, 8)),
    ],
)
def test_places_of_unshared_weights(settings, expected):
    assert conv.local_output_shape((2, 7, 8, 3), (3, 3), **settings) == expected


def _transposed_by_hand(x, kernel, stride):
    size, window = x.shape[0], kernel.shape[0]
    out = np.zeros((size * stride + max(window - stride, 0), kernel.shape[-1]))
    for i in range(size):
        # lax.conv_transpose does not flip the window, the adjoint of a convolution does.
        for j in range(window):
            out[i * stride + j] += np.asarray(x[i], np.float64) @ np.asarray(kernel[window - 1 - j])
    return out.astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_transposed_convolution_spreads_each_element(stride):
    x, kernel, bias = _array(4, 2), _array(3, 2, 3), _array(3)
    got = conv.conv_transpose(x, kernel, bias, strides=stride, padding="VALID")
    assert_close(got, _transposed_by_hand(x, kernel, stride) + np.asarray(bias))


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (2, 1), (3, 1), (3, 2), (9, 1), (2, 3)])
def test_a_circular_transposed_convolution_commutes_with_rotation(window, stride):
    x, kernel = _array(2, 5, 2), _array(window, 2, 3)
    got = conv.conv_transpose(x, kernel, strides=stride, padding="CIRCULAR")
    assert got.shape == (2, 5 * stride, 3)
    rotated = conv.conv_transpose(
        jnp.roll(x, 1, axis=1), kernel, strides=stride, padding="CIRCULAR"
    )
    assert_close(rotated, jnp.roll(got, stride, axis=1))


def test_transposing_the_kernel_flips_and_swaps_it():
    x, kernel = _array(2, 4, 5, 2), _array(3, 2, 4, 2)
    got = conv.conv_transpose(x, kernel, strides=2, transpose_kernel=True)
    turned = jnp.swapaxes(kernel[::-1, ::-1], -1, -2)
    assert_close(got, conv.conv_transpose(x, turned, strides=2))


def test_a_given_convolution_is_used():
    calls = []

    def convolution(x, kernel, strides, padding, **settings):
        calls.append((x.shape, strides, padding, sorted(settings)))
        return jnp.zeros((1, 6, 4))

    got = conv.conv(_array(6, 2), _array(3, 2, 4), padding=1, conv_general_dilated=convolution)
    assert got.shape == (6, 4)
    names = ["dimension_numbers", "feature_group_count", "lhs_dilation", "precision"]
    assert calls == [((1, 6, 2), (1,), ((1, 1),), [*names, "rhs_dilation"])]


def test_a_mask_is_multiplied_with_the_kernel():
    kernel, mask = _array(3, 2, 4), jnp.tril(jnp.ones((3, 2, 4), bool))
    assert_exact(conv.masked_kernel(kernel, mask), kernel * mask)
    assert conv.masked_kernel(kernel, None) is kernel
    with pytest.raises(ValueError, match=r"^Mask needs .* Shapes are: \(3,\), \(3, 2, 4\)"):
        conv.masked_kernel(kernel, jnp.ones(3))


@pytest.mark.parametrize(
    ("padding", "rank", "expected"),
    [
        ("SAME", 2, "SAME"),
        (2, 3, [(2, 2), (2, 2), (2, 2)]),
        ([1, (2, 3)], 2, [(1, 1), (2, 3)]),
        ((2, 2), 3, None),
        ((2, 2), 1, None),
        ([None, (1, 2)], 2, None),
        ([(1, 2, 3)], 1, None),
        (None, 1, None),
    ],
)
def test_padding_is_a_name_or_a_pair_per_axis(padding, rank, expected):
    if expected is None:
        with pytest.raises(ValueError, match=f"{rank} spatial axes"):
            conv.canonicalize_padding(padding, rank)
    else:
        assert conv.canonicalize_padding(padding, rank) == expected


def test_too_few_axes_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\).*too few axes"):
        conv.conv(_array(3), _array(3, 2, 4))
    with pytest.raises(ValueError, match="too few axes"):
        conv.local_output_shape((3,), (3,))
