"""Files that were changed, by chance and by what they mean: read as they say, or refused by name.

At length these are 20 000 inputs. A value is compared with what another reader finds, and where
there are checksums, no change is read at all.
"""

import contextlib
import gc
import importlib
import random
import sys
import types

import pytest
from tests.faults import mutations, orbax_pages, readers, scale, tally

from ramie.checkpoint.storage import parallel
from ramie.cli.main import main

KINDS = {
    # what is changed, how its meaning is changed, who has to be right, how often at length
    "msgpack in memory": ("msgpack", mutations.of_msgpack, readers.check_bytes, 5000),
    "msgpack": ("msgpack", mutations.of_msgpack, readers.check_file, 4000),
    "msgpack in chunks": ("chunked", mutations.of_msgpack, readers.check_file, 2000),
    "msgpack by threads": ("chunked", mutations.of_msgpack, readers.check_file, 1000),
    "msgpack with a manifest": ("msgpack", mutations.of_msgpack, readers.check_summed, 2000),
    "manifest": ("manifest", mutations.of_json, readers.check_manifest, 2000),
    "safetensors": ("safetensors", mutations.of_safetensors, readers.check_safetensors, 2500),
    "safetensors index": ("index", mutations.of_json, readers.check_index, 1500),
}
FEW = 60


def changed(data, structure, number, generator, others):
    """Return the next input; every other one is well-formed."""
    if number % 2:
        return structure(data, generator)
    return mutations.of_bytes(data, generator, others)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_read_as_it_says_or_refused(kind, tmp_path, monkeypatch):
    if kind == "msgpack by threads":  # as large files are read
        monkeypatch.setattr(parallel, "SMALLEST", 0)
    name, structure, check, full = KINDS[kind]
    good = readers.prepare(tmp_path)
    generator = random.Random(kind)
    rounds = scale.times(FEW, full)
    refused = 0
    for number in range(rounds):
        data = changed(good[name], structure, number, generator, list(good.values()))
        with tally.fault("mutated inputs"):
            refused += not check(data, tmp_path)
    assert refused > rounds // 3


@pytest.fixture
def unfinished_in_here():
    """Let what Orbax leaves unfinished when it fails be found here and not in a later test."""
    yield
    gc.collect()


def of_changed_pages(test):
    """Pass over what Orbax leaves unfinished and what we say where a directory may hold more."""
    for ignored in (
        "ignore:coroutine .* was never awaited",
        "ignore::pytest.PytestUnraisableExceptionWarning",
        "ignore:Left out",
    ):
        test = pytest.mark.filterwarnings(ignored)(test)
    return pytest.mark.usefixtures("unfinished_in_here")(test)


@pytest.mark.long
@of_changed_pages
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", orbax_pages.PAGES)
def test_a_changed_page_of_an_orbax_directory_is_read_or_refused(page, tmp_path):
    pytest.importorskip("orbax.checkpoint")
    good = orbax_pages.prepare(tmp_path)
    generator = random.Random(page)
    for number in range(scale.times(8, 120)):
        data = changed(good[page], mutations.of_json, number, generator, list(good.values()))
        with tally.fault("mutated inputs"):
            orbax_pages.check(page, data, tmp_path)


@pytest.mark.long
@of_changed_pages
@pytest.mark.timeout(3600)
def test_a_changed_page_of_a_step_of_several_items_ends_nothing(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    good = orbax_pages.prepare_step(tmp_path)
    assert len(good) >= 4
    generator = random.Random(0)
    for number in range(scale.times(8, 200)):
        page = generator.choice(list(good))
        data = changed(good[page], mutations.of_json, number, generator, list(good.values()))
        with tally.fault("mutated inputs"):
            orbax_pages.check_step(page, data, tmp_path)


@pytest.mark.parametrize("name", ["msgpack", "chunked", "safetensors", "index", "manifest"])
def test_unchanged_files_are_read(name, tmp_path):
    data = readers.prepare(tmp_path)[name]
    check = next(check for source, _, check, _ in list(KINDS.values())[::-1] if source == name)
    assert check(data, tmp_path)


def test_the_fuzz_target_has_a_check_and_a_seed_for_each_kind(tmp_path, monkeypatch):
    atheris = types.ModuleType("atheris")
    atheris.instrument_imports = lambda include: contextlib.nullcontext()
    monkeypatch.setitem(sys.modules, "atheris", atheris)
    target = importlib.import_module("tests.faults.fuzz.target")
    seeds = readers.prepare(tmp_path)
    for kind, (structure, check) in target.TARGETS.items():
        seed = seeds[target.SEEDS.get(kind, kind)]
        assert check(seed, tmp_path)
        assert structure(seed, random.Random(0)) != seed


@pytest.mark.parametrize("structure", ["of_msgpack", "of_json", "of_safetensors", "of_bytes"])
def test_changes_depend_on_the_seed_alone_and_are_changes(structure, tmp_path):
    name = {"of_json": "index", "of_safetensors": "safetensors"}.get(structure, "msgpack")
    data = readers.prepare(tmp_path)[name]
    change = getattr(mutations, structure)
    first = [change(data, random.Random(seed)) for seed in range(50)]
    assert first == [change(data, random.Random(seed)) for seed in range(50)]
    assert len(set(first)) > 30


COMMANDS = ["show FILE --stats", "show FILE --json", "verify FILE", "diff FILE OTHER"]
COMMANDS += ["stats FILE OTHER", "convert FILE NEW", "extract FILE params NEW", "rename FILE w x"]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["msgpack", "safetensors", "safetensors index"])
def test_each_command_ends_in_a_line_and_an_exit_code(kind, tmp_path, capsys):
    name, structure, _, _ = KINDS[kind]
    good = readers.prepare(tmp_path)
    place = {"safetensors": readers.SAFETENSORS, "index": readers.INDEX}.get(name, readers.FILE)
    new = tmp_path / ("new.safetensors" if name == "msgpack" else "new")
    names = {"OTHER": tmp_path / "other" / readers.FILE, "NEW": new, "FILE": tmp_path / place}
    generator = random.Random(kind)
    for number in range(scale.times(15, 100)):
        data = changed(good[name], structure, number, generator, list(good.values()))
        readers.write(tmp_path / place, data)
        for command in COMMANDS:
            words = [names.get(word, word) for word in command.split()]
            with tally.fault("commands on mutated files"):
                code = main(["ckpt", *map(str, words)])
                printed = capsys.readouterr()
                assert code in (0, 1, 2)
                assert "Traceback" not in printed.err
                assert code or printed.out
            for left in tmp_path.glob("*new*"):
                left.unlink()
