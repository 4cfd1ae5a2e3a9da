"""`ramie plan` of the language model, as its page says."""

import json

from tests.examples import fences

from ramie.cli import main

MESH = "data=2,fsdp=2,model=2"


def test_the_step_is_planned(capsys, monkeypatch):
    monkeypatch.chdir(fences.ROOT)
    words = ["plan", "examples.llm.planning:training", "--topology", "cpu:8", "--mesh", MESH]
    code = main([*words, "--set", "preset=tiny", "--batch", "16", "--json"])
    shown = capsys.readouterr()
    assert code == 0, shown.out
    page = json.loads(shown.out)
    assert page["mesh"] == {"data": 2, "fsdp": 2, "model": 2}
    state = [row for row in page["collections"] if row["name"] != "batch"]
    assert {row["name"] for row in state} >= {"Param", "OptVariable"}
    # All parameters and moments are divided, and all of the state is written over.
    assert page["memory"]["aliased"] == sum(row["device_bytes"] for row in state)
    assert sum(row["device_bytes"] for row in state) < sum(row["bytes"] for row in state) / 2
    assert any("Transformer" in row["path"] for row in page["temporaries"])
