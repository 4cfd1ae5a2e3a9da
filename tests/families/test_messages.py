"""Messages begin with the words that others look for, and go on to say what to do."""

import builtins

import pytest
from tests.families.message_row import Library
from tests.families.message_rows import ROWS

from ramie import errors

LIBRARY = Library("ramie")


@pytest.mark.parametrize("name", ROWS)
def test_how_a_message_begins(name):
    row = ROWS[name]
    kind = getattr(errors, row.error, None) or getattr(builtins, row.error)
    with pytest.raises(kind) as caught:
        row.program(LIBRARY)
    assert str(caught.value).startswith(row.beginning)
