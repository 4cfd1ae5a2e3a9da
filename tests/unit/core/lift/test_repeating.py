"""What towers of both styles check of a layer's result."""

import pytest

from ramie.core.lift.repeating import divided


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
