"""Every layer three times in one model, so that the calls agree and can share a trace."""

from typing import Any

import pytest

import ramie.linen as nn
from ramie.linen.machinery import sharing


def thrice(namespace, row):
    """Return a model of a namespace (`ramie.linen` or `flax.linen`) whose layers agree."""

    class Thrice(namespace.Module):
        row: Any

        @namespace.compact
        def __call__(self, *args):
            return [self.row.make(namespace)(*args, **self.row.kwargs) for _ in range(3)]

    return Model(Thrice(row))


class Model:
    """A model whose layers take the keyword arguments of the row themselves."""

    def __init__(self, module):
        self.init, self._module = module.init, module

    def apply(self, variables, *args, rngs, mutable, **kwargs):
        return self._module.apply(variables, *args, rngs=rngs, mutable=mutable)


@pytest.fixture
def everything_is_shared(monkeypatch):
    """Share single layers too, and return the programs that are made."""
    made = []

    class Noted(sharing._Shared):
        def __init__(self, call, *rest):
            super().__init__(call, *rest)
            made.append(type(call.module).__name__)

    monkeypatch.setattr(sharing, "_FEWEST_VARIABLES", 0)
    monkeypatch.setattr(sharing, "_is_plain", lambda cls: True)
    monkeypatch.setattr(sharing, "_Shared", Noted)
    with nn.share_traces(False):  # each test says when, also where the flag is on
        yield made
