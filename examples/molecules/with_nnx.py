"""The same network in NNX: `with_linen.py` explains it.

From the same parameters both come to the same numbers; `moved` gives those of Linen the names that
they have here. The first parameters are not the same: each style draws them in its own way.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from examples.molecules import learning
from examples.molecules.batching import Graphs
from examples.molecules.molecules import ATOM_KINDS, BOND_KINDS, SPREAD, TYPICAL
from examples.molecules.settings import Settings

from ramie import nnx


class Round(nnx.Module):
    """Each atom sends a message along each of its bonds, and changes by what comes to it.

    Args:
      width: features of an atom.
      rngs: for the first parameters.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.message = nnx.Linear(width, width, rngs=rngs)
        self.bond = nnx.Embed(BOND_KINDS, width, rngs=rngs)
        self.up = nnx.Linear(2 * width, 2 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x, graphs: Graphs):
        """Map features of atoms ``[atoms, width]`` to features."""
        before = self.norm(x)
        sent = nnx.relu(self.message(before)[graphs.senders] + self.bond(graphs.bonds))
        received = jax.ops.segment_sum(sent, graphs.receivers, num_segments=len(x))
        both = jnp.concatenate([before, received], axis=-1)
        return x + self.down(nnx.relu(self.up(both)))


class Network(nnx.Module):
    """Molecules in, their boiling points in kelvin out.

    Args:
      width: features of an atom.
      rounds: of messages.
      rngs: for the first parameters.
    """

    def __init__(self, width: int, rounds: int, *, rngs: nnx.Rngs):
        self.atom = nnx.Embed(ATOM_KINDS, width, rngs=rngs)
        self.rounds = nnx.List(Round(width, rngs=rngs) for _ in range(rounds))
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.hidden = nnx.Linear(2 * width, 2 * width, rngs=rngs)
        self.last = nnx.Linear(2 * width, 1, rngs=rngs)

    def __call__(self, graphs: Graphs):
        """Map molecules to boiling points ``[molecules]``; that of padding means nothing."""
        x = self.atom(graphs.atoms).sum(axis=1)
        for one in self.rounds:
            x = one(x, graphs)
        x = self.norm(x)
        count = len(graphs.there)
        total = jax.ops.segment_sum(x, graphs.molecules, num_segments=count)
        atoms = jax.ops.segment_sum(jnp.ones((len(x), 1)), graphs.molecules, num_segments=count)
        both = jnp.concatenate([total, total / jnp.maximum(atoms, 1)], axis=-1)
        return TYPICAL + SPREAD * self.last(nnx.relu(self.hidden(both)))[:, 0]


class Training(nnx.Module):
    """The network, and the optimizer that knows its parameters.

    Args:
      settings: of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self.network = Network(settings.width, settings.rounds, rngs=nnx.Rngs(settings.seed))
        self.optimizer = nnx.Optimizer(self.network, learning.optimizer(settings), wrt=nnx.Param)

    @property
    def state(self) -> nnx.State:
        """All that a checkpoint holds; another one can be assigned."""
        return nnx.state(self)

    @state.setter
    def state(self, state: nnx.State) -> None:
        nnx.update(self, state)

    @property
    def done(self) -> int:
        """How many steps were done."""
        return int(self.optimizer.step[...])

    def step(self, graphs: Graphs) -> float:
        """Learn from a batch, and return the error before."""
        return float(compiled_step(self, graphs))

    def boil(self, graphs: Graphs) -> np.ndarray:
        """Return the boiling points ``[molecules]`` in kelvin."""
        return np.asarray(applied(self.network, graphs))


def error(network: Network, graphs: Graphs) -> jax.Array:
    """Return the error of a batch."""
    return learning.error(network(graphs), graphs)


def step(training: Training, graphs: Graphs) -> jax.Array:
    """Change the training by one batch, and return the error before."""
    found, gradients = nnx.value_and_grad(error)(training.network, graphs)
    training.optimizer.update(training.network, gradients)
    return found


compiled_step = nnx.jit(step, donate="auto")


@nnx.jit
def applied(network: Network, graphs: Graphs) -> jax.Array:
    """Run the network."""
    return network(graphs)


def moved(params: dict[str, Any]) -> dict[str, Any]:
    """Give the parameters of the Linen network the names that they have here.

    Args:
      params: of the Linen network.

    Returns:
      What `nnx.replace_by_pure_dict` can write to the state of a network.
    """
    rounds = [name for name in params if name.startswith("round_")]
    others = {name: value for name, value in params.items() if name not in rounds}
    return others | {"rounds": {number: params[f"round_{number}"] for number in range(len(rounds))}}
