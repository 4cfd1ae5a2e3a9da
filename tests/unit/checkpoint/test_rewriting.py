"""Parts of checkpoints, and checkpoints under other names: the same leaves in a new file."""

import os

import jax
import ml_dtypes
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint
from ramie.errors import CheckpointOptionError, FormatLimitError, MalformedDataError


def tree():
    return {
        "params": {
            "z": {"Dense_1": {"bias": np.arange(3, dtype=ml_dtypes.bfloat16)}},
            "a": {"Dense_0": {"kernel": np.arange(6, dtype=np.int8).reshape(2, 3)}, "none": None},
            "Dense_10": np.ones(1, np.float32),
        },
        "step": 7,
        "empty": {},
    }


def paths(path):
    return ["/".join(leaf.path) for leaf in checkpoint.outline(path).leaves]


@pytest.fixture(params=["msgpack", "safetensors", "orbax"])
def source(request, tmp_path):
    path = checkpoint.save(tmp_path / "run", tree(), 1)
    if request.param == "msgpack":
        return path
    if request.param == "orbax":
        pytest.importorskip("orbax.checkpoint")
    return checkpoint.convert(path, tmp_path / f"source.{request.param}")


def content(path):
    found = {}
    for leaf in checkpoint.outline(path).leaves:
        array = checkpoint.describe(path, "/".join(leaf.path)).array if leaf.is_array else None
        found["/".join(leaf.path)] = leaf.value if array is None else array
    return found


@pytest.mark.parametrize("ending", ["", ".safetensors", ".orbax"])
def test_a_subtree_becomes_a_file_of_its_own(source, tmp_path, ending):
    if ending == ".orbax":
        pytest.importorskip("orbax.checkpoint")
    part = checkpoint.extract(source, tmp_path / f"part{ending}", "params/z/")
    found = content(part)
    assert list(found) == ["Dense_1/bias"]
    assert found["Dense_1/bias"].dtype == ml_dtypes.bfloat16
    assert_exact(found["Dense_1/bias"], tree()["params"]["z"]["Dense_1"]["bias"])
    assert checkpoint.verify(part).is_good
    with pytest.raises(CheckpointOptionError, match="it exists; overwrite=True replaces it"):
        checkpoint.extract(source, part, "params")
    checkpoint.extract(source, part, "params", overwrite=True)
    assert sorted(content(part)) == sorted(
        name.removeprefix("params/") for name in paths(source) if name.startswith("params/")
    )


def test_one_leaf_keeps_its_last_key(source, tmp_path):
    part = checkpoint.extract(source, tmp_path / "one", "params/a/Dense_0/kernel")
    assert paths(part) == ["kernel"]
    assert_exact(content(part)["kernel"], tree()["params"]["a"]["Dense_0"]["kernel"])
    assert content(checkpoint.extract(source, tmp_path / "step", "step")) == {"step": 7}


def test_a_subtree_that_is_not_there_is_told_with_what_is(source, tmp_path):
    with pytest.raises(CheckpointOptionError, match="at 'params/z', which has 'Dense_1'"):
        checkpoint.extract(source, tmp_path / "part", "params/z/Dense_2/bias")
    with pytest.raises(CheckpointOptionError, match=r"which has .*'params'.*'step'"):
        checkpoint.extract(source, tmp_path / "part", "param")
    assert not (tmp_path / "part").exists()


def test_leaves_are_renamed_and_keep_order_values_and_dtypes(source, tmp_path):
    before = content(source)
    seen = checkpoint.rename(source, r"Dense_(\d+)", r"layer\1")
    assert seen.path is None and seen.n_same == len(before) - 3
    assert (("params", "Dense_10"), ("params", "layer10")) in seen.changed
    new = tmp_path / ("new.safetensors" if source.endswith("safetensors") else "new")
    done = checkpoint.rename(source, r"Dense_(\d+)", r"layer\1", destination=new)
    assert done == seen._replace(path=str(new))
    after = content(done.path)
    names = [name.replace("Dense_", "layer") for name in before]
    assert list(after) == names if not source.endswith("orbax") else sorted(after) == sorted(names)
    for name, value in before.items():
        found = after[name.replace("Dense_", "layer")]
        if isinstance(value, np.ndarray):
            assert found.dtype == value.dtype
            assert_exact(found, value)
        else:
            assert found == value
    assert content(source).keys() == before.keys()


def test_a_rename_may_move_leaves_up_and_down(source, tmp_path):
    up = checkpoint.rename(source, "^params/(?=[az]/)", "", destination=tmp_path / "up").path
    assert sorted(paths(up)) == sorted(
        ["z/Dense_1/bias", "a/Dense_0/kernel", "a/none", "params/Dense_10", "step", "empty"]
    )
    down = checkpoint.rename(up, "^", "model/", destination=tmp_path / "down").path
    assert sorted(paths(down)) == sorted(f"model/{name}" for name in paths(up))


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (r"Dense_\d+", "x", None),
        (r"^.*/(bias|kernel)$", "w", "'params/.*' and 'params/.*' would both be 'w'"),
        ("^step$", "params", "below the leaf 'step'"),
        ("^step$", "params/z", "below the leaf 'step'"),
        ("^step$", "empty/step", "below the leaf 'empty'"),
        ("^step$", "", "a key is empty"),
        ("z/", "/", "a key is empty"),
        ("nothing", "x", "no path in .* is changed by it; paths are written like"),
        ("(", "x", "it is not valid in a regular expression: missing \\)"),
        ("step", r"\1", "it is not valid in a regular expression: invalid group reference 1"),
        ("step", r"\g<name>", "name"),
        ("", "x", "it is empty"),
        ("step", "\udcff", "no text that a file could hold"),
    ],
)
def test_paths_that_cannot_be(source, tmp_path, pattern, replacement, words):
    new = tmp_path / "new"
    if words is None:
        assert len(checkpoint.rename(source, pattern, replacement).changed) == 3
        return
    with pytest.raises(CheckpointOptionError, match=words):
        checkpoint.rename(source, pattern, replacement, destination=new)
    assert not new.exists()


def test_keys_with_slashes_are_no_paths(tmp_path):
    path = checkpoint.save(tmp_path, {"a/b": {"c": np.ones(2)}, "d": {"e": np.zeros(2)}}, 1)
    done = checkpoint.rename(path, "^d", "f", destination=tmp_path / "new")
    assert [leaf.path for leaf in checkpoint.outline(done.path).leaves] == [
        ("a/b", "c"),
        ("f", "e"),
    ]
    with pytest.raises(CheckpointOptionError, match="slashes inside of its keys"):
        checkpoint.rename(path, "c$", "x")
    part = checkpoint.extract(path, tmp_path / "part", "a/b")
    assert paths(part) == ["c"]
    with pytest.raises(CheckpointOptionError, match="ends inside of a key"):
        checkpoint.extract(path, tmp_path / "inside", "a")


def test_keys_of_random_streams_and_metadata_go_along(tmp_path):
    path = checkpoint.save(tmp_path / "run", {"a": {"key": jax.random.key(3)}}, 1)
    done = checkpoint.rename(path, "^a", "b", destination=tmp_path / "new")
    found = checkpoint.restore(done.path, None)["b"]["key"]
    assert_exact(jax.random.key_data(found), jax.random.key_data(jax.random.key(3)))
    named = tmp_path / "m.safetensors"
    checkpoint.save_safetensors(named, {"a": np.ones(2)}, metadata={"title": "x"})
    new = checkpoint.rename(named, "a", "b", destination=tmp_path / "n.safetensors").path
    assert checkpoint.outline(new).metadata == {"title": "x"}
    with pytest.raises(FormatLimitError, match="drop_metadata=True"):
        checkpoint.rename(named, "a", "b", destination=tmp_path / "n")
    checkpoint.rename(named, "a", "b", destination=tmp_path / "n", drop_metadata=True)
    assert paths(tmp_path / "n") == ["b"]


def test_damaged_files_are_refused_and_the_source_is_no_destination(tmp_path):
    path = checkpoint.save(tmp_path, {"a": np.ones(200)}, 1)
    with pytest.raises(CheckpointOptionError, match="it is the source"):
        checkpoint.rename(path, "a", "b", destination=path, overwrite=True)
    with open(path, "r+b") as file:
        file.seek(500)
        file.write(b"\1")
    with pytest.raises(MalformedDataError):
        checkpoint.extract(path, tmp_path / "part", "a")
    assert not os.path.exists(tmp_path / "part")


def test_progress_counts_bytes(source, tmp_path):
    seen = []
    for work in (
        lambda told: checkpoint.extract(source, tmp_path / "x", "params", progress=told),
        lambda told: checkpoint.rename(
            source, "^step", "n", destination=tmp_path / "y", progress=told
        ),
        lambda told: checkpoint.verify(source, progress=told),
    ):
        seen.clear()
        work(lambda what, done, total: seen.append((done, total)))
        assert seen[0][0] == 0 and len(seen) > 1
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert all(done <= total for done, total in seen)


@pytest.mark.parametrize("ending", ["", ".safetensors"])
def test_a_bar_ends_where_it_was_to_end(tmp_path, ending):
    path = checkpoint.save(
        tmp_path / "run", {f"w{index}": np.ones(200_000) for index in range(3)}, 1
    )
    if not ending:
        path = checkpoint.convert(path, tmp_path / "source.safetensors")
    for work in (
        checkpoint.convert,
        lambda *places, **told: checkpoint.extract(*places, "", **told),
    ):
        seen = []
        new = tmp_path / f"{len(os.listdir(tmp_path))}{ending}"
        work(path, new, progress=lambda what, done, total, seen=seen: seen.append((done, total)))
        (_, first), (done, last) = seen[0], seen[-1]
        assert 0.95 * first < done <= last < 1.05 * first and len(seen) > 4
