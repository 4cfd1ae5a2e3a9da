"""`ramie ckpt show`: depths, subtrees and leaves."""

import numpy as np

from ramie import checkpoint

FILE = "run/checkpoint_2"


def lines(out):
    return [line.split() for line in out.splitlines()]


def test_what_lies_deeper_is_summed_up(run, ckpt, page):
    code, out, _ = ckpt("show", FILE, "--depth", 1)
    assert code == 0 and ["params/", "2", "14", "112", "B"] in lines(out)
    assert "kernel" not in out and "arrays: 2 with 14 elements, 112 B" in out
    code, out, _ = ckpt("show", FILE, "--depth", 2)
    assert ["params/Dense_0/", "1", "12", "96", "B"] in lines(out)
    assert ckpt("show", FILE, "--depth", 3)[1] == ckpt("show", FILE)[1]
    _, found = page("show", FILE, "--depth", 1)
    assert found["leaves"] == [
        {"path": ["params"], "leaves": 2, "arrays": 2, "elements": 14, "bytes": 112},
        {"path": ["step"], "type": "int", "value": 2},
    ]
    assert ckpt("show", FILE, "--depth", 0)[0] == 2


def test_a_subtree(run, ckpt, page):
    code, out, _ = ckpt("show", FILE, "params/Dense_0/")
    assert code == 0 and "step" not in out
    assert ["params/Dense_0/kernel", "float64", "[3,", "4]", "96", "B"] in lines(out)
    assert page("show", FILE, "params")[1]["elements"] == 14
    code, out, err = ckpt("show", FILE, "params/Dense_1")
    assert (code, out) == (2, "") and "argument SUBTREE" in err and "'Dense_0', 'b'" in err


def test_one_leaf_with_its_values(run, ckpt, page):
    out = ckpt("show", FILE, "params/Dense_0/kernel")[1]
    rows = {line[0]: line[1:] for line in lines(out)}
    assert (rows["mean"], rows["min"], rows["max"], rows["NaN"]) == (["11"], ["0"], ["22"], ["0"])
    assert " ".join(rows["values"]) == "0, 2, 4, 6, 8, 10, 12, 14, ..."
    (leaf,) = page("show", FILE, "params/Dense_0/kernel")[1]["leaves"]
    assert leaf["first_values"] == [2.0 * index for index in range(8)]
    assert leaf["statistics"]["deviation"] == float(np.std(np.arange(12.0) * 2))
    assert lines(ckpt("show", FILE, "step")[1]) == [
        ["path", "step"],
        ["type", "int"],
        ["value", "2"],
    ]


def test_one_leaf_of_odd_numbers(run, ckpt, page):
    odd = {"nan": np.array([np.nan, 1.0, np.inf]), "none": np.zeros((0, 2)), "text": "a" * 80}
    path = checkpoint.save("odd", {**odd, "complex": np.array([1 + 2j])}, 1)
    rows = {line[0]: line[1:] for line in lines(ckpt("show", path, "nan")[1])}
    assert (rows["mean"], rows["NaN"], rows["infinite"]) == (["1"], ["1"], ["1"])
    assert " ".join(rows["values"]) == "nan, 1, inf"
    assert page("show", path, "nan")[1]["leaves"][0]["first_values"] == ["nan", 1.0, "inf"]
    assert "a" * 80 in ckpt("show", path, "text")[1]
    for name in ("none", "complex"):
        assert ckpt("show", path, name)[0] == 0 and page("show", path, name)[0] == 0


def test_a_folder_stands_for_its_latest(run, ckpt):
    code, out, _ = ckpt("show", run, "step")
    assert code == 0 and "the latest" in out and ["value", "2"] in lines(out)


def test_options_may_stand_anywhere(run, ckpt):
    expected = ckpt("show", FILE, "params", "--stats", "--depth", 2)
    assert expected[0] == 0
    for words in (
        (FILE, "--stats", "params", "--depth", 2),
        ("--depth", 2, FILE, "--stats", "params"),
        ("--stats", FILE, "--depth", 2, "params"),
    ):
        assert ckpt("show", *words) == expected
    assert ckpt("show", "--stats", FILE)[0] == 0
    code, _, err = ckpt("show", "--stats")
    assert code == 2 and "the following arguments are required: FILE" in err
    assert "unrecognized arguments: more" in ckpt("show", FILE, "params", "more")[2]


def test_a_folder_that_is_no_checkpoint_says_what_to_name(run, ckpt, tmp_path):
    def said(folder):
        code, out, err = ckpt("show", folder)
        assert (code, out) == (2, "") and "Orbax did not make" in err
        return err

    assert f"Its checkpoints are in '{run}'" in said(tmp_path)
    folder = tmp_path / "weights"
    folder.mkdir()
    assert said(folder).rstrip().endswith("It is empty.")
    (folder / ".hidden").touch()
    assert "No checkpoint is in it" in said(folder)
    for name in ("a.txt", "net.msgpack"):
        (folder / name).write_bytes((tmp_path / FILE).read_bytes())
    assert f"Name a file in it, such as '{folder / 'net.msgpack'}'" in said(folder)
    assert ckpt("show", folder / "net.msgpack")[0] == 0
