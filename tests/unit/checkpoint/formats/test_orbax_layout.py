"""What a directory of Orbax is made of: told by its page, by its files, and never by trust."""

import json
import os

import pytest

from ramie import errors
from ramie.checkpoint.formats import orbax_layout
from ramie.checkpoint.formats.orbax import is_orbax

TREE = "orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler"
JSON = "orbax.checkpoint._src.handlers.json_checkpoint_handler.JsonCheckpointHandler"


def step(folder, handlers, files=(), **page):
    """Make the skeleton of a step: its page, and empty files."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    folder.mkdir(exist_ok=True)
    page = {"item_handlers": handlers, **page}
    (folder / "_CHECKPOINT_METADATA").write_text(json.dumps(page))
    return str(folder)


def kinds(path):
    return {item.name: item.kind for item in orbax_layout.layout(path).items}


def test_handlers_decide_and_then_files(tmp_path):
    v1 = "orbax.checkpoint.experimental.v1._src.handlers.pytree_handler.PyTreeHandler"
    handlers = {
        "params": TREE,
        "state": v1,
        "meta": JSON,
        "key": "x.JaxRandomKeyCheckpointHandler",
        "seed": "x.NumpyRandomKeyCheckpointHandler",
        "text": "x.ProtoHandler",
        "array": "x.ArrayCheckpointHandler",
        "mine": "app.Handler",
        "like_a_tree": "app.Handler",
        "gone": TREE,
        "descriptor": "x.DescriptorHandler",
    }
    files = [f"{name}/file" for name in handlers if name not in ("gone", "descriptor")]
    files += ["like_a_tree/_METADATA", "unlisted/_METADATA", "notes/readme.txt"]
    assert kinds(step(tmp_path / "1", handlers, files)) == {
        "params": "tree",
        "state": "tree",
        "meta": "json",
        "key": "jax key",
        "seed": "numpy key",
        "text": "text",
        "array": "array",
        "mine": "unknown",
        "like_a_tree": "tree",
        "gone": "absent",
        "unlisted": "tree",
    }


def test_without_a_page_files_decide_and_nothing_is_passed_over(tmp_path):
    for name in (
        "tree/_METADATA",
        "old/checkpoint",
        "lost/manifest.ocdbt",
        "array/checkpoint/.zarray",
        "array/_METADATA",
        "meta/metadata",
        "meta1/data.json",
        "key/jax_random_key/_METADATA",
        "seed/np_random_key/_METADATA",
        "text/proto.pbtxt",
        "other/file",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert kinds(str(tmp_path)) == {
        "tree": "tree",
        "old": "tree",
        "lost": "tree",
        "array": "array",
        "meta": "json",
        "meta1": "json",
        "key": "jax key",
        "seed": "numpy key",
        "text": "text",
        "other": "unknown",
    }


@pytest.mark.parametrize(
    ("handlers", "files", "single"),
    [
        ({"default": TREE}, ["default/_METADATA"], True),
        ({"default": JSON}, ["default/metadata"], True),
        ({"state": TREE}, ["state/_METADATA"], True),
        ({"default": TREE, "metrics": JSON}, ["default/_METADATA", "metrics/metrics"], True),
        ({"meta": JSON}, ["meta/metadata"], False),
        ({"metrics": JSON}, ["metrics/metrics"], False),
        ({"state": TREE, "meta": JSON}, ["state/_METADATA", "meta/metadata"], False),
        (TREE, ["_METADATA"], True),
        (JSON, ["metadata"], True),
    ],
)
def test_what_is_alone_is_the_content(tmp_path, handlers, files, single):
    found = orbax_layout.layout(step(tmp_path / "1", handlers, files))
    assert found.is_single == single


def test_metrics_and_the_words_of_the_user_are_kept_beside_the_tree(tmp_path):
    files = ["default/_METADATA", "metrics/metrics"]
    place = step(
        tmp_path / "1", {"default": TREE, "metrics": JSON}, files, custom_metadata={"who": "me"}
    )
    (tmp_path / "1" / "metrics" / "metrics").write_text('{"loss": 0.5}')
    assert orbax_layout.layout(place).metadata == {
        "metrics": '{"loss": 0.5}',
        "custom_metadata": '{"who": "me"}',
    }
    assert orbax_layout.metrics_of(place) == {"loss": 0.5}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"item_hand',
        "[]",
        "7",
        "null",
        "\x00\xff",
        '{"item_handlers": 7}',
        '{"item_handlers": ["a"]}',
        '{"item_handlers": {"a": 7}}',
        '{"item_handlers": {"a": ["x"]}}',
        '{"item_handlers": {"..": "x"}}',
        '{"item_handlers": {".": "x"}}',
        '{"item_handlers": {"": "x"}}',
        '{"item_handlers": {"../../etc": "x"}}',
        '{"item_handlers": {"/etc": "x"}}',
        '{"item_handlers": {"a\\u0000b": "x"}}',
        "[" * 5000,
        '{"a":' * 500 + "1" + "}" * 500,
        '{"init_timestamp_nsecs": ' + "9" * 5000 + "}",
    ],
)
def test_a_damaged_page_is_named(tmp_path, text):
    place = step(tmp_path / "1", {}, ["default/_METADATA"])
    (tmp_path / "1" / "_CHECKPOINT_METADATA").write_text(text, encoding="latin-1")
    with pytest.raises(errors.MalformedDataError) as caught:
        orbax_layout.layout(place)
    assert os.path.join(place, "_CHECKPOINT_METADATA") in str(caught.value)
    assert orbax_layout.metrics_of(place) == {} and not orbax_layout.is_unfinished(place)


def test_a_page_that_is_no_file_is_named(tmp_path, monkeypatch):
    place = step(tmp_path / "1", {}, ["default/_METADATA"])
    page = tmp_path / "1" / "_CHECKPOINT_METADATA"

    def refused(problem):
        with pytest.raises(errors.MalformedDataError, match=problem) as caught:
            orbax_layout.layout(place)
        assert str(page) in str(caught.value)

    page.unlink()
    page.mkdir()
    refused("Is a directory")
    page.rmdir()
    page.symlink_to(page.name)
    refused("cannot be read")
    page.unlink()
    os.mkfifo(page)
    refused("not a regular file")
    page.unlink()
    page.write_text('{"item_handlers": {}}')
    monkeypatch.setattr(orbax_layout, "_LIMIT", 8)
    refused("more than any page")


def test_a_directory_without_items_is_damaged(tmp_path):
    with pytest.raises(errors.MalformedDataError, match="no item"):
        orbax_layout.layout(step(tmp_path / "1", {}))


def test_unfinished_directories_are_told_by_name_or_page(tmp_path):
    begun = {"init_timestamp_nsecs": 1, "commit_timestamp_nsecs": None}
    place = step(tmp_path / "1", {}, **begun)
    assert orbax_layout.is_unfinished(place)
    (tmp_path / "1" / "commit_success.txt").touch()
    assert not orbax_layout.is_unfinished(place)
    assert not orbax_layout.is_unfinished(step(tmp_path / "2", {}, init_timestamp_nsecs=1))
    assert orbax_layout.is_unfinished(str(tmp_path / "3.orbax-checkpoint-tmp-17"))
    assert orbax_layout.final_name("3.orbax-checkpoint-tmp-17") == "3"
    assert orbax_layout.final_name("3") == "3"


def test_items_are_recognised_by_the_page_above_and_old_steps_by_their_items(tmp_path):
    step(tmp_path / "1", {"meta": JSON}, ["meta/metadata", "notes/file"])
    assert is_orbax(str(tmp_path / "1" / "meta")) and not is_orbax(str(tmp_path / "1" / "notes"))
    for name in ("7/default/_METADATA", "8/default/_METADATA", "8/file", "9/1/_METADATA"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert is_orbax(str(tmp_path / "7"))
    assert not is_orbax(str(tmp_path / "8")) and not is_orbax(str(tmp_path / "9"))
    assert not is_orbax(str(tmp_path))
