"""`ramie ckpt rename`: a preview, a file, and what is refused."""

import os

from ramie import checkpoint

FILE = "run/checkpoint_2"


def test_without_a_place_it_is_a_preview(run, ckpt, page):
    before = os.listdir()
    code, out, _ = ckpt("rename", FILE, r"Dense_(\d)", r"layer\1")
    assert code == 0 and "params/layer0/kernel" in out and "leaves: 1 renamed, 2 not" in out
    assert "--output OUT" in out and os.listdir() == before
    _, found = page("rename", FILE, r"Dense_(\d)", r"layer\1")
    assert found == {
        "changed": [[["params", "Dense_0", "kernel"], ["params", "layer0", "kernel"]]],
        "n_same": 2,
        "path": None,
    }


def test_a_renamed_file(run, ckpt, page):
    code, out, _ = ckpt("rename", FILE, "^params/", "", "--output", "new")
    assert code == 0 and out.endswith("\nnew\n")
    names = ["/".join(leaf.path) for leaf in checkpoint.outline("new").leaves]
    assert names == ["Dense_0/kernel", "b", "step"]
    code, _, err = ckpt("rename", FILE, "^params/", "", "--output", "new")
    assert code == 2 and "argument --output: new cannot be used" in err and "`--overwrite`" in err
    assert page("rename", FILE, "b", "c", "--output", "new", "--overwrite")[1]["path"] == "new"


def test_collisions_and_bad_patterns(run, ckpt):
    for pattern, new, words in (
        (".*/.*", "x", "would both be 'x'"),
        ("(", "x", "argument PATTERN: '(' cannot be used"),
        ("nothing", "x", "no path in 'run/checkpoint_2' is changed by it"),
    ):
        code, out, err = ckpt("rename", FILE, pattern, new, "--output", "new")
        assert (code, out) == (2, "") and words in err and not os.path.exists("new")
