"""`ramie plan` from end to end, on simulated devices and on chips that are not there."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest

from ramie.cli import main
from ramie.cli.main import make_parser

PROGRAM = """
import jax
import jax.numpy as jnp
import ramie.linen as nn
from jax.sharding import NamedSharding, PartitionSpec


class MLP(nn.Module):
    hidden: int = 32

    @nn.compact
    def __call__(self, x):
        up = nn.with_logical_partitioning(nn.initializers.lecun_normal(), ("embed", "hidden"))
        h = nn.Dense(self.hidden, kernel_init=up, name="up")(x)
        return nn.Dense(x.shape[-1], name="down")(h)


def train_step(params, x):
    model = MLP(params["params"]["up"]["bias"].shape[0])
    loss = lambda params: jnp.mean(model.apply(params, x) ** 2)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))


def make(mesh, batch=8, hidden=32):
    x = jax.ShapeDtypeStruct((batch, 16), jnp.float32)
    params = jax.eval_shape(MLP(hidden).init, jax.random.key(0), x)
    axes = PartitionSpec("data") if "data" in mesh.axis_names else PartitionSpec()
    x = jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, axes))
    return train_step, (params, x), {"donate": 0}


def wrong(mesh):
    return lambda x: x @ x, (jax.ShapeDtypeStruct((2, 3), jnp.float32),)


def strange(mesh):
    return lambda x: x, ("text",)


def with_nnx(mesh):
    import optax
    from ramie import nnx

    assert mesh.are_all_axes_explicit

    def create():
        model = nnx.Linear(16, 32, rngs=nnx.Rngs(0))
        return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    def step(model, optimizer, x):
        gradients = nnx.grad(lambda model: jnp.mean(model(x) ** 2))(model)
        optimizer.update(model, gradients)

    model, optimizer = nnx.eval_shape(create)
    x = jax.ShapeDtypeStruct((8, 16), jnp.float32)
    specs = (None, None, PartitionSpec("data"))
    return step, (model, optimizer, x), {"donate": (0, 1), "specs": specs}


def failing(mesh):
    if mesh.shape["data"] == 4:
        raise ValueError("no such mesh")
    return make(mesh)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a program and rules, in which the command is called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "plannable.py").write_text(PROGRAM)
    (tmp_path / "rules.json").write_text('{"hidden": "model", "embed": null}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "odd.toml").write_text("hidden = 3")
    (tmp_path / "nowhere.json").write_text('{"hidden": "tensor"}')
    yield tmp_path
    sys.modules.pop("plannable", None)


def call(capsys, *words):
    """Return the exit code, the standard output in lines without gaps, and the other one."""
    try:
        code = main(["plan", *words])
    except SystemExit as stop:
        code = stop.code
    shown = capsys.readouterr()
    return code, [" ".join(line.split()) for line in shown.out.splitlines()], shown.err


FOUR = ("--topology", "cpu:4")


def test_a_plan_is_tables(folder, capsys):
    code, lines, err = call(
        capsys, "plannable:make", *FOUR, "--mesh", "data=2,model=2", "--rules", "rules.json"
    )
    assert (code, err) == (0, "")
    assert lines[0] == "train_step on cpu:4: 4 devices, data=2,model=2"
    assert lines[1].startswith("Simulated on CPU devices")
    # Kernels of 16 x 32 (half of it) and 32 x 16 with biases, four bytes each.
    own = 4 * (16 * 32 // 2 + 32 + 32 * 16 + 16)
    assert f"params 4 {16 * 32 + 32 + 32 * 16 + 16} 4.2 KiB {own / 1024:.1f} KiB" in [
        re.sub(r"1\.07 k", "1072", line) for line in lines
    ]
    assert any(line.startswith("all-reduce data ") for line in lines)


def test_json_is_all_of_the_plan(folder, capsys):
    words = ("plannable:make", *FOUR, "--mesh", "data=*,model=2", "--batch", "16", "--json")
    code, lines, err = call(capsys, *words, "--set", "hidden=8")
    assert (code, err) == (0, "")
    page = json.loads("\n".join(lines))
    assert page["mesh"] == {"data": 2, "model": 2} and page["simulated"]
    assert page["verdict"] == "unknown" and page["fits"]
    params = next(part for part in page["collections"] if part["name"] == "params")
    assert params["bytes"] == 4 * (16 * 8 + 8 + 8 * 16 + 16)
    # x is divided over `data` only.
    assert page["memory"]["arguments"] == params["bytes"] + 4 * 16 * 16 // 2
    # What is donated is given back.
    assert page["memory"]["aliased"] == params["bytes"]


def test_models_of_nnx_over_explicit_axes(folder, capsys):
    code, lines, err = call(capsys, "plannable:with_nnx", *FOUR, "--explicit", "--json")
    assert (code, err) == (0, "")
    page = json.loads("\n".join(lines))
    params = 4 * (16 * 32 + 32)
    # Two moments, and a count each for Adam and for the optimizer; x by a quarter.
    assert page["memory"]["arguments"] == 3 * params + 2 * 4 + 4 * 8 * 16 // 4
    assert page["memory"]["aliased"] == 3 * params + 2 * 4
    assert [item["kind"] for item in page["collectives"]] == ["all-reduce"]


def test_a_sweep_is_a_table_and_a_picture(folder, capsys):
    pytest.importorskip("matplotlib")
    words = ("plannable:make", *FOUR, "--rules", "rules.json", "--sweep", "model=1,2,4")
    code, lines, err = call(capsys, *words, "--picture", "memory.svg")
    assert (code, err) == (0, "")
    meshes = [line.split()[0] for line in lines[1:4]]
    assert sorted(meshes) == ["data=1,model=4", "data=2,model=2", "data=4,model=1"]
    picture = (folder / "memory.svg").read_text(encoding="utf-8")
    assert all(mesh in picture for mesh in meshes) and "make on cpu:4" in picture


def test_a_mesh_that_cannot_be_is_a_line_of_the_sweep(folder, capsys):
    words = ("plannable:failing", *FOUR, "--sweep", "model=1,2")
    code, lines, err = call(capsys, *words)
    assert (code, err) == (0, "")
    assert lines[2] == "data=4,model=1 impossible"
    assert (
        "data=4,model=1: `failing` raised ValueError: no such mesh (plannable.py, line" in lines[-1]
    )
    code, lines, _ = call(capsys, *words, "--json")
    page = json.loads("\n".join(lines))
    assert [entry["mesh"]["model"] for entry in page] == [2, 1]
    assert page[1]["verdict"] == "impossible" and "no such mesh" in page[1]["problem"]
    code, lines, err = call(capsys, "plannable:failing", *FOUR, "--sweep", "model=1")
    assert (code, lines) == (2, []) and "no such mesh" in err


BAD = [
    # what is typed, and some words of what is said
    ([], "the following arguments are required: MODULE:FUNCTION"),
    (["plannable:make"], "the following arguments are required: --topology"),
    (["plannable", *FOUR], "argument MODULE:FUNCTION: it should be module:function"),
    (["nowhere_at_all:make", *FOUR], "there is no module 'nowhere_at_all'"),
    (["plannable:mike", *FOUR], "has no function `mike`; did you mean `make`?"),
    (["plannable:make", *FOUR, "--batch", "0"], "argument --batch: must be a whole number"),
    (["plannable:wrong", *FOUR, "--batch", "2"], "argument --batch: `wrong` has no parameter"),
    (["plannable:make", *FOUR, "--set", "layers=2"], "argument --set: `make` has no parameter"),
    (["plannable:make", *FOUR, "--set", "layers"], "argument --set: must be a name and a value"),
    (["plannable:make", *FOUR, "--set", "batch=2"], "argument --set: batch has an option of its"),
    (["plannable:make", *FOUR, "--set", "a=2", "--set", "a=3"], "argument --set: a is said twice"),
    (["plannable:make", *FOUR, "--mesh", "data"], "argument --mesh: must be axes with their"),
    (["plannable:make", *FOUR, "--mesh", "data=3"], "argument --mesh: data=3 makes 3 devices, but"),
    (["plannable:make", *FOUR, "--mesh", "data=*,model=3"], "3 does not divide the 4 devices"),
    (["plannable:make", *FOUR, "--sweep", "model=3"], "argument --sweep: data=*,model=3 cannot"),
    (["plannable:make", *FOUR, "--sweep", "model"], "argument --sweep: must be an axis"),
    (["plannable:make", *FOUR, "--rules", "none.json"], '"none.json": No such file'),
    (
        ["plannable:make", *FOUR, "--rules", "broken.json"],
        "argument --rules: 'broken.json': it cannot be read as JSON",
    ),
    (["plannable:make", *FOUR, "--rules", "odd.toml"], "the rule for 'hidden' is 3"),
    (["plannable:make", *FOUR, "--rules", "."], "Is a directory"),
    (["plannable:make", *FOUR, "--rules", "nowhere.json"], "tensor"),
    (["plannable:make", *FOUR, "--picture", "memory.xyz"], "argument --picture: 'memory.xyz' can"),
    (["plannable:make", *FOUR, "--picture", "none/memory.svg"], "there is no folder 'none'"),
    (["plannable:make", "--topology", "cpu:0"], "argument --topology: "),
    (["plannable:make", "--topology", "cpu:many"], "argument --topology: "),
    (["plannable:make", "--topology", ""], "argument --topology: "),
    (["plannable:wrong", *FOUR], "the step raised TypeError: dot_general requires"),
    (["plannable:strange", *FOUR], "Among the arguments of the step is 'text', which is no array"),
]


@pytest.mark.parametrize(("words", "problem"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_what_is_wrong_is_one_line(folder, capsys, words, problem):
    code, lines, err = call(capsys, *words)
    assert (code, lines) == (2, [])
    *usage, last = err.splitlines()
    assert problem in last and last.startswith("ramie plan: ")
    assert not usage or usage[0].startswith("usage: ")
    code, lines, err = call(capsys, *words, "--json")
    page = json.loads("\n".join(lines))
    assert (code, err) == (2, "") and set(page) == {"error", "kind"}
    assert " ".join(problem.split()) in page["error"]


def test_topologies_are_listed(capsys):
    code, lines, err = call(capsys, "--topologies")
    assert (code, err) == (0, "")
    assert "v5e:2x4" in lines and "v5p:8x8x8" in lines
    code, page, err = call(capsys, "--topologies", "--json")
    assert json.loads("\n".join(page)) == lines


def test_an_unknown_topology_comes_with_those_that_are_known(folder, capsys):
    code, lines, err = call(capsys, "plannable:make", "--topology", "v5e:3x4")
    assert (code, lines) == (2, []) and len(err.splitlines()) == 1
    assert "The topology 'v5e:3x4' is not known" in err and "v5e:4x4" in err
    assert "ramie plan --topologies` lists" in err


def test_without_libtpu_what_to_do_is_said(folder, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "libtpu" else find(name)
    )
    code, lines, err = call(capsys, "plannable:make", "--topology", "v5e:2x4")
    assert (code, lines) == (2, []) and len(err.splitlines()) == 1
    assert "pip install 'ramie[plan]'" in err and "cpu:8 does without" in err
    code, lines, err = call(capsys, "plannable:make", "--topology", "v5e:2x4", "--json")
    assert json.loads("\n".join(lines))["kind"] == "missing package"


def test_what_does_not_fit_is_a_result(folder, capsys, monkeypatch):
    from tests.unit.cli.plan.plans import LARGE

    from ramie.training.plan import planning

    monkeypatch.setattr(planning, "plan", lambda *arguments, **options: LARGE)
    code, lines, err = call(capsys, "plannable:make", *FOUR)
    assert (code, err) == (1, "")
    assert "does not fit: 24.0 GiB are lacking, 40.0 GiB of 16.0 GiB" in lines
    code, lines, err = call(capsys, "plannable:make", *FOUR, "--sweep", "model=1,2")
    assert (code, err) == (1, "") and len(lines) == 3
    code, lines, err = call(capsys, "plannable:make", *FOUR, "--json")
    page = json.loads("\n".join(lines))
    assert code == 1 and page["memory"]["lacking"] == 24 * 2**30


def test_matplotlib_is_asked_for_before_anything_is_compiled(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, lines, err = call(capsys, "plannable:make", *FOUR, "--picture", "memory.svg")
    assert (code, lines) == (2, []) and "ramie[plan]" in err
    assert "plannable" not in sys.modules


def test_what_the_users_code_prints_is_not_among_the_results(folder, capsys):
    (folder / "plannable.py").write_text(f"print('one')\n{PROGRAM}\nprint('two')\n")
    code, lines, err = call(capsys, "plannable:make", *FOUR, "--json")
    assert (code, err) == (0, "one\ntwo\n")
    assert json.loads("\n".join(lines))["devices"] == 4


def run(folder, *words):
    """Run the command in a process of its own, as users do."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    line = [sys.executable, "-m", "ramie", "plan", *words]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)


def test_any_number_of_devices_is_simulated_in_a_new_process(folder):
    (folder / "eager.py").write_text(
        "import jax.numpy as jnp\nzero = jnp.zeros(3)\nfrom plannable import make\n"
    )
    done = run(folder, "eager:make", "--topology", "cpu:16", "--mesh", "data=8,model=2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["devices"] == 16


def test_help_and_misuse_do_not_wait_for_jax():
    code = (
        "import sys\n"
        "from ramie.cli import main\n"
        "try:\n"
        "    main(['plan', 'a:b', '--topology', 'cpu:2', '--mesh', 'data'])\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, 'jax' in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "2 False\n"


@pytest.mark.libtpu
@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="libtpu is not installed")
def test_chips_that_are_not_there(folder):
    words = ("plannable:make", "--topology", "v5e:2x4", "--rules", "rules.json")
    done = run(folder, *words, "--sweep", "model=2,4", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    pages = json.loads(done.stdout)
    assert [page["fits"] for page in pages] == [True, True]
    assert {page["chip"]["name"] for page in pages} == {"v5e"}
    assert pages[0]["bound"]["seconds"] <= pages[1]["bound"]["seconds"]
    done = run(folder, "plannable:make", "--topology", "v5e:3x3")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ramie plan: argument --topology: ")


def test_every_option_has_help_and_takes_json():
    parser = next(
        action.choices["plan"]
        for action in make_parser()._actions
        if isinstance(action.choices, dict) and "plan" in action.choices
    )
    assert all(action.help for action in parser._actions)
    assert "--json" in parser.format_help()
