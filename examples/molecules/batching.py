"""Many graphs as one: molecules side by side in arrays whose shapes are always the same.

The graph of a batch is that of all its molecules, with no bond from one to another. What is left of
the arrays is padding: atoms of a molecule that is none, the last one of the batch, and bonds of the
last atom with itself. Nothing of it reaches an atom of a molecule.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from examples.molecules.molecules import GROUPS, Molecule
from examples.molecules.settings import Settings


class Graphs(NamedTuple):
    """A batch of molecules.

    Attributes:
      atoms: kinds of each atom, ``[atoms, 5]``, int32.
      bonds: kind of each bond, ``[bonds]``, int32; a bond is there twice, once in each direction.
      senders: the atom where it begins, ``[bonds]``, int32.
      receivers: the atom where it ends, ``[bonds]``, int32.
      molecules: to which molecule an atom belongs, ``[atoms]``, int32.
      boils: boiling points in kelvin, ``[molecules]``, float32.
      there: which molecules are there and not padding, ``[molecules]``, bool.
    """

    atoms: np.ndarray
    bonds: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    molecules: np.ndarray
    boils: np.ndarray
    there: np.ndarray


def together(molecules: Sequence[Molecule], settings: Settings) -> Graphs:
    """Put molecules into one batch, and fill it with padding.

    Args:
      molecules: at most as many as there is room for, see `packed`.
      settings: which tell how much room there is.

    Returns:
      Graphs with room for `settings.batch` molecules and the one that is none.

    Raises:
      ValueError: if they are too many or too large.
    """
    room = settings.atoms, settings.bonds, settings.batch + 1
    needed = (
        sum(len(molecule.atoms) for molecule in molecules) + 1,
        sum(2 * len(molecule.bonds) for molecule in molecules),
        len(molecules) + 1,
    )
    if any(one > other for one, other in zip(needed, room, strict=True)):
        raise ValueError(
            f"{molecules[0].smiles!r} and what follows need room for {needed} atoms, bonds and "
            f"molecules, padding included; a batch has {room}."
        )
    graphs = Graphs(
        atoms=np.zeros((room[0], len(GROUPS)), np.int32),
        bonds=np.zeros(room[1], np.int32),
        senders=np.full(room[1], room[0] - 1, np.int32),
        receivers=np.full(room[1], room[0] - 1, np.int32),
        molecules=np.full(room[0], room[2] - 1, np.int32),
        boils=np.zeros(room[2], np.float32),
        there=np.arange(room[2]) < len(molecules),
    )
    atom = bond = 0
    for number, molecule in enumerate(molecules):
        atoms = slice(atom, atom + len(molecule.atoms))
        bonds = slice(bond, bond + 2 * len(molecule.bonds))
        begin, end = molecule.ends.T + atom
        graphs.atoms[atoms] = molecule.atoms
        graphs.molecules[atoms] = number
        graphs.boils[number] = molecule.boils
        graphs.bonds[bonds] = np.tile(molecule.bonds, 2)
        graphs.senders[bonds] = np.concatenate([begin, end])
        graphs.receivers[bonds] = np.concatenate([end, begin])
        atom, bond = atoms.stop, bonds.stop
    return graphs


def packed(molecules: Sequence[Molecule], settings: Settings) -> list[Sequence[Molecule]]:
    """Cut a row of molecules into batches, each as long as there is room."""
    batches, first, atoms, bonds = [], 0, 0, 0
    for number, molecule in enumerate(molecules):
        atoms, bonds = atoms + len(molecule.atoms), bonds + 2 * len(molecule.bonds)
        full = number - first == settings.batch
        if full or atoms > settings.atoms - 1 or bonds > settings.bonds:
            batches.append(molecules[first:number])
            first, atoms, bonds = number, len(molecule.atoms), 2 * len(molecule.bonds)
    return [*batches, molecules[first:]]


class Batches:
    """Shuffled batches; which one is number n depends on nothing but n and the seed.

    Args:
      molecules: all of them.
      settings: the room in a batch, and the seed of the order.
    """

    def __init__(self, molecules: Sequence[Molecule], settings: Settings) -> None:
        self.molecules, self.settings = molecules, settings
        self._epoch, self._first = -1, 0
        self._batches: list[Sequence[Molecule]] = []

    def __getitem__(self, number: int) -> Graphs:
        """Return a batch. How many there are in an epoch differs, so that it is asked in order."""
        if number < self._first:
            self._epoch, self._first, self._batches = -1, 0, []
        while number - self._first >= len(self._batches):
            self._first += len(self._batches)
            self._epoch += 1
            rng = np.random.default_rng([self.settings.seed, 1, self._epoch])
            order = rng.permutation(len(self.molecules))
            self._batches = packed([self.molecules[i] for i in order], self.settings)
        return together(self._batches[number - self._first], self.settings)
