"""Operators of objects that stand for a value."""

import operator

import pytest

from ramie import cursor, nnx
from ramie.foundation.operators import ValueOperators

BINARY = (
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv),
    *(operator.mod, divmod, operator.pow, operator.lshift, operator.rshift),
    *(operator.and_, operator.or_, operator.xor),
    *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
)


class Boxed(ValueOperators):
    def __init__(self, value, on_the_other_side=None):
        self.value = value
        self.other = value if on_the_other_side is None else on_the_other_side

    def _operated(self):
        return self.value

    def _operand(self):
        return self.other


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
@pytest.mark.parametrize("kind", [Boxed, nnx.Param, cursor.cursor])
def test_an_operator_works_on_the_value_from_either_side(op, kind):
    expected = op(7, 2)
    for result in (op(kind(7), 2), op(7, kind(2)), op(kind(7), kind(2))):
        assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize("op", [operator.neg, operator.pos, operator.invert, abs])
@pytest.mark.parametrize("kind", [Boxed, nnx.Param, cursor.cursor])
def test_an_operator_of_one_side(op, kind):
    assert op(kind(-7)) == op(-7)


def test_a_value_may_be_another_on_the_other_side():
    assert Boxed(1, 10) - Boxed(2, 20) == -19
    place = cursor.cursor({"a": [1]})
    place["a"][0] = 5
    assert place["a"] + [2] == [1, 2] and cursor.cursor([0]) + place["a"] == [0, 5]


def test_variables_and_cursors_meet():
    assert nnx.Param(3) * cursor.cursor(4) == 12 == cursor.cursor(4) * nnx.Param(3)


def test_a_variable_asks_the_class_that_it_is_of():
    class Doubled(nnx.Param):
        def get_value(self, **index):
            return 2 * super().get_value(**index)

    class Grandchild(Doubled):
        pass

    assert Doubled(3) + 1 == 7 and 1 + Grandchild(3) == 7 and -Doubled(3) == -6


def test_what_stands_for_nothing_says_so():
    with pytest.raises(NotImplementedError, match="ValueOperators has no value"):
        ValueOperators() + 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(Boxed(1))
