"""Molecules: graphs and batches, both styles, the baselines, and runs that are cut and go on."""

import functools
import importlib.util
import os

import jax
import numpy as np
import pytest
from examples.molecules import baselines, batching, molecules, running, with_linen, with_nnx
from examples.molecules.settings import PRESETS, Settings
from tests.examples.example_runs import Example, compile_once, log_of
from tests.tolerance import assert_close, assert_exact

from ramie import nnx

TINY = PRESETS["tiny"]
STYLES = {"linen": with_linen, "nnx": with_nnx}
both_styles = pytest.mark.parametrize("style", STYLES)
pytestmark = pytest.mark.skipif(
    not os.environ.get("CI")
    and not all(importlib.util.find_spec(name) for name in ("chemicals", "rdkit")),
    reason="molecules come with packages: pip install rdkit; pip install --no-deps chemicals",
)


class Styled(Example):
    """The example in one of the styles."""

    def __init__(self, style):
        super().__init__("molecules", "--predict")
        self.style = style

    def call(self, *options):
        return super().call("--style", self.style, *options)


EXAMPLE = Styled("linen")


@pytest.fixture(scope="module", autouse=True)
def made_once():
    """Read the molecules and compile once for all runs of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(molecules, "read", functools.cache(molecules.read))
        patch.setattr(running, "read", molecules.read)
        patch.setattr(with_linen, "create", functools.cache(with_linen.create))
        compile_once(patch, with_linen)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing cut."""
    folder = tmp_path_factory.mktemp("whole")
    assert EXAMPLE.call("--workdir", folder) is None
    return folder


@pytest.fixture(scope="module")
def some():
    """Six molecules, with rings, charges, and none but one atom."""
    written = ["CCO", "C", "Cc1ccccc1", "C[N+](=O)[O-]", "C1CC1", "N#CCBr"]
    return [molecules.wanted(smiles, TINY.largest) for smiles in written]


@pytest.fixture(scope="module", params=STYLES)
def training(request):
    """A training of each style, before its first step."""
    return STYLES[request.param].Training(TINY)


def test_a_run_that_is_cut_twice_ends_as_one_that_is_not(whole, tmp_path, capsys):
    EXAMPLE.ends_as_one_that_is_not_cut(whole, tmp_path / "run", capsys)


def test_a_run_in_nnx_that_is_cut_twice_ends_as_one_that_is_not(tmp_path, capsys):
    example = Styled("nnx")
    assert example.call("--workdir", tmp_path / "whole") is None
    example.ends_as_one_that_is_not_cut(tmp_path / "whole", tmp_path / "run", capsys)


def test_a_run_shows_its_result(whole, capsys):
    EXAMPLE.shows_its_result(whole, "mae", capsys)
    result = log_of(whole)
    assert set(result) == {"the mean", "ridge regression", "Joback and Reid", "the network"}
    assert result["the network"]["molecules"] == TINY.held_out
    one, other, unknown = EXAMPLE.answers(whole, ["CCO", "OCC", "FCC1CC1CBr"], capsys)
    assert one == other and one.endswith("; measured 351 K")
    assert unknown.endswith(" °C")


def test_what_cannot_work_is_refused_and_left_alone(whole, tmp_path):
    EXAMPLE.refuses_what_cannot_work(whole, tmp_path)
    assert "other settings" in Styled("nnx").call("--workdir", whole)


def test_both_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = EXAMPLE.call("--workdir", tmp_path / "run")
    assert "`pip install rdkit matplotlib` and `pip install --no-deps chemicals==1.5.2`." in message
    assert "\n" not in message and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", str(2**32)], "it has to be below 2**32"),
        (["--batch", "0"], "batch is 0; it has to be at least 1"),
        (["--rate", "nan"], "rate is nan; it has to be between"),
        (["--style", "keras"], "style is keras; it can be linen or nnx"),
        (["--warmup", "6"], "has to end before step 6"),
        (["--atoms", "12"], "a molecule of 12 and one atom of padding"),
        (["--bonds", "47"], "bonds is 47; it has to be at least 48"),
        (["--molecules", "20"], "20 molecules leave none to train on"),
        (["--molecules", "900000"], "900000 molecules with 20 held out were asked for"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(options, said, tmp_path):
    EXAMPLE.says_in_one_line(options, said, tmp_path / "run")


@pytest.mark.parametrize(
    ("smiles", "said"),
    [
        ("C1CC", "'C1CC' is no SMILES"),
        ("CC(C)(C)(C)C", "Explicit valence for atom # 1 C, 5, is greater than permitted"),
        ("C[Se]C", "has ['Se']; known are C, N, O"),
        ("", "has no carbon"),
        ("[2H]C", "has hydrogen that is an isotope"),
        ("CO.CO", "is more than one molecule"),
        ("C->C", "has bonds of kind ['DATIVE']"),
        ("CCCCCCCCCCCCC", "has 13 atoms besides hydrogen; there is room for 12"),
    ],
)
def test_molecules_that_are_none_are_said_in_one_line(smiles, said, whole, capfd):
    EXAMPLE.says_in_one_line(["--predict", "CCO", smiles], said, whole)
    assert not capfd.readouterr().err


def test_files_of_another_version_are_named(monkeypatch):
    monkeypatch.setattr(molecules.importlib.metadata, "files", lambda name: [])
    with pytest.raises(ValueError, match=r"has no file 'Misc/.*; chemicals 1\.5\.2 has"):
        molecules.column(molecules.MEASURED[0], "Tb")


def test_values_are_used_that_two_tables_agree_on():
    tables = [
        {1: 300.0, 2: 300.0, 3: 300.0, 4: 300.0},
        {2: 319.0, 3: 321.0, 4: 321.0, 5: 400.0},
        {4: 322.0, 5: 390.0},
    ]
    assert molecules.agreed(tables) == {2: 300.0, 4: 321.0, 5: 400.0}


def test_a_molecule_is_its_atoms_and_bonds():
    found = molecules.wanted("[O-][N+](=O)C", TINY.largest)
    assert found.smiles == "C[N+](=O)[O-]"
    elements, hydrogens, charges, aromatic, rings = (found.atoms - molecules.STARTS).T.tolist()
    assert [molecules.ELEMENTS[i] for i in elements] == ["C", "N", "O", "O"]
    assert (hydrogens, charges) == ([3, 0, 0, 0], [1, 2, 1, 0])
    assert aromatic == rings == [0, 0, 0, 0]
    assert found.ends.tolist() == [[0, 1], [1, 2], [1, 3]] and found.bonds.tolist() == [0, 2, 0]
    ring = molecules.wanted("C1=CC=CC=C1", TINY.largest)
    assert ring.smiles == "c1ccccc1" and set(ring.bonds.tolist()) == {7}
    assert (ring.atoms - molecules.STARTS).tolist() == [[0, 1, 1, 1, 4]] * 6


def test_isomers_are_never_on_both_sides():
    everything = molecules.read(TINY.largest)
    names = [molecule.smiles for molecule in everything]
    assert len(names) > 4000 and len(set(names)) == len(names)
    assert not any(mark in name for name in names for mark in "/\\@")
    by_name = {molecule.smiles: molecule for molecule in everything}
    assert_close(by_name["CCO"].boils, 351.39, "model")
    trained_on, held_out = molecules.data(TINY)
    assert len(trained_on) == 180 and len(held_out) == 20
    assert not {one.smiles for one in trained_on} & {one.smiles for one in held_out}


def test_all_batches_have_one_shape_and_hold_each_molecule_once(some):
    small = Settings(largest=7, atoms=13, bonds=28, batch=3)
    batches = batching.packed(some * 2, small)
    assert [molecule for batch in batches for molecule in batch] == some * 2
    graphs = [batching.together(batch, small) for batch in batches]
    assert {tuple(np.shape(x) for x in one) for one in graphs} == {
        ((13, 5), (28,), (28,), (28,), (13,), (4,), (4,))
    }
    assert [one.there.sum() for one in graphs] == [len(batch) for batch in batches]
    assert max(len(batch) for batch in batches) == 3 and len(batches) < 7


def test_molecules_without_room_are_said(some):
    with pytest.raises(ValueError, match=r"'CCO' and what .* need room for \(23, 36, 7\)"):
        batching.together(some, Settings(largest=12, atoms=20, bonds=200))


def test_batches_need_no_memory_of_where_they_were(some):
    one, other = (batching.Batches(some, TINY) for _ in range(2))
    kept = [one[number] for number in range(6)]
    for number in (5, 1, 0, 4):
        for left, right in zip(other[number], kept[number], strict=True):
            assert_exact(left, right)


def test_padding_has_no_influence(training, some):
    alone = training.boil(batching.together(some, TINY))[: len(some)]
    odd = batching.together(some, TINY)
    atoms, bonds = odd.molecules == TINY.batch, odd.senders == TINY.atoms - 1
    odd.atoms[atoms], odd.bonds[bonds] = 3, 5
    assert_exact(training.boil(odd)[: len(some)], alone)
    for number, molecule in enumerate(some):
        single = training.boil(batching.together([molecule], TINY))[:1]
        assert_close(single, alone[number : number + 1], "model")


def test_padding_has_no_influence_on_what_is_learned(some):
    network = with_nnx.Training(TINY).network
    larger = Settings(largest=12, atoms=200, bonds=300, batch=20)
    learn = nnx.jit(nnx.value_and_grad(with_nnx.error))
    found = [learn(network, batching.together(some, settings)) for settings in (TINY, larger)]
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        assert_close(one, other, "model")


def test_the_order_of_atoms_has_no_influence(training):
    molecule = molecules.wanted("Cc1ccc(Br)nc1C#N", TINY.largest)
    order = np.random.default_rng(0).permutation(len(molecule.atoms))
    turned = molecules.Molecule(
        "",
        molecule.atoms[order],
        np.argsort(order)[molecule.ends][::-1, ::-1],
        molecule.bonds[::-1],
    )
    one, other = (training.boil(batching.together([x], TINY))[:1] for x in (molecule, turned))
    assert_close(one, other, "model")


def test_a_round_is_a_loop_over_bonds(some):
    graphs = batching.together(some, TINY)
    x = np.random.default_rng(0).normal(size=(TINY.atoms, TINY.width)).astype(np.float32)
    layer = with_nnx.Round(TINY.width, rngs=nnx.Rngs(0))
    dense = lambda part, x: x @ np.asarray(part.kernel[...]) + np.asarray(part.bias[...])
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + layer.norm.epsilon)
    before = (x - x.mean(axis=1, keepdims=True)) / deviation
    received, embedded = np.zeros_like(before), np.asarray(layer.bond.embedding[...])
    for bond, sender, receiver in zip(graphs.bonds, graphs.senders, graphs.receivers, strict=True):
        message = dense(layer.message, before[sender]) + embedded[bond]
        received[receiver] += np.maximum(message, 0)
    hidden = dense(layer.up, np.concatenate([before, received], axis=1))
    wanted = x + dense(layer.down, np.maximum(hidden, 0))
    there = graphs.molecules < TINY.batch
    assert_close(np.asarray(layer(x, graphs))[there], wanted[there], "model")


def test_both_styles_learn_the_same_from_the_same_parameters(some):
    linen, other = with_linen.Training(TINY), with_nnx.Training(TINY)
    state = nnx.state(other.network)
    params = jax.tree.map(np.array, linen.state.params)
    nnx.replace_by_pure_dict(state, with_nnx.moved(params))
    nnx.update(other.network, state)
    graphs = batching.together(some, TINY)._replace(boils=np.full(TINY.batch + 1, 400, np.float32))
    for _ in range(3):
        assert_close(np.float32(linen.step(graphs)), np.float32(other.step(graphs)), "model")
    assert_close(linen.boil(graphs)[: len(some)], other.boil(graphs)[: len(some)], "model")
    assert linen.done == other.done == 3


@both_styles
def test_a_step_compiles_once(style, some, monkeypatch):
    traced = []
    network = STYLES[style].Network
    inside = network.__call__

    def watched(self, graphs):
        traced.append(1)
        return inside(self, graphs)

    settings = Settings(**{**vars(TINY), "rounds": 1, "style": style})
    monkeypatch.setattr(network, "__call__", watched)
    training = STYLES[style].Training(settings)
    batches = batching.Batches(some, settings)
    training.step(batches[0])
    before = len(traced)
    for batch in (some[:1], some[2:], some):
        training.step(batching.together(batch, settings))
    assert before and len(traced) == before


def test_ridge_regression_follows_a_line():
    rng = np.random.default_rng(0)
    counted = rng.integers(0, 5, size=(4000, 3)).astype(float)
    asked = rng.integers(0, 5, size=(7, 3)).astype(float)
    line = lambda x: 300 + x @ np.array([20.0, -5.0, 3.0])
    found = baselines.ridge(counted, line(counted), asked)
    assert np.abs(found - line(asked)).max() < 0.1


def test_counts_tell_how_large_a_molecule_is(some):
    found = baselines.counts(some)
    sizes = [len(molecule.atoms) for molecule in some]
    counted = [int(row[: baselines.COLUMNS].sum()) for row in found]
    assert all(size <= count <= 2 * size for size, count in zip(sizes, counted, strict=True))
    assert_close(found[:, -2] ** 2, np.asarray(sizes, float))
    assert_close(np.exp(found[:, -1]), np.asarray(sizes, float))


def test_a_way_that_knows_no_answer_counts_for_those_it_answers(some):
    known = [molecules.dataclasses.replace(one, boils=400.0) for one in some]
    found = np.array([400, np.nan, 410, np.nan, 402, 404])
    assert running.errors(found, known) == {"mean": 4.0, "median": 3.0, "molecules": 4}
