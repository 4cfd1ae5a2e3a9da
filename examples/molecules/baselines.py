"""What the network has to be better than: the mean, lines through counts, and chemists' tables."""

from collections.abc import Sequence

import numpy as np
from examples.molecules.molecules import Molecule, boiling, parsed

COLUMNS = 1024
PENALTY = 3.0


def estimates(
    trained_on: Sequence[Molecule], held_out: Sequence[Molecule]
) -> dict[str, np.ndarray]:
    """Return boiling points of the held out molecules, by each way to tell them.

    Args:
      trained_on: the molecules that may be looked at.
      held_out: the others.

    Returns:
      Of each way, ``[held_out]`` in kelvin; NaN where it has no answer.
    """
    mean = np.full(len(held_out), boiling(trained_on).mean())
    return {
        "the mean": mean,
        "ridge regression": ridge(counts(trained_on), boiling(trained_on), counts(held_out)),
        "Joback and Reid": np.asarray([molecule.estimate for molecule in held_out]),
    }


def counts(molecules: Sequence[Molecule]) -> np.ndarray:
    """Count the atoms of each kind, with what they are bound to, ``[molecules, 1026]``.

    These are Morgan's fingerprints with a radius of one bond; different kinds may share a column.
    The root and the logarithm of the number of atoms are there too, because boiling points grow
    more slowly than molecules do.
    """
    from rdkit.Chem import rdFingerprintGenerator

    made = rdFingerprintGenerator.GetMorganGenerator(radius=1, fpSize=COLUMNS)
    rows = [made.GetCountFingerprintAsNumPy(parsed(molecule.smiles)) for molecule in molecules]
    size = np.asarray([len(molecule.atoms) for molecule in molecules], np.float64)
    return np.column_stack([np.asarray(rows, np.float64), np.sqrt(size), np.log(size)])


def ridge(counted: np.ndarray, boils: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Fit a line with short coefficients through counts, and follow it.

    Args:
      counted: ``[molecules, columns]``.
      boils: ``[molecules]``.
      asked: ``[others, columns]``.

    Returns:
      What the line says of the others, ``[others]``.
    """
    middle, mean = counted.mean(axis=0), boils.mean()
    x = counted - middle
    squares = x.T @ x + PENALTY * np.eye(x.shape[1])
    return mean + (asked - middle) @ np.linalg.solve(squares, x.T @ (boils - mean))
