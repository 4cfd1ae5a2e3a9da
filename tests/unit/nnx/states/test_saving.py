"""States of models as checkpoints: names, keys of random streams, what does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, nnx, serialization


def model(fill=1.0):
    return nnx.Dict(
        weights=nnx.List([nnx.Param(jnp.full((2, 3), fill)), nnx.BatchStat(jnp.full((3,), fill))]),
        rngs=nnx.Rngs(int(fill)),
    )


def test_the_state_dict_has_names_and_plain_arrays():
    saved = serialization.to_state_dict(nnx.state(model()))
    assert set(saved) == {"weights", "rngs"} and set(saved["weights"]) == {"0", "1"}
    assert_exact(saved["weights"]["0"], np.ones((2, 3), np.float32))
    key = saved["rngs"]["default"]["key"]
    assert key.dtype == jnp.uint32 and key.shape == (2,)


def test_a_checkpoint_is_restored_into_another_model(tmp_path):
    trained, fresh = model(7.0), model(0.0)
    trained["rngs"].default()
    checkpoint.save(tmp_path, nnx.state(trained), 1)
    restored = checkpoint.restore(tmp_path, nnx.state(fresh))
    assert_exact(fresh["weights"][0].get_value(), np.zeros((2, 3), np.float32))  # untouched so far
    nnx.update(fresh, restored)
    assert isinstance(fresh["weights"][1], nnx.BatchStat)
    assert_exact(fresh["weights"][0].get_value(), np.full((2, 3), 7, np.float32))
    drawn = [jax.random.key_data(m["rngs"].default()) for m in (fresh, trained)]
    assert_exact(drawn[0], drawn[1])


def test_shapes_are_enough_to_restore_into():
    saved = serialization.to_state_dict(nnx.state(model(3.0)))
    wanted = jax.eval_shape(lambda: nnx.state(model(0.0)))
    restored = serialization.from_state_dict(wanted, saved)
    assert_exact(restored["weights"][0].get_value(), np.full((2, 3), 3, np.float32))
    key = restored["rngs"]["default"]["key"].get_value()
    assert_exact(jax.random.key_data(key), jax.random.key_data(jax.random.key(3)))


def test_what_does_not_fit_is_named(tmp_path):
    checkpoint.save(tmp_path, nnx.state(model()), 1)
    other = model()
    other["weights"][0].set_value(jnp.ones((4, 3)))
    other["weights"].append(nnx.Param(jnp.ones(1)))
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(tmp_path, nnx.state(other))
    assert "weights/2" in str(caught.value) and "weights/0" in str(caught.value)


def test_names_that_fall_together_are_refused():
    state = nnx.State({1: nnx.Param(1), "1": nnx.Param(2)})
    with pytest.raises(ValueError, match="unique string"):
        serialization.to_state_dict(state)


def boxed(state):
    """Return a state dict as Orbax has it: a variable is a container of one entry."""
    if isinstance(state, dict):
        return {key: boxed(value) for key, value in state.items()}
    return {"value": state}


def test_what_orbax_made_of_variables_is_read_as_what_they_hold():
    saved = boxed(serialization.to_state_dict(nnx.state(model(3.0))))
    wanted = nnx.state(model(0.0))
    restored = serialization.from_state_dict(wanted, saved)
    assert jax.tree.structure(restored) == jax.tree.structure(wanted)
    assert_exact(restored["weights"][0].get_value(), np.full((2, 3), 3, np.float32))
    saved["rngs"]["default"]["key"] = {"value": jax.random.key(3)}  # Orbax reads keys as keys
    restored = serialization.from_state_dict(wanted, saved)
    key = restored["rngs"]["default"]["key"].get_value()
    assert_exact(jax.random.key_data(key), jax.random.key_data(jax.random.key(3)))


def test_variables_that_hold_a_container_keep_it():
    state = nnx.State({"a": nnx.Variable({"value": np.ones(2), "b": 1}), "c": nnx.Variable(None)})
    blank = nnx.State({"a": nnx.Variable({"value": np.zeros(2), "b": 0}), "c": nnx.Variable(None)})
    saved = serialization.to_state_dict(state)
    for form in (saved, {"a": {"value": saved["a"]}, "c": {"value": None}}):
        restored = serialization.from_state_dict(blank, form)
        assert_exact(restored["a"].get_value()["value"], np.ones(2))
        assert restored["a"].get_value()["b"] == 1 and restored["c"].get_value() is None
    single = nnx.State({"a": nnx.Variable({"value": np.zeros(2)})})
    restored = serialization.from_state_dict(single, {"a": {"value": np.ones(2)}})
    assert_exact(restored["a"].get_value()["value"], np.ones(2))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("found", [{"other": np.ones((2, 3))}, {"value": {"deep": np.ones(2)}}, {}])
def test_no_container_gets_into_the_place_of_an_array(tmp_path, found, strict):
    saved = serialization.to_state_dict(nnx.state(model()))
    saved["weights"]["0"] = found
    checkpoint.save(tmp_path, saved, 1)
    with pytest.raises(errors.CheckpointMismatchError, match=r"weights/0: an array"):
        checkpoint.restore(tmp_path, nnx.state(model()), strict=strict)
    with pytest.raises(ValueError, match="weights/0"):
        serialization.from_state_dict(nnx.state(model()), saved)


def test_bits_that_are_no_keys_are_named():
    saved = serialization.to_state_dict(nnx.state(model()))
    saved["rngs"]["default"]["key"] = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"rngs/default/key .* does not hold such keys"):
        serialization.from_state_dict(nnx.state(model()), saved)


def test_variables_in_other_trees_come_back_as_variables(tmp_path):
    checkpoint.save(tmp_path, {"w": nnx.Param(jnp.ones(2)), "n": [nnx.Variable({"a": 1})]}, 1)
    restored = checkpoint.restore(
        tmp_path, {"w": nnx.Param(jnp.zeros(2)), "n": [nnx.Variable({"a": 0})]}
    )
    assert type(restored["w"]) is nnx.Param and restored["n"][0].get_value() == {"a": 1}
    assert_exact(restored["w"].get_value(), np.ones(2, np.float32))
    with pytest.raises(errors.CheckpointMismatchError, match=r"./w: \(3,\) wanted"):
        checkpoint.restore(tmp_path, {"w": nnx.Param(jnp.zeros(3))})
