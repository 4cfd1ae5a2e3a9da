"""Operators of objects that stand for a value: variables of NNX, and cursors."""

import operator
from collections.abc import Callable
from typing import Any

__all__ = ["ValueOperators"]


def _other(x: Any) -> Any:
    return x._operand() if isinstance(x, ValueOperators) else x


def _binary(op: Callable[[Any, Any], Any]) -> Any:
    def method(self: Any, other: Any) -> Any:
        return op(self._operated(), _other(other))

    return method


def _reflected(op: Callable[[Any, Any], Any]) -> Any:
    def method(self: Any, other: Any) -> Any:
        return op(_other(other), self._operated())

    return method


def _unary(op: Callable[[Any], Any]) -> Any:
    def method(self: Any) -> Any:
        return op(self._operated())

    return method


class ValueOperators:
    """Arithmetic and comparisons of a class, as they are for the value that an object stands for.

    Every operator returns a plain result. With an array of NumPy on the left it is this class that
    computes too, so that the result is the same on both sides; functions of NumPy are not asked.

    Example:
        >>> class Celsius(ValueOperators):
        ...     def __init__(self, degrees):
        ...         self.degrees = degrees
        ...     def _operated(self):
        ...         return self.degrees
        >>> Celsius(20) + 1, 1 - Celsius(20), Celsius(20) > Celsius(3)
        (21, -19, True)
    """

    __slots__ = ()
    __array_priority__ = 100  # as arrays of JAX: those of NumPy leave their operators to us

    def _operated(self) -> Any:
        """Return the value of the object whose operator is asked."""
        raise NotImplementedError(f"{type(self).__name__} has no value")

    def _operand(self) -> Any:
        """Return the value of an object on the other side of an operator."""
        return self._operated()

    __add__, __radd__ = _binary(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _binary(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul), _reflected(operator.mul)
    __matmul__, __rmatmul__ = _binary(operator.matmul), _reflected(operator.matmul)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _binary(operator.mod), _reflected(operator.mod)
    __divmod__, __rdivmod__ = _binary(divmod), _reflected(divmod)
    __pow__, __rpow__ = _binary(operator.pow), _reflected(operator.pow)
    __lshift__, __rlshift__ = _binary(operator.lshift), _reflected(operator.lshift)
    __rshift__, __rrshift__ = _binary(operator.rshift), _reflected(operator.rshift)
    __and__, __rand__ = _binary(operator.and_), _reflected(operator.and_)
    __or__, __ror__ = _binary(operator.or_), _reflected(operator.or_)
    __xor__, __rxor__ = _binary(operator.xor), _reflected(operator.xor)

    __eq__, __ne__ = _binary(operator.eq), _binary(operator.ne)
    __lt__, __le__ = _binary(operator.lt), _binary(operator.le)
    __gt__, __ge__ = _binary(operator.gt), _binary(operator.ge)
    __hash__ = None  # type: ignore[assignment]  # it is equal to values that change

    __neg__, __pos__ = _unary(operator.neg), _unary(operator.pos)
    __invert__, __abs__ = _unary(operator.invert), _unary(abs)
