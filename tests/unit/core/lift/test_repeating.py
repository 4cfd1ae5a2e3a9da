"""What towers of both styles check of a layer's result."""

import jax.numpy as jnp
import pytest

from ramie.core.lift.repeating import check_carried, divided


@pytest.mark.parametrize("y, found", [((1, 2, 3), "a tuple of 3"), ([1, 2], "of type list")])
def test_a_message_says_what_a_layer_returned(y, found):
    with pytest.raises(TypeError, match=f"Block returned .*{found}"):
        divided(y, 2, False, "Block")
    with pytest.raises(TypeError, match=f"Block returned .*{found}"):
        divided(y, 1, True, "Block")


def test_what_is_carried_is_told_from_the_output():
    assert divided((1, 2), 2, False, "Block") == ((1, 2), None)
    assert divided(((1, 2), 3), 2, True, "Block") == ((1, 2), 3)
    assert divided((1, 2), 1, False, "Block") == (((1, 2),), None)


def test_what_the_next_layer_can_take_is_what_the_scan_of_jax_takes():
    x = jnp.ones((2, 3))
    check_carried((x, {"a": 1.0}), (x + 1, {"a": jnp.ones((), jnp.bfloat16)}), "Block")  # weak
    with pytest.raises(TypeError, match=r"Block got float32\[2,3\] at \['a'\] as carried arg.* 1 "):
        check_carried((x, {"a": x}), (x, {"a": x[0]}), "Block")
    with pytest.raises(TypeError, match="structure"):
        check_carried((x,), (None,), "Block")
