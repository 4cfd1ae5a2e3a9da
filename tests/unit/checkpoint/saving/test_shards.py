"""Sets of safetensors files: replaced as a whole, whenever the writer dies."""

import jax
import numpy as np
import pytest
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.saving import shards


def tree(fill, count=4):
    return {f"w{number}": np.full(100, fill, np.float32) for number in range(count)}


def save(path, fill, count=4, **options):
    return checkpoint.save_safetensors(path, tree(fill, count), max_shard_bytes=900, **options)


def visible(folder):
    return [name for name in names(folder) if not name.startswith(".")]


class Killed(BaseException):
    """In place of a kill."""


def test_a_set_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "m.safetensors"
    index = save(path, 1)
    assert visible(tmp_path) == [
        "m-00001-of-00002.safetensors",
        "m-00002-of-00002.safetensors",
        "m.safetensors.index.json",
    ]
    with pytest.raises(errors.CheckpointOptionError, match="overwrite=True"):
        save(path, 2)
    for fill, count in ((2, 4), (3, 4), (4, 7), (5, 3)):
        assert save(path, fill, count, overwrite=True) == index
        found = checkpoint.load_safetensors(index)
        jax.tree.map(assert_exact, found, tree(fill, count))
        assert len(visible(tmp_path)) == 1 + -(-count // 2)
        assert checkpoint.verify(index).state == "intact"


def test_one_file_and_several_take_each_others_place(tmp_path):
    path = tmp_path / "m.safetensors"
    save(path, 1)
    checkpoint.save_safetensors(path, tree(2))  # as ever: another set is left alone
    assert len(visible(tmp_path)) == 4
    checkpoint.save_safetensors(path, tree(3), overwrite=True)
    assert visible(tmp_path) == ["m.safetensors"]
    with pytest.raises(errors.CheckpointOptionError, match="overwrite=True"):
        save(path, 4)
    index = save(path, 4, overwrite=True)
    assert len(visible(tmp_path)) == 3
    jax.tree.map(assert_exact, checkpoint.load_safetensors(index), tree(4))


def test_files_of_other_names_stay(tmp_path):
    others = ("m2-00001-of-00002", "m-large-00001-of-00002", "m-00001", "n", "m.00001-of-00002")
    for name in others:
        (tmp_path / f"{name}.safetensors").write_bytes(b"mine")
    save(tmp_path / "m.safetensors", 1)
    save(tmp_path / "m.safetensors", 2, overwrite=True)
    checkpoint.save_safetensors(tmp_path / "m.safetensors", tree(3), overwrite=True)
    for name in others:
        assert (tmp_path / f"{name}.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize("size", [900, None])
def test_a_writer_that_dies_leaves_the_old_or_the_new(tmp_path, monkeypatch, size):
    outcomes = set()
    for survived in range(40):
        folder = tmp_path / str(survived)
        path = folder / "m.safetensors"
        index = save(path, 1)
        steps = iter(range(survived))

        def step(call, steps=steps):
            def counted(*arguments):
                if next(steps, None) is None:
                    raise Killed
                return call(*arguments)

            return counted

        with monkeypatch.context() as patched:
            patched.setattr(shards, "write_file", step(shards.write_file))
            remove = step(shards.integrity.remove_with_manifest)
            patched.setattr(shards.integrity, "remove_with_manifest", remove)
            try:
                checkpoint.save_safetensors(path, tree(2), max_shard_bytes=size, overwrite=True)
                done = True
            except Killed:
                done = False
        left = [place for place in (path, folder / "m.safetensors.index.json") if place.exists()]
        fills = set()
        for place in left:
            try:
                found = checkpoint.load_safetensors(place)
            except errors.MalformedDataError:
                continue
            fill = float(found["w0"][0])
            jax.tree.map(assert_exact, found, tree(fill))
            fills.add(fill)
        assert fills & {1.0, 2.0}
        outcomes |= fills
        # Whatever is left, the next save succeeds, and leaves nothing else.
        checkpoint.save_safetensors(path, tree(3), max_shard_bytes=900, overwrite=True)
        assert len(visible(folder)) == 3
        jax.tree.map(assert_exact, checkpoint.load_safetensors(index), tree(3))
        if done:
            break
    assert done and outcomes == {1.0, 2.0}
