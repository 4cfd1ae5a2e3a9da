"""State dicts of arrays: names, order of axes, and errors that list everything."""

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import errors, nnx
from ramie import linen as nn
from ramie.interop.torch import from_state_dict, to_state_dict

KEY = jax.random.key(0)


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def numbers(*sizes):
    return np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(2, (2, 2), name="conv")(x)
        return nn.BatchNorm(use_running_average=True, name="norm")(x)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        self.param("token", nn.initializers.zeros, (1, 3))
        x = Encoder(name="encoder")(x)
        return nn.Dense(4, name="head")(x.reshape((x.shape[0], -1)))


IMAGES = shape(1, 3, 5, 1)
TENSORS = {
    "token": numbers(1, 3),
    "encoder.conv.weight": numbers(2, 1, 2, 2),
    "encoder.conv.bias": numbers(2),
    "encoder.norm.weight": numbers(2),
    "encoder.norm.bias": numbers(2) + 1,
    "encoder.norm.running_mean": numbers(2) + 2,
    "encoder.norm.running_var": numbers(2) + 3,
    "encoder.norm.num_batches_tracked": np.array(7),
    "head.weight": numbers(4, 30),
    "head.bias": numbers(4),
}


def test_each_variable_comes_from_the_tensor_of_its_path():
    variables = from_state_dict(TENSORS, Net(), IMAGES)
    params, stats = variables["params"], variables["batch_stats"]
    assert_exact(params["token"], TENSORS["token"])
    kernel = params["encoder"]["conv"]["kernel"]
    assert_exact(kernel, np.transpose(TENSORS["encoder.conv.weight"], (2, 3, 1, 0)))
    assert_exact(params["encoder"]["norm"]["scale"], TENSORS["encoder.norm.weight"])
    assert_exact(stats["encoder"]["norm"]["mean"], TENSORS["encoder.norm.running_mean"])
    assert_exact(stats["encoder"]["norm"]["var"], TENSORS["encoder.norm.running_var"])
    assert_exact(params["head"]["kernel"], TENSORS["head.weight"].T)


def test_there_and_back():
    variables = from_state_dict(TENSORS, Net(), IMAGES)
    back = to_state_dict(variables, Net(), IMAGES)
    assert back.pop("encoder.norm.num_batches_tracked") == 0
    assert set(back) == set(TENSORS) - {"encoder.norm.num_batches_tracked"}
    for name, array in back.items():
        assert_exact(array, TENSORS[name])


def test_dense_layers_after_a_flattened_image():
    options = {"flattened": {"head": (2, 3, 5)}}
    variables = from_state_dict(TENSORS, Net(), IMAGES, **options)
    expected = TENSORS["head.weight"].reshape(4, 2, 3, 5).transpose(2, 3, 1, 0).reshape(30, 4)
    assert_exact(variables["params"]["head"]["kernel"], expected)
    back = to_state_dict(variables, Net(), IMAGES, **options)
    assert_exact(back["head.weight"], TENSORS["head.weight"])
    variables = from_state_dict(TENSORS, Net(), IMAGES)
    for flattened, words in (
        ({"haed": (2, 3, 5)}, "'haed'"),
        ({"head": (2, 3, 4)}, "'head' has 30 inputs"),
        ({"encoder/norm": (2, 3, 5)}, "'encoder/norm' is BatchNorm"),
    ):
        with pytest.raises(ValueError, match=words):
            from_state_dict(TENSORS, Net(), IMAGES, flattened=flattened)
        with pytest.raises(ValueError, match=words):
            to_state_dict(variables, Net(), IMAGES, flattened=flattened)


@pytest.mark.parametrize(
    ("names", "prefixes"),
    [
        ({"encoder": "features"}, {"encoder.": "features."}),
        ({"": "model"}, {"": "model."}),
        ({"encoder/norm": "bn", "head": "fc.0"}, {"encoder.norm.": "bn.", "head.": "fc.0."}),
        (lambda path: path.replace("/", "_"), {"encoder.": "encoder_"}),
        ({"encoder": "model.*", "encoder/conv": "c_*"}, None),
    ],
)
def test_names_can_be_mapped(names, prefixes):
    def renamed(name):
        if prefixes is None:
            last = name.rpartition(".")[2]
            kinds = {"encoder.conv.": f"c_{last}", "encoder.norm.": f"model.{last}.norm"}
            return next((new for old, new in kinds.items() if name.startswith(old)), name)
        for old, new in prefixes.items():
            if name.startswith(old):
                return new + name[len(old) :]
        return name

    tensors = {renamed(name): tensor for name, tensor in TENSORS.items()}
    variables = from_state_dict(tensors, Net(), IMAGES, names=names)
    jax.tree.map(assert_exact, variables, from_state_dict(TENSORS, Net(), IMAGES))
    assert set(to_state_dict(variables, Net(), IMAGES, names=names)) == set(tensors)


def test_one_error_lists_all_that_does_not_fit():
    tensors = {**TENSORS, "extra.weight": numbers(1), "head.weight": numbers(4, 31)}
    tensors["encoder.conv.weight"] = numbers(3)
    del tensors["token"], tensors["encoder.norm.running_mean"]
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(tensors, Net(), IMAGES)
    assert sorted(caught.value.missing) == [
        "batch_stats/encoder/norm/mean needs 'encoder.norm.running_mean'",
        "params/token needs 'token'",
    ]
    assert caught.value.unused == ("extra.weight",)
    assert sorted(line.split(" ")[0] for line in caught.value.misshapen) == [
        "params/encoder/conv/kernel",
        "params/head/kernel",
    ]
    assert "'head.weight' of shape (4, 31)" in str(caught.value)


def test_what_is_not_wanted_or_not_there_can_be_said():
    tensors = {name: tensor for name, tensor in TENSORS.items() if "head" not in name}
    tensors["classifier.weight"] = numbers(9, 9)
    defaults = jax.tree.map(jnp.ones_like, from_state_dict(TENSORS, Net(), IMAGES))
    options = {"ignore": ["classifier.*"], "defaults": defaults}
    variables = from_state_dict(tensors, Net(), IMAGES, **options)
    assert_exact(variables["params"]["head"]["kernel"], np.ones((30, 4), np.float32))
    assert_exact(variables["params"]["token"], TENSORS["token"])
    defaults["params"]["head"]["bias"] = np.ones(5)
    with pytest.raises(errors.StateDictMismatchError, match=r"\(4,\), and \(5,\) in defaults="):
        from_state_dict(tensors, Net(), IMAGES, **options)


def test_values_get_the_dtype_and_the_box_of_the_module():
    init = nn.with_partitioning(nn.initializers.zeros, (None, "data"))
    module = nn.Dense(4, param_dtype=jnp.bfloat16, kernel_init=init)
    tensors = {"weight": numbers(4, 3), "bias": numbers(4)}
    params = from_state_dict(tensors, module, shape(1, 3))["params"]
    assert params["kernel"].names == (None, "data")
    assert params["kernel"].value.dtype == params["bias"].dtype == jnp.bfloat16
    assert to_state_dict({"params": params}, module, shape(1, 3))["weight"].shape == (4, 3)


def test_variables_do_not_share_memory_with_tensors():
    weight = numbers(4, 4)
    tensors = {"weight": weight, "bias": numbers(4)}
    variables = from_state_dict(tensors, nn.Dense(4), shape(1, 4))
    before = np.array(variables["params"]["kernel"])
    weight += 1
    assert_exact(variables["params"]["kernel"], before)


def test_writing_needs_all_variables():
    variables = from_state_dict(TENSORS, Net(), IMAGES)
    del variables["params"]["head"]["bias"]
    with pytest.raises(errors.StateDictMismatchError, match="params/head/bias"):
        to_state_dict(variables, Net(), IMAGES)


@pytest.mark.parametrize("suffix", ["", "_l0"])
def test_cells_take_the_first_layer_of_recurrent_networks(suffix):
    sizes = {"weight_ih": (12, 2), "weight_hh": (12, 4), "bias_ih": (12,), "bias_hh": (12,)}
    tensors = {f"rnn.{name}{suffix}": numbers(*size) for name, size in sizes.items()}
    names = {"cell": "rnn"}
    module = nn.RNN(nn.GRUCell(4))
    params = from_state_dict(tensors, module, shape(1, 3, 2), names=names)["params"]["cell"]
    assert_exact(params["iz"]["kernel"], numbers(12, 2)[4:8].T)
    assert_exact(params["hn"]["bias"], numbers(12)[8:])
    assert_exact(params["ir"]["bias"], numbers(12)[:4] * 2)


def test_a_module_of_ones_own_keeps_its_variables():
    class Scale(nn.Module):
        inner: Any

        @nn.compact
        def __call__(self, x):
            return self.inner(x) * self.param("by", nn.initializers.ones, ())

    tensors = {"by": np.float32(3), "inner.weight": numbers(2, 3), "inner.bias": numbers(2)}
    variables = from_state_dict(tensors, Scale(nn.Dense(2)), shape(1, 3))
    assert variables["params"]["by"] == 3


def test_torch_is_not_imported():
    code = "import sys, ramie.interop.torch; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


HEADS = {
    "in_proj_weight": numbers(12, 4),
    "in_proj_bias": numbers(12),
    "out_proj.weight": numbers(4, 4),
    "out_proj.bias": numbers(4),
}


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_packed_projections_of_attention(kind):
    if kind == "linen":
        module, x = nn.MultiHeadDotProductAttention(2), [shape(1, 3, 4)]
        variables = from_state_dict(HEADS, module, *x)
        params = variables["params"]
    else:
        module, x = nnx.MultiHeadAttention(2, 4, decode=False, rngs=nnx.Rngs(0)), []
        variables = from_state_dict(HEADS, module)
        params = nnx.to_pure_dict(variables)
    for n, name in enumerate(("query", "key", "value")):
        rows = HEADS["in_proj_weight"][4 * n : 4 * n + 4]
        assert_exact(params[name]["kernel"], rows.T.reshape(4, 2, 2))
        assert_exact(params[name]["bias"], HEADS["in_proj_bias"][4 * n : 4 * n + 4].reshape(2, 2))
    back = to_state_dict(variables, module, *x)
    assert set(back) == set(HEADS)
    for name, array in back.items():
        assert_exact(array, HEADS[name])


def test_a_misshapen_part_of_attention_is_named():
    tensors = {**HEADS, "in_proj_weight": numbers(11, 4)}
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(tensors, nn.MultiHeadDotProductAttention(2), shape(1, 3, 4))
    assert [line.split(" ")[0] for line in caught.value.misshapen] == [
        "params/key/kernel",
        "params/query/kernel",
        "params/value/kernel",
    ]
    assert not caught.value.missing and not caught.value.unused


def test_attention_that_pytorch_lacks_is_written_by_its_layers():
    module = nn.MultiHeadDotProductAttention(2, qkv_features=6)
    variables = module.init(KEY, numbers(1, 3, 4))
    assert {"query.weight", "out.bias"} < set(to_state_dict(variables, module, shape(1, 3, 4)))


def test_weights_under_weight_norm():
    v, g = numbers(4, 3) + 1, numbers(4, 1) + 2
    bias = {"bias": numbers(4)}
    expected = (v * g / np.linalg.norm(v, axis=1, keepdims=True)).T
    new = {"parametrizations.weight.original0": g, "parametrizations.weight.original1": v}
    for parts in (new, {"weight_g": g, "weight_v": v}):
        params = from_state_dict({**parts, **bias}, nn.Dense(4), shape(1, 3))["params"]
        assert_close(params["kernel"], expected)
        wrapper = nn.WeightNorm(nn.Dense(4))
        variables = from_state_dict({**parts, **bias}, wrapper, shape(1, 3))
        assert_exact(variables["params"]["layer_instance"]["kernel"], v.T)
        assert_exact(variables["params"]["layer_instance/kernel/scale"], g[:, 0])
        back = to_state_dict(variables, wrapper, shape(1, 3), like={**parts, **bias})
        assert list(back) == [*parts, "bias"]


def test_weights_without_lengths_are_refused():
    tensors = {"weight": numbers(4, 3), "bias": numbers(4)}
    module = nn.WeightNorm(nn.Dense(4), use_scale=False)
    with pytest.raises(errors.StateDictMismatchError, match="use_scale=False"):
        from_state_dict(tensors, module, shape(1, 3))
    with pytest.raises(errors.StateDictMismatchError, match="use_scale=False"):
        to_state_dict(module.init(KEY, numbers(1, 3)), module, shape(1, 3))
    rngs = nnx.Rngs(0)
    model = nnx.WeightNorm(nnx.Linear(3, 4, rngs=rngs), use_scale=False, rngs=rngs)
    with pytest.raises(errors.StateDictMismatchError, match="use_scale=False"):
        from_state_dict(tensors, model)


def test_parts_of_a_weight_that_do_not_belong_together():
    tensors = {"weight_g": numbers(3, 1), "weight_v": numbers(4, 3), "bias": numbers(4)}
    with pytest.raises(errors.StateDictMismatchError, match=r"lengths of shape \(3, 1\)"):
        from_state_dict(tensors, nn.Dense(4), shape(1, 3))
    pruned = {"weight_orig": numbers(4, 3), "weight_mask": numbers(1, 3), "bias": numbers(4)}
    with pytest.raises(errors.StateDictMismatchError, match="mask of shape"):
        from_state_dict(pruned, nn.Dense(4), shape(1, 3))
    vectors = {"weight_orig": numbers(4, 3), "weight_u": numbers(3), "weight_v": numbers(3)}
    with pytest.raises(errors.StateDictMismatchError, match="singular vectors of shapes"):
        from_state_dict({**vectors, "bias": numbers(4)}, nn.Dense(4), shape(1, 3))


def test_prefixes_of_wrappers_need_not_be_mentioned():
    tensors = {f"module.{name}": tensor for name, tensor in TENSORS.items()}
    compiled = {name.replace("encoder.", "encoder._orig_mod."): t for name, t in tensors.items()}
    expected = from_state_dict(TENSORS, Net(), IMAGES)
    for wrapped in (tensors, compiled, {**tensors, "n_averaged": np.array(3)}):
        jax.tree.map(assert_exact, from_state_dict(wrapped, Net(), IMAGES), expected)
        assert list(to_state_dict(expected, Net(), IMAGES, like=wrapped)) == list(wrapped)
    some = {**TENSORS, "module.more": numbers(1)}
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(some, Net(), IMAGES)
    assert caught.value.unused == ("module.more",)


def test_the_dtype_of_what_is_written_can_be_chosen():
    module = nn.Dense(4, param_dtype=jnp.bfloat16)
    variables = module.init(KEY, numbers(1, 3))
    as_held = to_state_dict(variables, module, shape(1, 3))
    assert {array.dtype for array in as_held.values()} == {jnp.dtype(jnp.bfloat16)}
    wide = to_state_dict(variables, module, shape(1, 3), dtype=np.float32)
    assert_exact(wide["weight"], as_held["weight"].astype(np.float32))
    counts = to_state_dict(
        from_state_dict(TENSORS, Net(), IMAGES), Net(), IMAGES, dtype=jnp.bfloat16
    )
    assert counts["encoder.norm.num_batches_tracked"].dtype == np.int64


def test_tensors_need_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    module = nn.Dense(4)
    variables = module.init(KEY, numbers(1, 3))
    with pytest.raises(ImportError, match="form='torch' makes tensors of PyTorch"):
        to_state_dict(variables, module, shape(1, 3), form="torch")
    with pytest.raises(ValueError, match="'numpy' or 'torch'"):
        to_state_dict(variables, module, shape(1, 3), form="jax")


def test_random_keys_are_no_tensors():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.variable("noise", "key", lambda: jax.random.key(0))
            return nn.Dense(4, name="dense")(x)

    tensors = {"dense.weight": numbers(4, 3), "dense.bias": numbers(4), "key": np.float32(1)}
    with pytest.raises(errors.StateDictMismatchError, match="noise/key from 'key'"):
        from_state_dict(tensors, Noisy(), shape(1, 3))
    variables = Noisy().init(KEY, numbers(1, 3))
    del tensors["key"]
    read = from_state_dict(tensors, Noisy(), shape(1, 3), defaults=variables)
    assert read["noise"]["key"] == variables["noise"]["key"]
    with pytest.raises(errors.StateDictMismatchError, match="noise/key is PRNGKeyArray"):
        to_state_dict(variables, Noisy(), shape(1, 3))
