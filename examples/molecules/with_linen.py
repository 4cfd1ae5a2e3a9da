"""The network in Linen: atoms send messages along their bonds, and then are summed up.

Gilmer et al., *Neural Message Passing for Quantum Chemistry*, 2017. There is no library for graphs
here: indexing takes a message to each bond, and `jax.ops.segment_sum` adds up what comes to an
atom, or what belongs to a molecule.
"""

import jax
import jax.numpy as jnp
import numpy as np
from examples.molecules import learning
from examples.molecules.batching import Graphs, together
from examples.molecules.molecules import ATOM_KINDS, BOND_KINDS, SPREAD, TYPICAL
from examples.molecules.settings import Settings

from ramie import linen as nn
from ramie.training.stepping import Stepper
from ramie.training.train_state import TrainState


class Round(nn.Module):
    """Each atom sends a message along each of its bonds, and changes by what comes to it.

    Args:
      width: features of an atom.
    """

    width: int

    @nn.compact
    def __call__(self, x, graphs: Graphs):
        """Map features of atoms ``[atoms, width]`` to features."""
        before = nn.LayerNorm(name="norm")(x)
        sent = nn.Dense(self.width, name="message")(before)[graphs.senders]
        sent = nn.relu(sent + nn.Embed(BOND_KINDS, self.width, name="bond")(graphs.bonds))
        received = jax.ops.segment_sum(sent, graphs.receivers, num_segments=len(x))
        both = jnp.concatenate([before, received], axis=-1)
        hidden = nn.relu(nn.Dense(2 * self.width, name="up")(both))
        return x + nn.Dense(self.width, name="down")(hidden)


class Network(nn.Module):
    """Molecules in, their boiling points in kelvin out.

    Args:
      width: features of an atom.
      rounds: of messages.
    """

    width: int
    rounds: int

    @nn.compact
    def __call__(self, graphs: Graphs):
        """Map molecules to boiling points ``[molecules]``; that of padding means nothing."""
        x = nn.Embed(ATOM_KINDS, self.width, name="atom")(graphs.atoms).sum(axis=1)
        for number in range(self.rounds):
            x = Round(self.width, name=f"round_{number}")(x, graphs)
        x = nn.LayerNorm(name="norm")(x)
        count = len(graphs.there)
        total = jax.ops.segment_sum(x, graphs.molecules, num_segments=count)
        atoms = jax.ops.segment_sum(jnp.ones((len(x), 1)), graphs.molecules, num_segments=count)
        both = jnp.concatenate([total, total / jnp.maximum(atoms, 1)], axis=-1)
        hidden = nn.relu(nn.Dense(2 * self.width, name="hidden")(both))
        return TYPICAL + SPREAD * nn.Dense(1, name="last")(hidden)[:, 0]


class Training:
    """The network, its parameters and the optimizer.

    Args:
      settings: of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self._stepper = Stepper(step, create(settings), has_aux=True)

    @property
    def state(self) -> TrainState:
        """All that a checkpoint holds; another one can be assigned."""
        return self._stepper.state

    @state.setter
    def state(self, state: TrainState) -> None:
        self._stepper.state = state

    @property
    def done(self) -> int:
        """How many steps were done."""
        return int(self.state.step)

    def step(self, graphs: Graphs) -> float:
        """Learn from a batch, and return the error before."""
        return float(self._stepper(graphs))

    def boil(self, graphs: Graphs) -> np.ndarray:
        """Return the boiling points ``[molecules]`` in kelvin."""
        return np.asarray(applied(self.state, graphs))


def create(settings: Settings) -> TrainState:
    """Make the first state."""
    network = Network(settings.width, settings.rounds)
    init = jax.jit(network.init)  # one program instead of many small ones
    return TrainState.create(
        apply_fn=network.apply,
        params=init(jax.random.key(settings.seed), together([], settings))["params"],
        tx=learning.optimizer(settings),
    )


def step(state: TrainState, graphs: Graphs) -> tuple[TrainState, jax.Array]:
    """Change the state by one batch; return the new state and the error before."""

    def error(params):
        return learning.error(state.apply_fn({"params": params}, graphs), graphs)

    found, gradients = jax.value_and_grad(error)(state.params)
    return state.apply_gradients(grads=gradients), found


@jax.jit
def applied(state: TrainState, graphs: Graphs) -> jax.Array:
    """Run the network."""
    return state.apply_fn({"params": state.params}, graphs)
