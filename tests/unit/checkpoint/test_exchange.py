"""Conversion: one file to several and back, metadata kept or refused, formats said by `form`."""

import jax
import numpy as np
import pytest
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint import exchange
from ramie.checkpoint.inspecting.contents import outline, recognise
from ramie.cli.main import main
from ramie.training import checkpoints

TREE = {
    "a": {"w": np.arange(200.0), "b": np.ones(7, "bfloat16")},
    "step": 3,
    "none": {},
}


def same(found, expected=TREE):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(assert_exact, found, expected)


@pytest.fixture
def one(tmp_path):
    about = {"license": "MIT", "format": "np"}
    return checkpoint.save_safetensors(tmp_path / "one.safetensors", TREE, metadata=about)


def test_files_are_split_and_merged(tmp_path, one):
    index = checkpoint.convert(one, tmp_path / "parts.safetensors", max_shard_bytes=100)
    assert recognise(index) == "safetensors index"
    merged = checkpoint.convert(index, tmp_path / "merged.safetensors")
    for path in (index, merged):
        same(checkpoint.load_safetensors(path))
        assert checkpoint.outline(path).metadata == {"license": "MIT", "format": "np"}
        assert checkpoint.diff(one, path).same
    assert (tmp_path / "merged.safetensors").read_bytes() == (
        tmp_path / "one.safetensors"
    ).read_bytes()
    again = checkpoint.convert(index, tmp_path / "again.safetensors", max_shard_bytes=1700)
    same(checkpoint.load_safetensors(again))


def test_the_source_stays_when_it_is_split_or_merged_in_place(tmp_path, one, monkeypatch):
    before = (tmp_path / "one.safetensors").read_bytes()
    index = checkpoint.convert(one, one, max_shard_bytes=100, overwrite=True)
    assert (tmp_path / "one.safetensors").read_bytes() == before
    same(checkpoint.load_safetensors(index))
    files = names(tmp_path)
    monkeypatch.chdir(tmp_path)
    checkpoint.convert(index, "one.safetensors", overwrite=True)
    assert names(tmp_path) == files
    same(checkpoint.load_safetensors(index))


def test_converting_to_one_file_leaves_several_of_its_name_alone(tmp_path, one):
    index = checkpoint.convert(one, tmp_path / "m.safetensors", max_shard_bytes=100)
    other = checkpoint.save(tmp_path / "run", {"w": np.ones(3)}, 1)
    for _ in range(2):
        checkpoint.convert(other, tmp_path / "m.safetensors", overwrite=True)
        same(checkpoint.load_safetensors(index))
    checkpoint.convert(other, tmp_path / "m.safetensors", overwrite=True, max_shard_bytes=10)
    same(checkpoint.load_safetensors(index), {"w": np.ones(3)})
    left = [name for name in names(tmp_path) if name.startswith("m")]
    assert left == ["m-00001-of-00001.safetensors", "m.safetensors.index.json"]


def test_names_that_are_no_paths_stay_as_they_are(tmp_path):
    flat = {"a": np.ones(2), "a.b": np.zeros(3)}
    one = checkpoint.save_safetensors(tmp_path / "m.safetensors", flat, separator=None)
    index = checkpoint.convert(one, tmp_path / "p.safetensors", max_shard_bytes=16)
    same(checkpoint.load_safetensors(index, separator=None), flat)
    for path in (one, index):
        with pytest.raises(errors.CheckpointOptionError) as caught:
            checkpoint.restore(path, None)
        assert f'load_safetensors("{path}", separator=None)' in caught.value.__notes__[0]


@pytest.mark.parametrize("form", ["msgpack", "orbax"])
def test_metadata_is_not_lost_without_a_word(tmp_path, one, form):
    if form == "orbax":
        pytest.importorskip("orbax.checkpoint")
    with pytest.raises(errors.FormatLimitError, match=r"'license'.*drop_metadata=True"):
        checkpoint.convert(one, tmp_path / "new", form=form)
    assert names(tmp_path) == ["one.safetensors"]
    source = one
    if form == "orbax":  # which has no place for the empty dictionary
        small = {"w": np.ones(2)}
        source = checkpoint.save_safetensors(one, small, metadata={"license": "MIT"})
    new = checkpoint.convert(source, tmp_path / "new", form=form, drop_metadata=True)
    assert checkpoint.diff(source, new).same
    with pytest.raises(errors.CheckpointOptionError, match="only safetensors"):
        checkpoint.convert(one, tmp_path / "other", form=form, metadata={"a": "b"})


def test_what_names_the_writer_alone_is_no_loss(tmp_path):
    one = checkpoint.save_safetensors(
        tmp_path / "m.safetensors", {"w": np.ones(2)}, metadata={"format": "pt"}
    )
    same(checkpoint.restore(checkpoint.convert(one, tmp_path / "new"), None), {"w": np.ones(2)})


def test_metadata_is_set_added_and_dropped(tmp_path, one):
    old = checkpoint.save(tmp_path / "run", TREE, 1)
    for options, expected in (
        ({"metadata": {"by": "us"}}, {"by": "us"}),
        ({}, {}),
    ):
        new = checkpoint.convert(old, tmp_path / "new.safetensors", overwrite=True, **options)
        assert checkpoint.outline(new).metadata == expected
    for options, expected in (
        ({"metadata": {"by": "us"}}, {"license": "MIT", "format": "np", "by": "us"}),
        ({"metadata": {"license": "BSD"}}, {"license": "BSD", "format": "np"}),
        ({"metadata": {"by": "us"}, "drop_metadata": True}, {"by": "us"}),
    ):
        new = checkpoint.convert(one, tmp_path / "new.safetensors", overwrite=True, **options)
        assert checkpoint.outline(new).metadata == expected


def test_the_command_line_names_and_takes_the_options(tmp_path, one, capsys):
    new = str(tmp_path / "new")
    assert main(["ckpt", "convert", one, new]) == 2
    assert "--drop-metadata" in capsys.readouterr().err
    assert main(["ckpt", "convert", one, new, "--drop-metadata"]) == 0
    words = ["--metadata", "a=1", "--metadata", "b=x=y", "--to", "safetensors"]
    assert main(["ckpt", "convert", new, f"{new}2", *words]) == 0
    assert checkpoint.outline(f"{new}2").metadata == {"a": "1", "b": "x=y"}
    with pytest.raises(SystemExit) as caught:
        main(["ckpt", "convert", new, f"{new}3", "--metadata", "a"])
    assert caught.value.code == 2


def test_form_goes_before_the_name(tmp_path):
    old = checkpoint.save(tmp_path / "run", TREE, 4, keep=0)
    new = checkpoint.convert(old, tmp_path / "run/checkpoint_5", form="safetensors")
    assert recognise(new) == "safetensors"
    assert checkpoint.available_steps(tmp_path / "run") == [4, 5]
    same(checkpoint.restore(tmp_path / "run", None))
    odd = checkpoint.convert(new, tmp_path / "odd.safetensors", form="msgpack")
    assert recognise(odd) == "msgpack"
    same(checkpoint.restore(odd, TREE))
    with pytest.raises(errors.CheckpointOptionError, match="an index is made with its files"):
        checkpoint.convert(old, tmp_path / "x.safetensors.index.json")


def test_safetensors_are_restored_wherever_a_checkpoint_may_be(tmp_path, one):
    run = tmp_path / "run"
    checkpoint.save(run, TREE, 4, keep=0)
    (run / "checkpoint_5").write_bytes((tmp_path / "one.safetensors").read_bytes())
    parts = checkpoint.convert(one, tmp_path / "parts.safetensors", max_shard_bytes=100)
    target = jax.tree.map(lambda leaf: leaf * 0, TREE)
    for path in (one, parts, run):
        same(checkpoint.restore(path, target))
        same(checkpoint.restore(path, None))
        same(checkpoints.restore_checkpoint(path, target))
    assert checkpoint.newest_intact(run) == str(run / "checkpoint_5")
    for step in (5, None):
        same(checkpoint.restore(run, target, step, fallback=True))
    assert [item.health.state for item in checkpoint.survey(run, health=True)] == [
        "intact",
        "readable",
    ]
    wrong = {**target, "a": {**target["a"], "w": np.zeros(3)}}
    with pytest.raises(errors.CheckpointMismatchError, match="a/w"):
        checkpoint.restore(run, wrong)
    data = bytearray((run / "checkpoint_5").read_bytes())
    (run / "checkpoint_5").write_bytes(data[:-9])
    assert checkpoint.newest_intact(run) == str(run / "checkpoint_4")
    with pytest.warns(RuntimeWarning, match="checkpoint_4"):
        same(checkpoint.restore(run, target, fallback=True))


def test_a_folder_of_weights_is_read_or_says_what_is_there(tmp_path, one):
    same(checkpoint.load_safetensors(tmp_path))
    with pytest.warns(UserWarning, match=r"name the file: .*one\.safetensors"):
        assert checkpoint.restore(tmp_path, None) is None
    with pytest.raises(errors.CheckpointNotFoundError, match=r"one\.safetensors"):
        checkpoint.restore(tmp_path, TREE, must_exist=True)
    target = {"w": np.ones(2)}
    assert checkpoint.restore(tmp_path, target) is target  # a first start beside them
    checkpoint.convert(one, tmp_path / "parts.safetensors", max_shard_bytes=100)
    with pytest.raises(errors.CheckpointOptionError, match=r"parts\.safetensors\.index\.json, one"):
        checkpoint.load_safetensors(tmp_path)
    (tmp_path / "one.safetensors").unlink()
    same(checkpoint.load_safetensors(tmp_path))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(errors.CheckpointOptionError, match="there are: none"):
        checkpoint.load_safetensors(tmp_path / "nothing")


def test_an_empty_tree_is_a_file(tmp_path, capsys):
    one = checkpoint.save_safetensors(tmp_path / "m.safetensors", {})
    assert checkpoint.load_safetensors(one) == checkpoint.restore(one, None) == {}
    assert checkpoint.verify(one).state == "intact"
    two = checkpoint.convert(one, tmp_path / "new")
    three = checkpoint.convert(two, tmp_path / "again.safetensors")
    assert checkpoint.restore(two, None) == checkpoint.load_safetensors(three) == {}
    for first, second in ((one, two), (two, three), (one, three)):
        assert checkpoint.diff(first, second).same
    for path in (one, two):
        assert main(["ckpt", "show", path]) == main(["ckpt", "verify", path]) == 0
    numpy_files = pytest.importorskip("safetensors.numpy")
    assert numpy_files.load_file(one) == {}
    numpy_files.save_file({}, tmp_path / "theirs.safetensors")
    assert checkpoint.load_safetensors(tmp_path / "theirs.safetensors") == {}


def test_what_orbax_keeps_besides_arrays_is_kept_or_refused(tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    tree, page = {"w": np.ones(3)}, {"epoch": 3, "name": "run"}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as saver:
        saver.save(tmp_path / "bare", args=ocp.args.PyTreeSave(tree))
        about = {"lr": 0.1}
        saver.save(tmp_path / "one", args=ocp.args.PyTreeSave(tree, custom_metadata=about))
    with ocp.CheckpointManager(tmp_path / "run") as manager:
        items = {
            "state": ocp.args.PyTreeSave(tree, custom_metadata={"a": "b"}),
            "page": ocp.args.JsonSave(page),
        }
        manager.save(3, args=ocp.args.Composite(**items), custom_metadata={"by": "us"})
    several = {"state": tree, "page": page}
    for place, content, metadata in (
        ("bare", tree, {}),
        ("one", tree, {"custom_metadata": '{"lr": 0.1}'}),
        (
            "run/3",
            several,
            {"custom_metadata": '{"by": "us"}', "state/custom_metadata": '{"a": "b"}'},
        ),
    ):
        new = checkpoint.convert(tmp_path / place, tmp_path / "m.safetensors", overwrite=True)
        same(checkpoint.load_safetensors(new), content)
        assert checkpoint.outline(new).metadata == metadata
        if metadata:
            with pytest.raises(errors.FormatLimitError, match="custom_metadata"):
                checkpoint.convert(tmp_path / place, tmp_path / "msgpack", overwrite=True)
        other = checkpoint.convert(
            tmp_path / place, tmp_path / "msgpack", overwrite=True, drop_metadata=True
        )
        same(checkpoint.restore(other, None), content)


@pytest.mark.parametrize("form", ["msgpack", "orbax"])
def test_a_source_that_becomes_shorter_meanwhile_is_told(tmp_path, form, monkeypatch):
    if form == "orbax":
        pytest.importorskip("orbax.checkpoint")
    tree = {"a": np.arange(100_000.0), "b": np.ones(100_000, np.float32)}
    source = checkpoint.save_safetensors(tmp_path / "model.safetensors", tree)

    def cut(path, **options):
        found = outline(path, **options)
        with open(path, "r+b") as file:
            file.truncate(1000)
        return found

    monkeypatch.setattr(exchange, "outline", cut)
    with pytest.raises(errors.MalformedDataError, match="became shorter while it was read"):
        checkpoint.convert(source, tmp_path / "new", form=form)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("form", ["msgpack", "safetensors", "orbax"])
def test_more_arrays_than_files_may_be_open_are_converted(tmp_path, form):
    resource = pytest.importorskip("resource")
    if form == "orbax":
        pytest.importorskip("orbax.checkpoint")
    tree = {f"a{number}": np.full(200, number) for number in range(600)}
    if form == "safetensors":
        source = checkpoint.save(tmp_path, tree, 1)
    else:
        source = checkpoint.save_safetensors(tmp_path / "model.safetensors", tree)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, limits[1]))
    try:
        new = checkpoint.convert(source, tmp_path / f"new.{form}", form=form)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    same(checkpoint.restore(new, tree), tree)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_in_the_place_of_a_new_file_is_never_said_to_be_replaced(tmp_path, overwrite):
    source = checkpoint.save_safetensors(tmp_path / "model.safetensors", {"a": np.ones(2)})
    (tmp_path / "new").mkdir()
    with pytest.raises(ValueError, match="could not be replaced at once; name another one"):
        checkpoint.convert(source, tmp_path / "new", overwrite=overwrite)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("name", ["m.pt", "m.PTH", "m.npz", "m.h5", "m.gguf", "m.pkl", "m.keras"])
def test_a_name_of_another_program_is_not_given_to_msgpack(tmp_path, name, capsys):
    source = checkpoint.save_safetensors(tmp_path / "m.safetensors", {"a": {"b": np.ones(2)}})
    new = tmp_path / name
    for write in (
        lambda **form: checkpoint.convert(source, new, **form),
        lambda **form: checkpoint.extract(source, new, "a", **form),
        lambda **form: checkpoint.rename(source, "a", "c", destination=new, **form),
    ):
        with pytest.raises(ValueError, match=r"named like a file of .* or pass form='msgpack'"):
            write()
        assert not new.exists()
        write(form="msgpack")
        new.unlink()
    assert main(["ckpt", "convert", source, str(new)]) == 2
    assert "or pass `--to msgpack`" in capsys.readouterr().err
    assert main(["ckpt", "convert", source, str(new), "--to", "msgpack"]) == 0
