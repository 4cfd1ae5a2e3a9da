"""The data: boiling points of molecules, from the tables in the package `chemicals`.

`chemicals` is not imported: its files are all that is needed. Molecules are written there as
SMILES, such as ``CCO`` for ethanol; the package `rdkit` reads them.
"""

import contextlib
import csv
import dataclasses
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from examples.molecules.settings import Settings

MEASURED = (
    "Misc/Physical Constants of Organic Compounds.csv",  # of the CRC Handbook
    "Misc/webbook_constants.tsv",  # of the NIST Chemistry WebBook
    "Phase Change/Yaws Boiling Points.tsv",
)
APART = 20.0  # kelvin
ESTIMATED = "Misc/joback_predictions.tsv"  # by the method of Joback and Reid
WRITTEN = tuple(
    f"Identifiers/chemical identifiers {name}.tsv"
    for name in ("pubchem large", "pubchem small", "example user db")
)

TYPICAL, SPREAD = 450.0, 80.0  # about the mean and the deviation of all boiling points, in kelvin
ELEMENTS = ("C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I", "B")
HYDROGENS, CHARGES, RINGS = 5, 3, 6
# An atom is a row of numbers, one of each group; each group has a place of its own in one table.
GROUPS = (len(ELEMENTS), HYDROGENS, CHARGES, 2, RINGS)
STARTS = tuple(int(start) for start in np.cumsum((0, *GROUPS[:-1])))
ATOM_KINDS = sum(GROUPS)
BOND_ORDERS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
BOND_KINDS = 2 * len(BOND_ORDERS)  # each in a ring or not


@dataclasses.dataclass(frozen=True)
class Molecule:
    """A molecule as a graph, and what is known of it.

    Attributes:
      smiles: how it is written.
      atoms: kinds of each atom, ``[atoms, 5]``, int32: element, hydrogens bound to it, charge,
        whether it is aromatic, and size of its smallest ring.
      ends: the two atoms of each bond, ``[bonds, 2]``, int32.
      bonds: kind of each bond, ``[bonds]``, int32.
      boils: at which temperature, in kelvin; NaN where that is not known.
      estimate: of that temperature by the method of Joback and Reid; NaN where there is none.
    """

    smiles: str
    atoms: np.ndarray
    ends: np.ndarray
    bonds: np.ndarray
    boils: float = float("nan")
    estimate: float = float("nan")


def read(largest: int) -> list[Molecule]:
    """Return all molecules whose boiling points are known, sorted by their SMILES.

    A graph does not tell in which direction bonds point. Isomers that differ in this alone are one
    molecule here, and its boiling point is their mean.

    Args:
      largest: atoms of the largest one that is taken.
    """
    measured = agreed([column(name, "Tb") for name in MEASURED])
    estimated = column(ESTIMATED, "Tb")
    found: dict[str, tuple[list[float], list[float]]] = {}
    for number, smiles in written().items():
        if number in measured:
            with contextlib.suppress(ValueError):  # of elements that are left out, and the like
                values, estimates = found.setdefault(canonical(smiles, largest), ([], []))
                values.append(measured[number])
                estimates.append(estimated.get(number, float("nan")))
    return [
        dataclasses.replace(
            graph(name), boils=float(np.mean(values)), estimate=float(np.mean(estimates))
        )
        for name, (values, estimates) in sorted(found.items())
    ]


def agreed(tables: Sequence[dict[int, float]]) -> dict[int, float]:
    """Return the values that two tables agree on, those of the first one that has them.

    Tables have mistakes. Many are boiling points at a pressure that was lower, and so too low.
    """
    found: dict[int, float] = {}
    for table in reversed(tables):
        others = [other for other in tables if other is not table]
        for key, value in table.items():
            if any(abs(value - other[key]) <= APART for other in others if key in other):
                found[key] = value
    return found


def shipped(name: str) -> Path:
    """Return the path of a file that `chemicals` ships."""
    for file in importlib.metadata.files("chemicals") or []:
        if file.as_posix() == f"chemicals/{name}":
            return Path(str(file.locate()))
    version = importlib.metadata.version("chemicals")
    raise ValueError(f"chemicals {version} has no file {name!r}; chemicals 1.5.2 has.")


def column(name: str, title: str) -> dict[int, float]:
    """Read one column of a table: for each CAS number that has one, its value."""
    with shipped(name).open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {cas(row["CAS"]): float(row[title]) for row in rows if row[title]}


def cas(written: str) -> int:
    """Return a CAS number, the name of a substance in all tables, without its dashes."""
    return int(written.replace("-", ""))


def written() -> dict[int, str]:
    """Return the SMILES of each substance by its CAS number."""
    found = {}
    for name in WRITTEN:
        with shipped(name).open(encoding="utf-8") as file:
            for line in file:
                _, number, _, _, smiles, _ = line.split("\t", 5)
                found[cas(number)] = smiles
    return found


def wanted(smiles: str, largest: int) -> Molecule:
    """Return the molecule that is written in any way as SMILES.

    Raises:
      ValueError: if it is none, or not of those used here.
    """
    return graph(canonical(smiles, largest))


def canonical(smiles: str, largest: int) -> str:
    """Return the one way to write a molecule, without the directions of its bonds."""
    from rdkit import Chem

    found = parsed(smiles)
    check(smiles, found, largest)
    return Chem.MolToSmiles(found, isomericSmiles=False)


def parsed(smiles: str):
    """Let RDKit read a molecule.

    Raises:
      ValueError: if it cannot be read, or no such molecule can be.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(smiles, sanitize=False)
        if found is None:
            raise ValueError(f"{smiles!r} is no SMILES; those are like CCO or c1ccccc1.")
        try:
            Chem.SanitizeMol(found)
        except Chem.MolSanitizeException as error:
            raise ValueError(f"no molecule is like {smiles!r}: {error}.") from error
        return Chem.RemoveHs(found)


def check(smiles: str, found, largest: int) -> None:
    """Refuse a molecule of RDKit that is not of those which are used here."""
    elements = {atom.GetSymbol() for atom in found.GetAtoms()}
    if "H" in elements:
        raise ValueError(
            f"{smiles!r} has hydrogen that is an isotope or bound to no other atom; no molecule of "
            "the data has."
        )
    unknown = sorted(elements.difference(ELEMENTS))
    if unknown:
        raise ValueError(f"{smiles!r} has {unknown}; known are {', '.join(ELEMENTS)} and hydrogen.")
    if "C" not in elements:
        raise ValueError(f"{smiles!r} has no carbon; all molecules of the data have.")
    if "." in smiles:
        raise ValueError(f"{smiles!r} is more than one molecule.")
    orders = sorted({bond.GetBondType().name for bond in found.GetBonds()}.difference(BOND_ORDERS))
    if orders:
        raise ValueError(f"{smiles!r} has bonds of kind {orders}; known are {BOND_ORDERS}.")
    if found.GetNumAtoms() > largest:
        raise ValueError(
            f"{smiles!r} has {found.GetNumAtoms()} atoms besides hydrogen; there is room for "
            f"{largest}."
        )


def graph(smiles: str) -> Molecule:
    """Return a molecule that is written as SMILES as a graph."""
    found = parsed(smiles)
    rings = found.GetRingInfo()
    atoms = [kinds(atom, rings) for atom in found.GetAtoms()]
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in found.GetBonds()]
    bonds = [
        2 * BOND_ORDERS.index(bond.GetBondType().name) + bond.IsInRing()
        for bond in found.GetBonds()
    ]
    return Molecule(
        smiles,
        np.asarray(atoms, np.int32),
        np.asarray(ends, np.int32).reshape(-1, 2),
        np.asarray(bonds, np.int32),
    )


def kinds(atom, rings) -> list[int]:
    """Return the row of numbers of an atom, places in one table."""
    smallest = rings.MinAtomRingSize(atom.GetIdx())  # 0 where there is none
    row = (
        ELEMENTS.index(atom.GetSymbol()),
        min(atom.GetTotalNumHs(), HYDROGENS - 1),
        min(max(atom.GetFormalCharge(), -1), 1) + 1,
        int(atom.GetIsAromatic()),
        min(max(smallest - 2, 0), RINGS - 1),
    )
    return [start + place for start, place in zip(STARTS, row, strict=True)]


def data(settings: Settings) -> tuple[list[Molecule], list[Molecule]]:
    """Return the molecules to train on and those held out, both in an order by chance.

    Raises:
      ValueError: if there are not as many molecules.
    """
    everything = read(settings.largest)
    count = settings.molecules or len(everything)
    if not settings.held_out < count <= len(everything):
        raise ValueError(
            f"{count} molecules with {settings.held_out} held out were asked for; there are "
            f"{len(everything)}."
        )
    order = np.random.default_rng([settings.seed, 0]).permutation(len(everything))[:count]
    chosen = [everything[i] for i in order]
    return chosen[settings.held_out :], chosen[: settings.held_out]


def boiling(molecules: Sequence[Molecule]) -> np.ndarray:
    """Return the boiling points, ``[molecules]`` in kelvin."""
    return np.asarray([molecule.boils for molecule in molecules])
