"""How models, optimizers and other objects are saved: as their state, restored into a copy."""

from typing import Any

from ramie.nnx.graph.functional import merge, split, state
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.saving import restored
from ramie.serialization import state_dict

__all__: list[str] = []


def _to_state_dict(model: Any) -> Any:
    return state_dict.to_state_dict(state(model))


def _from_state_dict(target: Any, saved: Any) -> Any:
    graphdef, wanted = split(target)
    return merge(graphdef, restored(wanted, saved))


state_dict.register_family(Pytree, _to_state_dict, _from_state_dict)
