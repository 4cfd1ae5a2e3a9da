"""The first words of Ramie's messages are those of Flax."""

import pytest

pytest.importorskip("flax")

from tests.families.message_row import Library
from tests.families.message_rows import ROWS

LIBRARY = Library("flax")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.peer])
def test_how_a_message_of_the_peer_begins(name):
    row = ROWS[name]
    with pytest.raises(Exception) as caught:
        row.program(LIBRARY)
    assert str(caught.value).startswith(row.beginning)
