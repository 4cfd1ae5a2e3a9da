"""`ramie ckpt` on the folder of a CheckpointManager: steps, items, and what is none of these."""

import pytest

pytest.importorskip("orbax.checkpoint")

import json
import os
import shutil

import numpy as np
import orbax.checkpoint as ocp

from ramie import checkpoint
from ramie.cli.main import main


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "run"
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["loss"])
    with ocp.CheckpointManager(place, options=options) as manager:
        for step in (5, 10, 100):
            items = {
                "params": ocp.args.StandardSave({"w": np.full(2, step, np.float32)}),
                "meta": ocp.args.JsonSave({"epoch": step}),
            }
            manager.save(step, args=ocp.args.Composite(**items), metrics={"loss": 1 / step})
    return place


@pytest.fixture
def odd(folder):
    """The same with entries that are no steps, and one whose page is damaged."""
    (folder / "200").mkdir()
    (folder / "201").symlink_to("nowhere")
    shutil.copytree(folder / "5", folder / "300.orbax-checkpoint-tmp-17")
    (folder / "10" / "_CHECKPOINT_METADATA").write_text('{"item_hand')
    return folder


def run(capsys, *arguments):
    code = main(["ckpt", *map(str, arguments)])
    return code, capsys.readouterr()


def test_steps_are_listed_by_number_with_their_metrics(folder, capsys):
    code, said = run(capsys, "ls", folder, "--json")
    found = json.loads(said.out)
    assert code == 0 and [(item["prefix"], item["step"]) for item in found] == [
        ("", 5),
        ("", 10),
        ("", 100),
    ]
    assert [item["metrics"] for item in found] == [{"loss": 1 / step} for step in (5, 10, 100)]


def test_one_odd_entry_ends_nothing(odd, capsys):
    code, said = run(capsys, "ls", odd, "--health", "--json")
    found = {os.path.basename(item["path"]): item for item in json.loads(said.out)}
    assert code == 1 and {name: item["form"] for name, item in found.items()} == {
        "5": "directory",
        "10": "directory",
        "100": "directory",
        "200": "foreign",
        "201": "foreign",
        "300.orbax-checkpoint-tmp-17": "unfinished",
    }
    states = {name: (item["health"] or {}).get("state") for name, item in found.items()}
    assert states["10"] == "damaged" and states["5"] == states["100"] == "readable"
    assert all(found[name]["problem"] for name in ("200", "201", "300.orbax-checkpoint-tmp-17"))
    code, said = run(capsys, "ls", odd)
    assert code == 0 and "unfinished" in said.out and "Orbax did not make" in said.out


def test_verify_looks_at_every_step(odd, capsys):
    code, said = run(capsys, "verify", odd, "--json")
    found = {os.path.basename(item["path"]): item for item in json.loads(said.out)}
    assert code == 1 and found["10"]["state"] == "damaged"
    assert "_CHECKPOINT_METADATA" in found["10"]["problem"]
    assert found["5"]["state"] == found["100"]["state"] == "readable"
    assert found["300.orbax-checkpoint-tmp-17"]["state"] == "unfinished"
    shutil.rmtree(odd / "10")
    assert run(capsys, "verify", odd)[0] == 0


def test_prune_counts_what_can_be_restored(odd, capsys):
    code, said = run(capsys, "prune", odd, "--prefix", "", "--keep", "1", "--json")
    found = json.loads(said.out)
    assert code == 0 and found["removed"] == [str(odd / "5"), str(odd / "10")]
    assert sorted(os.listdir(odd)) == ["100", "200", "201", "300.orbax-checkpoint-tmp-17"]


def test_show_of_a_folder_is_of_the_latest(folder, capsys):
    code, said = run(capsys, "show", folder)
    assert code == 0 and str(folder / "100") in said.out and "params/w" in said.out
    code, said = run(capsys, "show", folder, "--json")
    assert json.loads(said.out)["path"] == str(folder / "100")
    checkpoint.save(folder, {"a": 1}, 1000)
    code, said = run(capsys, "show", folder)
    assert code == 2 and "prefixes" in said.err and "checkpoint_1000" in said.err
    os.mkdir(folder / "empty")
    code, said = run(capsys, "show", folder / "empty")
    assert code == 2 and "Orbax did not make" in said.err


def test_one_item_is_shown_compared_and_converted(folder, tmp_path, capsys):
    code, said = run(capsys, "show", folder / "5" / "meta")
    assert code == 0 and "epoch" in said.out
    code, said = run(capsys, "diff", folder / "5", folder / "10", "--json")
    changed = ["/".join(change["path"]) for change in json.loads(said.out)["changed"]]
    assert code == 1 and changed == ["meta/epoch", "metrics/loss", "params/w"]
    new = tmp_path / "params.safetensors"
    assert run(capsys, "convert", folder / "5" / "params", new)[0] == 0
    assert run(capsys, "diff", folder / "5" / "params", new)[0] == 0
    new = tmp_path / "whole"
    assert run(capsys, "convert", folder / "5", new)[0] == 0
    assert run(capsys, "diff", folder / "5", new)[0] == 0
