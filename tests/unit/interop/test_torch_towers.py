"""Layers that are stacked: tensors by number become arrays with a first axis, and back."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx
from ramie import linen as nn
from ramie.interop.torch import from_state_dict, to_state_dict
from ramie.interop.torch_towers import Towers

KEY = jax.random.key(0)
X = np.ones((2, 4), np.float32)
DEPTH = 3


def numbers(*sizes, start=0):
    return np.arange(start, start + np.prod(sizes), dtype=np.float32).reshape(sizes)


def tensors_of(prefix="layers", depth=DEPTH, width=4):
    """Make the tensors of blocks of a linear layer and a norm, different in each."""
    made = {}
    for i in range(depth):
        made[f"{prefix}.{i}.fc.weight"] = numbers(4, width, start=100 * i)
        made[f"{prefix}.{i}.fc.bias"] = numbers(4, start=100 * i + 20)
        made[f"{prefix}.{i}.ln.weight"] = numbers(4, start=100 * i + 30)
        made[f"{prefix}.{i}.ln.bias"] = numbers(4, start=100 * i + 40)
    return made


class Block(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.LayerNorm(name="ln")(nn.Dense(self.width, name="fc")(x))


class ScannedByHand(nn.Module):
    @nn.compact
    def __call__(self, x):
        tower = nn.scan(
            lambda block, x: (block(x), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=DEPTH,
        )
        return tower(Block(name="layers"), x)[0]


class NNXBlock(nnx.Module):
    def __init__(self, rngs):
        self.fc = nnx.Linear(4, 4, rngs=rngs)
        self.ln = nnx.LayerNorm(4, rngs=rngs)

    def __call__(self, x):
        return self.ln(self.fc(x))


class StackedByHand(nnx.Module):
    def __init__(self, rngs):
        make = nnx.vmap(lambda rngs: NNXBlock(rngs), in_axes=(0,), out_axes=0)
        self.layers = make(rngs.fork(split=DEPTH))

    def __call__(self, x):
        run = nnx.scan(
            lambda layer, x: layer(x), in_axes=(0, nnx.Carry), out_axes=nnx.Carry, length=DEPTH
        )
        return run(self.layers, x)


def linen_repeat(scan=True, depth=DEPTH):
    return nn.Repeat(Block, depth, scan=scan)


def nnx_repeat(scan=True, depth=DEPTH):
    return nnx.Repeat(lambda rngs: NNXBlock(rngs), depth, rngs=nnx.Rngs(0), scan=scan)


STACKED = {
    "linen": lambda: (linen_repeat(), (X,), {}),
    "linen by hand": lambda: (ScannedByHand(), (X,), {"stacked": ["layers"]}),
    "nnx": lambda: (nnx_repeat(), (), {}),
    "nnx by hand": lambda: (StackedByHand(nnx.Rngs(0)), (), {"stacked": ["layers"]}),
    "nnx abstract": lambda: (nnx.eval_shape(nnx_repeat), (), {}),
}


def params_of(variables):
    if isinstance(variables, nnx.State):
        return nnx.to_pure_dict(variables)
    return variables["params"]


@pytest.mark.parametrize("kind", STACKED)
def test_layers_by_number_become_arrays_with_a_first_axis(kind):
    module, args, options = STACKED[kind]()
    tensors = tensors_of()
    variables = from_state_dict(tensors, module, *args, **options)
    layers = params_of(variables)["layers"]
    weights = [tensors[f"layers.{i}.fc.weight"].T for i in range(DEPTH)]
    assert_exact(layers["fc"]["kernel"], np.stack(weights))
    scales = [tensors[f"layers.{i}.ln.weight"] for i in range(DEPTH)]
    assert_exact(layers["ln"]["scale"], np.stack(scales))
    back = to_state_dict(variables, module, *args, **options)
    assert set(back) == set(tensors)
    for name, array in back.items():
        assert_exact(array, tensors[name])
        assert array.flags.owndata and array.flags.c_contiguous


@pytest.mark.parametrize("style", ["linen", "nnx"])
def test_both_forms_of_a_tower_take_the_same_tensors(style):
    make, args = (linen_repeat, (X,)) if style == "linen" else (nnx_repeat, ())
    stack = nn.stack_layers if style == "linen" else nnx.stack_layers
    tensors = tensors_of("h")
    options = {"names": {"layers": "h"}}
    apart = from_state_dict(tensors, make(scan=False), *args, **options)
    together = from_state_dict(tensors, make(), *args, **options)
    jax.tree.map(assert_exact, params_of(stack(apart)), params_of(together))
    assert set(to_state_dict(apart, make(scan=False), *args, **options)) == set(tensors)


@pytest.mark.parametrize("scan", [True, False])
def test_names_of_single_layers_and_of_what_is_in_them(scan):
    tensors = {
        name.replace("layers.", "h.").replace(".fc.", ".mlp.c_fc."): array
        for name, array in tensors_of().items()
    }
    expected = from_state_dict(tensors_of(), linen_repeat(scan), X)
    by_path = {f"layers/{i}/fc": f"h.{i}.mlp.c_fc" for i in range(DEPTH)}
    by_function = lambda path: (
        path.replace("layers", "h").replace("fc", "mlp/c_fc").replace("/", ".")
    )
    for names in ({"layers": "h", **by_path}, by_function):
        variables = from_state_dict(tensors, linen_repeat(scan), X, names=names)
        jax.tree.map(assert_exact, variables, expected)
        assert set(to_state_dict(variables, linen_repeat(scan), X, names=names)) == set(tensors)


def test_layers_that_are_written_out_are_named_by_their_own_paths_too():
    tensors = tensors_of()
    odd = {name.replace("layers.1.", "middle."): array for name, array in tensors.items()}
    odd = {name.replace("layers.2.fc", "last"): array for name, array in odd.items()}
    names = {"layers_1": "middle", "layers_2/fc": "last"}
    variables = from_state_dict(odd, linen_repeat(False), X, names=names)
    jax.tree.map(assert_exact, variables, from_state_dict(tensors, linen_repeat(False), X))


def test_lists_without_a_name_of_their_own():
    tensors = {name.removeprefix("layers."): array for name, array in tensors_of().items()}
    variables = from_state_dict(tensors, linen_repeat(), X, names={"layers": ""})
    jax.tree.map(assert_exact, variables, from_state_dict(tensors_of(), linen_repeat(), X))
    block = nnx_repeat().layers  # itself stacked
    state = from_state_dict(tensors, block, stacked=[""])
    assert_exact(params_of(state)["fc"]["kernel"], variables["params"]["layers"]["fc"]["kernel"])
    assert set(to_state_dict(state, block, stacked=[""])) == set(tensors)


def test_towers_of_towers():
    inner = partial(nn.Repeat, partial(nn.Dense, 4), 2, scan=True)
    tower = nn.Repeat(inner, DEPTH, scan=True)
    tensors = {
        f"layers.{i}.layers.{j}.{name}": numbers(*shape, start=100 * i + 50 * j)
        for i in range(DEPTH)
        for j in range(2)
        for name, shape in (("weight", (4, 4)), ("bias", (4,)))
    }
    variables = from_state_dict(tensors, tower, X)
    kernel = variables["params"]["layers"]["layers"]["kernel"]
    assert kernel.shape == (DEPTH, 2, 4, 4)
    assert_exact(kernel[2, 1], tensors["layers.2.layers.1.weight"].T)
    back = to_state_dict(variables, tower, X)
    for name, array in tensors.items():
        assert_exact(back[name], array)
    del tensors["layers.2.layers.1.bias"]
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(tensors, tower, X)
    assert caught.value.missing == (
        "params/layers/layers/bias (layer 2 of 3, 1 of 2) needs 'layers.2.layers.1.bias'",
    )


def test_weight_norm_in_a_tower():
    tower = nn.Repeat(partial(nn.WeightNorm, nn.Dense(4), variable_filter={"kernel"}), 2, scan=True)
    tensors = {}
    for i in range(2):
        v, g = numbers(4, 4, start=50 * i + 1), numbers(4, 1, start=50 * i + 30)
        tensors |= {f"layers.{i}.weight_g": g, f"layers.{i}.weight_v": v}
        tensors[f"layers.{i}.bias"] = numbers(4)
    variables = from_state_dict(tensors, tower, X)
    layers = variables["params"]["layers"]
    assert_exact(layers["layer_instance"]["kernel"][1], tensors["layers.1.weight_v"].T)
    assert_exact(layers["layer_instance/kernel/scale"][1], tensors["layers.1.weight_g"][:, 0])
    back = to_state_dict(variables, tower, X, like=tensors)
    for name, array in tensors.items():
        assert_exact(back[name], array)


@pytest.mark.parametrize("wrapper", [nnx.WeightNorm, nnx.SpectralNorm])
def test_normalised_weights_in_towers_of_nnx(wrapper):
    def tower(scan):
        block = lambda rngs: wrapper(nnx.Linear(4, 4, rngs=rngs), rngs=rngs)
        return nnx.Repeat(block, DEPTH, rngs=nnx.Rngs(0), scan=scan)

    apart, together = to_state_dict(tower(False)), to_state_dict(tower(True))
    assert len(apart) > 2 * DEPTH and set(apart) == set(together)
    for name, array in apart.items():
        assert_exact(together[name], array)
    state = from_state_dict(together, tower(True))
    read = nnx.to_pure_dict(from_state_dict(together, tower(False)))
    stacked = nnx.to_pure_dict(state)["layers"]
    first = jax.tree.map(lambda whole: whole[1], stacked)
    jax.tree.map(assert_exact, first, read["layers"][1])


def test_statistics_and_boxes_of_towers():
    class Norm(nn.Module):
        @nn.compact
        def __call__(self, x):
            init = nn.with_partitioning(nn.initializers.zeros, (None, "data"))
            x = nn.Dense(4, kernel_init=init, param_dtype=jnp.bfloat16, name="fc")(x)
            return nn.BatchNorm(use_running_average=True, name="bn")(x)

    tower = nn.Repeat(Norm, 2, scan=True, partition_name="stage")
    tensors = {
        f"layers.{i}.fc.{n}": numbers(*s)
        for i in range(2)
        for n, s in (("weight", (4, 4)), ("bias", (4,)))
    }
    for i in range(2):
        for n in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"layers.{i}.bn.{n}"] = numbers(4, start=i)
        tensors[f"layers.{i}.bn.num_batches_tracked"] = np.array(7)
    variables = from_state_dict(tensors, tower, X)
    kernel = variables["params"]["layers"]["fc"]["kernel"]
    assert kernel.names == ("stage", None, "data") and kernel.value.dtype == jnp.bfloat16
    assert_exact(variables["batch_stats"]["layers"]["bn"]["mean"][1], numbers(4, start=1))
    assert set(to_state_dict(variables, tower, X)) == set(tensors)


def raised(tensors, module=None, **options):
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(tensors, module or linen_repeat(), X, **options)
    return caught.value


def without(tensors, prefix):
    return {name: array for name, array in tensors.items() if not name.startswith(prefix)}


@pytest.mark.parametrize(("depth", "absent"), [(2, "2"), (1, "1, 2"), (0, "0, 1, 2")])
def test_too_few_layers(depth, absent):
    error = raised(tensors_of(depth=depth))
    (line,) = error.missing
    assert line == (
        f"params/layers/fc/kernel stacks 3 layers, but there are no tensors of layer {absent}, "
        f"such as 'layers.{depth}.fc.weight': make the module with as many layers as there are, "
        "or take them from defaults="
    )
    assert not error.misshapen and not error.unused


def test_a_layer_that_is_missing_between_others():
    (line,) = raised(without(tensors_of(), "layers.1.")).missing
    assert "no tensors of layer 1, such as 'layers.1.fc.weight'" in line


def test_too_many_layers():
    tensors = tensors_of(depth=5)
    error = raised(tensors)
    (line,) = error.misshapen
    assert line.startswith(
        "layers stacks 3 layers, but there are tensors of layer 3, 4, too, such as 'layers.3.fc."
    )
    assert len(error.unused) == 8 and not error.missing
    ignore = ["layers.3.*", "layers.4.*"]
    variables = from_state_dict(tensors, linen_repeat(), X, ignore=ignore)
    jax.tree.map(assert_exact, variables, from_state_dict(tensors_of(), linen_repeat(), X))


def test_a_ragged_tower_and_one_that_counts_from_one():
    tensors = {
        name.replace(f"layers.{i}.", f"layers.{i + 1}."): array
        for i in range(3)
        for name, array in tensors_of().items()
        if name.startswith(f"layers.{i}.")
    }
    error = raised(tensors)
    assert "no tensors of layer 0, such as 'layers.0.fc.weight'" in error.missing[0]
    assert "tensors of layer 3, too, such as 'layers.3.fc" in error.misshapen[0]
    names = {f"layers/{i}": f"layers.{i + 1}" for i in range(3)}
    variables = from_state_dict(tensors, linen_repeat(), X, names=names)
    jax.tree.map(assert_exact, variables, from_state_dict(tensors_of(), linen_repeat(), X))


def test_single_tensors_that_are_missing():
    tensors = without(tensors_of(), "layers.1.ln.bias")
    assert raised(tensors).missing == (
        "params/layers/ln/bias (layer 1 of 3) needs 'layers.1.ln.bias'",
    )


def test_layers_of_other_shapes():
    tensors = tensors_of()
    tensors["layers.2.fc.weight"] = numbers(4, 5)
    (line,) = raised(tensors).misshapen
    assert line == (
        "params/layers/fc/kernel (layer 2 of 3) has the shape (4, 4), which 'layers.2.fc.weight' "
        "of shape (4, 5) does not give; layers that are stacked are of one shape, so write out "
        "those that differ"
    )


@pytest.mark.parametrize("style", ["linen", "nnx"])
def test_defaults_for_some_layers(style):
    module, args, _ = STACKED[style]()
    tensors = tensors_of()
    ones = jax.tree.map(jnp.ones_like, from_state_dict(tensors, module, *args))
    some = without(tensors, "layers.1.")
    variables = from_state_dict(some, module, *args, defaults=ones)
    kernel = params_of(variables)["layers"]["fc"]["kernel"]
    assert_exact(kernel[1], np.ones((4, 4), np.float32))
    assert_exact(kernel[2], tensors["layers.2.fc.weight"].T)
    none = from_state_dict({}, module, *args, defaults=ones)
    jax.tree.map(assert_exact, none, ones)


def test_variables_of_another_number_of_layers():
    variables = from_state_dict(tensors_of(depth=2), linen_repeat(depth=2), X)
    expected = r"params/layers/fc/bias of the variables has the shape \(2, 4\).* module 3 layers"
    with pytest.raises(errors.StateDictMismatchError, match=expected):
        to_state_dict(variables, linen_repeat(), X)
    with pytest.raises(errors.StateDictMismatchError, match=expected):
        from_state_dict(tensors_of(), linen_repeat(), X, defaults=variables)


def test_writing_names_what_is_stacked_once():
    variables = from_state_dict(tensors_of(), linen_repeat(), X)
    del variables["params"]["layers"]["ln"]["bias"]
    with pytest.raises(errors.StateDictMismatchError) as caught:
        to_state_dict(variables, linen_repeat(), X)
    assert caught.value.missing == ("params/layers/ln/bias",)


def test_like_with_other_layers():
    variables = from_state_dict(tensors_of(), linen_repeat(), X)
    with pytest.raises(errors.StateDictMismatchError, match=r"layers.3.fc.weight of like= has no"):
        to_state_dict(variables, linen_repeat(), X, like=tensors_of(depth=4))


def test_what_was_stacked_by_hand_has_to_be_said():
    error = raised(tensors_of(), ScannedByHand())
    assert len(error.missing) == 4
    assert error.missing[0] == (
        "params/layers/fc/bias needs 'layers.fc.bias', but there is 'layers.0.fc.bias': if its "
        "first axis is that of layers, name the module that was stacked in stacked="
    )
    with pytest.raises(TypeError, match=r"stacked= holds the paths of modules: pass \['layers'\]"):
        from_state_dict(tensors_of(), ScannedByHand(), X, stacked="layers")
    with pytest.raises(ValueError, match=r"'tower', so axis 0 .* found no variables"):
        from_state_dict(tensors_of(), ScannedByHand(), X, stacked=["tower"])
    with pytest.raises(ValueError, match=r"'tower', so axis 0 .* found no variables"):
        to_state_dict(StackedByHand(nnx.Rngs(0)), stacked=["tower"])


def test_variables_without_a_common_first_axis():
    stacked = {
        ("params", "layers", "a"): np.zeros((2, 3)),
        ("params", "layers", "b"): np.zeros((3,)),
    }
    with pytest.raises(
        ValueError, match=r"layers/a of shape \(2, 3\) and params/layers/b of shape"
    ):
        Towers(["layers"], stacked)
    with pytest.raises(ValueError, match=r"found params/layers/a of shape \(\)"):
        Towers(["layers"], {("params", "layers", "a"): np.zeros(())})
    with pytest.raises(ValueError, match=r"found params/layers/a of shape \(0, 2\)"):
        Towers(["layers"], {("params", "layers", "a"): np.zeros((0, 2))})


def test_what_else_is_among_the_variables_of_a_tower_is_left():
    variables = from_state_dict(tensors_of(), linen_repeat(), X)
    variables["intermediates"] = {"layers": {"seen": np.zeros(7)}}
    assert set(to_state_dict(variables, linen_repeat(), X)) == set(tensors_of())


def test_layers_without_values():
    with pytest.raises(errors.StateDictMismatchError) as caught:
        to_state_dict(nnx.eval_shape(nnx_repeat))
    assert caught.value.unfit[0].startswith("params/layers/fc/")
    assert "(layer 0 of 3) is ShapeDtypeStruct" in caught.value.unfit[0]


def test_keys_of_layers_come_from_defaults():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.variable("noise", "key", lambda: jax.random.key(0))
            return nn.Dense(4, name="fc")(x)

    tower = nn.Repeat(Noisy, 2, scan=True)
    keys = jax.random.split(KEY, 2)
    variables = {**tower.init(KEY, X), "noise": {"layers": {"key": keys}}}
    tensors = {name: array for name, array in tensors_of(depth=2).items() if ".ln." not in name}
    with pytest.raises(errors.StateDictMismatchError, match=r"noise/layers/key .layer 0 of 2"):
        from_state_dict(tensors, tower, X)
    read = from_state_dict(tensors, tower, X, defaults=variables)
    assert (read["noise"]["layers"]["key"] == keys).all()
    tensors["layers.0.key"] = np.float32(1)
    with pytest.raises(errors.StateDictMismatchError, match="take the variable from defaults="):
        from_state_dict(tensors, tower, X, defaults=variables)


def test_variables_do_not_share_memory_with_tensors():
    tensors = tensors_of()
    variables = from_state_dict(tensors, linen_repeat(), X)
    before = np.array(variables["params"]["layers"]["fc"]["kernel"])
    written = to_state_dict(variables, linen_repeat(), X)
    for array in (*tensors.values(), *written.values()):
        array += 1
    assert_exact(variables["params"]["layers"]["fc"]["kernel"], before)


def test_each_tensor_is_copied_once(monkeypatch):
    """Into the stacked array, which goes to the device as a whole."""
    moved = []
    put = jax.device_put
    monkeypatch.setattr(jnp, "stack", lambda *args, **kwargs: pytest.fail("stacked"))
    monkeypatch.setattr(jnp, "array", lambda *args, **kwargs: pytest.fail("layer by layer"))
    monkeypatch.setattr(jax, "device_put", lambda x: moved.append(x.shape) or put(x))
    from_state_dict(tensors_of(), linen_repeat(), X)
    assert sorted(moved) == [(DEPTH, 4)] * 3 + [(DEPTH, 4, 4)]


def test_functions_that_know_only_the_layers_there_are():
    known = {"": "", "layers": "h"}
    for i in range(DEPTH):
        known |= {f"layers/{i}{below}": f"h.{i}{below}" for below in ("", "/fc", "/ln")}
    names = lambda path: known[path].replace("/", ".")
    error = raised(tensors_of("h", depth=2), names=names)
    assert "no tensors of layer 2, such as 'h.2.fc.weight'" in error.missing[0]
    assert raised(tensors_of("h", depth=4), names=names).unused[0] == "h.3.fc.weight"


def test_layers_that_run_side_by_side():
    class Experts(nn.Module):
        @nn.compact
        def __call__(self, x):
            options = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
            lifted = nn.vmap(nn.Dense, in_axes=None, axis_size=2, **options)
            return lifted(5, name="experts")(x)

    tensors = {f"experts.{i}.weight": numbers(5, 4, start=20 * i) for i in range(2)}
    tensors |= {f"experts.{i}.bias": numbers(5, start=5 * i) for i in range(2)}
    variables = from_state_dict(tensors, Experts(), X, stacked=["experts"])
    assert_exact(variables["params"]["experts"]["kernel"][1], tensors["experts.1.weight"].T)
    back = to_state_dict(variables, Experts(), X, stacked=["experts"])
    for name, array in tensors.items():
        assert_exact(back[name], array)
