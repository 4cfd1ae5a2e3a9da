"""Indexes: those that say too much or too little are incomplete; null is nothing; URLs work."""

import json
import os

import jax
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.formats import safetensors_index
from ramie.checkpoint.storage import integrity
from ramie.cli.main import main
from ramie.training import checkpoints

TREE = {"a": {"w": np.arange(4.0), "v": np.ones(4)}, "b": np.zeros(4), "c": np.full(4, 3.0)}


@pytest.fixture
def index(tmp_path):
    """Four files of one array each."""
    return checkpoint.save_safetensors(tmp_path / "m.safetensors", TREE, max_shard_bytes=32)


def change(index, **entries):
    """Write an index again with other entries; None takes one away."""
    with open(index, encoding="utf-8") as file:
        page = json.load(file)
    page["weight_map"] = {
        name: file for name, file in {**page["weight_map"], **entries}.items() if file is not None
    }
    write(index, page)


def write(index, page):
    """Put another index, of another program, in its place."""
    integrity.remove_with_manifest(index)
    with open(index, "w", encoding="utf-8") as file:
        json.dump(page, file)


def file_of(index, name):
    with open(index, encoding="utf-8") as file:
        return os.path.join(os.path.dirname(index), json.load(file)["weight_map"][name])


def gone(index):
    os.remove(file_of(index, "b"))
    return {"a", "c"}, "is missing"


def promised(index):
    change(index, none=os.path.basename(file_of(index, "b")))
    return {"a", "b", "c"}, "'none' are in none of the files"


def promised_elsewhere(index):
    change(index, none="m-00009-of-00009.safetensors")
    return {"a", "b", "c"}, "'m-00009-of-00009.safetensors' is missing"


def unlisted(index):
    files = file_of(index, "b"), file_of(index, "c")
    checkpoint.save_safetensors(files[0], {"b": TREE["b"], "c": TREE["c"]})
    os.remove(files[1])
    change(index, c=None)
    return {"a", "b", "c"}, "holds 'c', and the index does not say so"


def misplaced(index):
    change(index, b=os.path.basename(file_of(index, "c")))
    return {"a", "c"}, "'b' are in none of the files"


@pytest.mark.parametrize("spoil", [gone, promised, promised_elsewhere, unlisted, misplaced])
def test_what_says_too_much_or_too_little_is_incomplete(index, spoil, capsys):
    there, problem = spoil(index)
    for call in (
        checkpoint.load_safetensors,
        checkpoint.outline,
        lambda path: checkpoint.restore(path, None),
        lambda path: checkpoints.restore_checkpoint(path, None),
    ):
        with pytest.raises(errors.IncompleteCheckpointError) as caught:
            call(index)
        assert problem in str(caught.value) and "partial=True" in str(caught.value)
        assert "damaged" not in str(caught.value)
    health = checkpoint.verify(index)
    assert health.state == "incomplete" and problem in health.problem and not health.is_good
    assert main(["ckpt", "verify", "--json", index]) == 1
    assert json.loads(capsys.readouterr().out)[0]["state"] == "incomplete"
    found = checkpoint.load_safetensors(index, partial=True)
    assert found.keys() == there
    jax.tree.map(assert_exact, found, {name: TREE[name] for name in there})
    assert {leaf.path[0] for leaf in checkpoint.outline(index, partial=True).leaves} == there
    blank = jax.tree.map(np.zeros_like, TREE)
    one = index.replace("m.safetensors.index.json", "one.safetensors")
    other = index.replace("m.safetensors.index.json", "msgpack")
    for new in (one, other):
        with pytest.raises(errors.IncompleteCheckpointError):
            checkpoint.convert(index, new)
        assert main(["ckpt", "convert", index, new]) == 1
        assert not os.path.exists(new)
        assert main(["ckpt", "convert", index, new, "--partial"]) == 0
        jax.tree.map(assert_exact, checkpoint.restore(new, None), found)
    filled = checkpoint.load_safetensors(index, blank, partial=True)
    expected = {name: TREE[name] if name in there else blank[name] for name in TREE}
    jax.tree.map(assert_exact, filled, expected)


def test_the_place_that_the_index_names_wins(index):
    place = file_of(index, "b")
    checkpoint.save_safetensors(file_of(index, "c"), {"b": np.ones(9), "c": TREE["c"]})
    found = checkpoint.load_safetensors(index, partial=True)
    jax.tree.map(assert_exact, found, TREE)
    assert place != file_of(index, "c")


def test_damage_of_a_file_is_worse_than_the_lack_of_one(index):
    with open(file_of(index, "c"), "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\7")
    gone(index)
    assert checkpoint.verify(index).state == "damaged"


def test_damage_of_the_index_itself_is_found(index):
    with open(index, "r+b") as file:
        text = file.read().replace(b'"a.w"', b'"a.x"')
        file.seek(0)
        file.write(text)
    assert checkpoint.verify(index).state == "damaged"
    for partial in (False, True):
        with pytest.raises(errors.DamagedCheckpointError):
            checkpoint.load_safetensors(index, partial=partial)


def test_files_of_other_programs_in_the_place_of_ours_are_named(index):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    place = file_of(index, "b")
    integrity.remove_with_manifest(place)
    with open(place, "wb") as file:
        file.write(pointer)
    with pytest.raises(errors.ForeignFileError, match="Git LFS"):
        checkpoint.load_safetensors(index)
    assert checkpoint.verify(index).state == "foreign"
    # One that names itself ends nowhere.
    write(index, {"weight_map": {"w": os.path.basename(index)}})
    with pytest.raises(errors.MalformedDataError):
        checkpoint.load_safetensors(index)


def test_null_is_nothing(tmp_path, index):
    with open(index, encoding="utf-8") as file:
        page = json.load(file)
    for about in ({"metadata": None}, {}, {"metadata": {}}):
        write(index, {**about, "weight_map": page["weight_map"]})
        jax.tree.map(assert_exact, checkpoint.load_safetensors(index), TREE)
    text = json.dumps({"__metadata__": None}).encode()
    path = tmp_path / "null.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    assert checkpoint.load_safetensors(path) == {} == checkpoint.outline(path).metadata
    assert pytest.importorskip("safetensors").safe_open(path, "np").metadata() is None


def test_what_an_index_says_of_the_whole_is_kept(tmp_path, index):
    with open(index, encoding="utf-8") as file:
        page = json.load(file)
    page["metadata"] |= {"license": "MIT", "total_parameters": 16, "made": {"by": "us"}}
    write(index, page)
    merged = checkpoint.convert(index, tmp_path / "one.safetensors")
    assert checkpoint.outline(merged).metadata == {"license": "MIT", "made": '{"by": "us"}'}


def test_an_index_is_known_by_its_content(tmp_path, index):
    other = tmp_path / "checkpoint_7"
    other.write_bytes((tmp_path / "m.safetensors.index.json").read_bytes())
    assert safetensors_index.is_one(str(other))
    jax.tree.map(assert_exact, checkpoint.restore(tmp_path, None), TREE)
    # One that leads to files of PyTorch says so.
    (tmp_path / "pytorch_model.bin").write_bytes(
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19" + bytes(9)
    )
    bins = tmp_path / "pytorch_model.bin.index.json"
    bins.write_text(json.dumps({"weight_map": {"w": "pytorch_model.bin"}}))
    with pytest.raises(errors.ForeignFileError, match="PyTorch"):
        checkpoint.load_safetensors(bins)


def test_files_behind_urls_are_read(tmp_path, index):
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://{tmp_path.name}"
    system = fsspec.filesystem("memory")
    one = checkpoint.save_safetensors(tmp_path / "one.safetensors", TREE)
    for name in os.listdir(tmp_path):
        system.pipe(f"{url}/{name}", (tmp_path / name).read_bytes())
    checkpoint.save(f"{url}/run", TREE, 1, keep=0)
    system.pipe(f"{url}/run/checkpoint_2", (tmp_path / "one.safetensors").read_bytes())
    places = [f"{url}/one.safetensors", f"{url}/{os.path.basename(index)}", f"{url}/run"]
    for place in places:
        jax.tree.map(assert_exact, checkpoint.restore(place, None), TREE)
    for place in places[:2]:
        jax.tree.map(assert_exact, checkpoint.load_safetensors(place), TREE)
        assert checkpoint.verify(place).state == "intact"
    assert checkpoint.verify(f"{url}/run/checkpoint_2").state == "readable"
    data = bytearray((tmp_path / "one.safetensors").read_bytes())
    data[-1] ^= 1
    system.pipe(f"{url}/one.safetensors", bytes(data))
    assert checkpoint.verify(places[0]).state == "damaged"
    with pytest.raises(errors.DamagedCheckpointError):
        checkpoint.restore(places[0], None)
    system.pipe(f"{url}/run/checkpoint_3", b"\x89HDF\r\n\x1a\n" + bytes(9))
    system.pipe(f"{url}/run/checkpoint_2", bytes(data[:-1]))
    assert checkpoint.newest_intact(f"{url}/run") == f"{url}/run/checkpoint_1"
    with pytest.warns(RuntimeWarning, match="checkpoint_1"):
        found = checkpoint.restore(f"{url}/run", None, fallback=True)
    jax.tree.map(assert_exact, found, TREE)
    system.rm(f"{url}/{os.path.basename(file_of(index, 'b'))}")
    assert checkpoint.verify(places[1]).state == "incomplete"
    assert one.endswith("one.safetensors")


@pytest.mark.parametrize("read", ["load", "outline", "verify"])
def test_a_set_that_is_replaced_while_it_is_read_is_read_again(tmp_path, index, monkeypatch, read):
    """Another writer replaces the set whenever the first file of it has been looked at."""
    versions = iter(range(1, 4))
    outline = safetensors_index.safetensors.outline

    def disturbed(path):
        found = outline(path)
        version = next(versions, None)
        if version is not None:
            tree = jax.tree.map(lambda array: np.full_like(array, version), TREE)
            checkpoint.save_safetensors(
                tmp_path / "m.safetensors", tree, max_shard_bytes=32, overwrite=True
            )
        return found

    monkeypatch.setattr(safetensors_index.safetensors, "outline", disturbed)
    if read == "load":
        found = checkpoint.load_safetensors(index)
        jax.tree.map(lambda array: assert_exact(array, np.full_like(array, 3)), found)
    elif read == "outline":
        assert len(checkpoint.outline(index).leaves) == 4
    else:
        assert checkpoint.verify(index).state == "intact"
    assert next(versions, None) is None


def test_an_index_that_never_rests_ends_in_an_error(index, monkeypatch):
    monkeypatch.setattr(safetensors_index, "_version", lambda path, count=[0]: count.append(0))
    os.remove(file_of(index, "b"))
    with pytest.raises(errors.IncompleteCheckpointError):
        checkpoint.load_safetensors(index)
