"""Signatures of classes that are made in unusual ways."""

import inspect

import pytest

from ramie.foundation.signatures import SignatureOfInit


class Lenient:
    __signature__ = SignatureOfInit()

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)


class Wide(Lenient):
    def __init__(self, width: int = 3, *, name: str = "") -> None:
        self.width, self.name = width, name

    def __call__(self, x):
        return x


class Wider(Wide):
    pass


class Told(Wide):
    __signature__ = inspect.signature(lambda told: None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Lenient, "()"),
        (Wide, "(width: int = 3, *, name: str = '') -> None"),
        (Wider, "(width: int = 3, *, name: str = '') -> None"),
        (Told, "(told)"),
        (Wide(), "(x)"),
    ],
)
def test_signature(value, expected):
    assert str(inspect.signature(value)) == expected


def test_objects_have_none():
    with pytest.raises(AttributeError, match="'Wide' object has no attribute '__signature__'"):
        _ = Wide().__signature__
