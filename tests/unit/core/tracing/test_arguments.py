"""Arguments that are named by number."""

import pytest

from ramie.core.tracing.arguments import positions


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (None, ()),
        (1, (1,)),
        (-1, (2,)),
        ((2, 0), (0, 2)),
        ([0, -3], (0,)),
        ((3, -4), ()),
    ],
)
def test_positions_of_three(argnums, expected):
    assert positions(argnums, 3) == expected
