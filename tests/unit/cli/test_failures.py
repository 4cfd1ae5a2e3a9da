"""Every failure that can be expected is one line and an exit code, and JSON where that is asked."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ramie import checkpoint, errors
from ramie.cli import failures, main
from ramie.cli.main import make_parser


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder with a run, one damaged file and some oddities, in which commands are started."""
    monkeypatch.chdir(tmp_path)
    for step in (1, 2):
        checkpoint.save("run", {"w": np.arange(500.0) * step, "a.b": {"c": 1}}, step, keep=0)
    os.mkdir("above")
    checkpoint.save("above/models", {"w": np.ones(2)}, 3, prefix="model_", keep=0)
    shutil.copy("run/checkpoint_1", "half")
    os.truncate("half", 100)
    checkpoint.save_safetensors("m.safetensors", {"w": np.ones(2)})
    checkpoint.save_safetensors("titled.safetensors", {"w": np.ones(2)}, metadata={"title": "x"})
    os.mkdir("empty")
    os.mkfifo("pipe")
    return tmp_path


def call(capsys, line):
    try:
        code = main(line.split() if isinstance(line, str) else line)
    except SystemExit as stop:
        code = stop.code
    shown = capsys.readouterr()
    return code, shown.out, shown.err


BAD = [
    # what is typed, exit code, kind, some words of what is said
    ("ckpt ls nowhere", 2, "not found", "There is no 'nowhere'"),
    ("ckpt ls m.safetensors", 2, "misuse", "it is a file and no directory"),
    ("ckpt ls foo://x", 2, "misuse", "fsspec does not know"),
    ("ckpt show nowhere", 2, "not found", "There is no 'nowhere'"),
    ("ckpt show empty", 2, "misuse", "argument FILE: empty cannot be used"),
    ("ckpt show pipe", 2, "misuse", "not a regular file"),
    ("ckpt show half", 1, "damaged", 'Cannot read the file "half"'),
    ("ckpt show gs://bucket/file", 2, "unsupported", "copy them to a local directory"),
    ("ckpt show run/checkpoint_1 --separator", 2, "misuse", "expected one argument"),
    ("ckpt diff run/checkpoint_1 nowhere", 2, "not found", "There is no 'nowhere'"),
    ("ckpt diff run/checkpoint_1 half", 1, "damaged", 'Cannot read the file "half"'),
    ("ckpt convert run/checkpoint_1 m.safetensors", 2, "misuse", "--overwrite"),
    ("ckpt convert run/checkpoint_1 n.safetensors", 2, "misuse", "argument --separator: . cannot"),
    ("ckpt convert half n.safetensors", 1, "damaged", 'Cannot read the file "half"'),
    ("ckpt convert run/checkpoint_1 m.safetensors/x.orbax", 2, None, "m.safetensors"),
    ("ckpt prune m.safetensors --keep 1", 2, "misuse", "it is a file and no directory"),
    ("ckpt prune run --keep 0", 2, "misuse", "argument --keep"),
    ("ckpt prune run --keep 1 --prefix ../x", 2, "misuse", "argument --prefix: ../x cannot be"),
    ("ckpt prune gs://bucket --keep 1", 2, "unsupported", "copy them to a local directory"),
    ("ckpt show run/checkpoint_1 v", 2, "misuse", "which has 'w', 'a.b'"),
    ("ckpt show run/checkpoint_1 --depth 0", 2, "misuse", "argument --depth"),
    ("ckpt show m.safetensors --separator none w/x", 2, "misuse", "argument SUBTREE: w/x cannot"),
    ("ckpt stats run/checkpoint_1 nowhere", 2, "not found", "There is no 'nowhere'"),
    ("ckpt stats half run/checkpoint_1", 1, "damaged", 'Cannot read the file "half"'),
    ("ckpt extract run/checkpoint_1 v x", 2, "misuse", "argument SUBTREE: v cannot be used"),
    ("ckpt extract run/checkpoint_1 w m.safetensors", 2, "misuse", "`--overwrite` replaces it"),
    ("ckpt extract half w x", 1, "damaged", 'Cannot read the file "half"'),
    ("ckpt extract nowhere w x", 2, "not found", "There is no 'nowhere'"),
    ("ckpt rename run/checkpoint_1 ( x", 2, "misuse", "argument PATTERN: '(' cannot be used"),
    ("ckpt rename run/checkpoint_1 w a.b", 2, "misuse", "below the leaf 'w'"),
    ("ckpt rename titled.safetensors w v --output x", 2, "unsupported", "`--drop-metadata`"),
    ("ckpt convert titled.safetensors x", 2, "unsupported", "`--drop-metadata`"),
    ("ckpt convert run/checkpoint_1 x --max-shard-bytes 9", 2, "misuse", "--max-shard-bytes: 9"),
    ("ckpt rm run 3 --yes", 2, "not found", "There is no 'checkpoint_3'"),
    ("ckpt rm run 1", 2, "misuse", "confirm it by --yes"),
    ("ckpt rm m.safetensors 1", 2, "misuse", "argument DIR: m.safetensors cannot be used"),
    ("ckpt rm run one", 2, "misuse", "argument STEP: must be a number"),
    ("ckpt shred run", 2, "misuse", "invalid choice: 'shred'"),
]


@pytest.mark.parametrize(("line", "code", "kind", "words"), BAD, ids=[bad[0] for bad in BAD])
def test_what_goes_wrong_is_one_line_and_an_exit_code(run, capsys, line, code, kind, words):
    found, out, err = call(capsys, line)
    told = err.splitlines()[-1]
    assert (found, out) == (code, "") and words in told
    usage = [text for text in err.splitlines()[:-1] if not text.startswith((" ", "usage: "))]
    assert not usage and "Traceback" not in err
    # No parameter of Python is named, and each option that is named is one of the command.
    assert not re.search(r"\w=\w|docs/errors", told)
    with pytest.raises(SystemExit):
        main([*line.split()[:2], "--help"] if "shred" not in line else ["--help"])
    options = capsys.readouterr().out
    assert all(option in options for option in re.findall(r"(?<!\S)`?(--[a-z-]+)", told))
    found, out, err = call(capsys, f"{line} --json")
    page = json.loads(out)
    assert (found, err) == (code, "") and page["error"] in told
    assert kind in (None, page["kind"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ckpt verify empty", 'no checkpoints in "empty"'),
        ("ckpt verify above", 'there are some in "above/models"'),
        ("ckpt verify nowhere", "There is no 'nowhere'"),
        ("ckpt verify foo://x", "fsspec does not know"),
    ],
)
def test_verify_of_nothing_is_no_success(run, capsys, line, words):
    code, out, err = call(capsys, line)
    assert (code, out) == (2, "") and words in err and len(err.splitlines()) == 1
    code, out, err = call(capsys, f"{line} --json")
    (page,) = json.loads(out)
    assert (code, err) == (2, "") and words in page["problem"]


def test_verify_looks_at_the_others_too(run, capsys):
    code, out, err = call(capsys, "ckpt verify nowhere run/checkpoint_1")
    assert code == 2 and "intact" in out and "There is no 'nowhere'" in err
    code, out, err = call(capsys, "ckpt verify nowhere half run")
    assert code == 1 and "damaged" in out and out.count("intact") == 2


def test_prune_says_when_nothing_matched(run, capsys):
    code, out, err = call(capsys, "ckpt prune above/models --keep 1")
    assert (code, out) == (0, "")
    assert "names are 'checkpoint_' and a step; there are 1 with --prefix 'model_'" in err
    assert "none of other prefixes" in call(capsys, "ckpt prune empty --keep 1")[2]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a\nb"), "permission denied", '"a b"'),
        (OSError(errno.EROFS, "Read-only file system", "a"), "permission denied", '"a": Read-only'),
        (OSError(errno.ENOSPC, "No space left on device"), "disk full", "No space left"),
        (OSError(errno.EIO, "Input/output error", "a", None, "b"), "system", '"a" and "b": Input'),
        (OSError("cannot do it"), "system", "cannot do it"),
        (ImportError("Please install gcsfs to use it"), "missing package", "install gcsfs"),
        (errors.MissingExtraError("orbax", "orbax", "read it"), "missing package", "ramie[orbax]"),
        (errors.CheckpointBusyError("run", 3), "busy", "committing"),
        (errors.FormatLimitError("msgpack", "x", "./a", "Do y"), "unsupported", "Do y."),
        (MemoryError(), "memory", "not enough memory"),
    ],
)
def test_errors_of_all_sources_are_told(run, capsys, monkeypatch, error, kind, words):
    def fail(*arguments, **options):
        raise error

    for name in ("describe", "diff", "verify"):
        monkeypatch.setattr(checkpoint, name, fail)
    for line in ("ckpt show half", "ckpt diff half half"):
        code, out, err = call(capsys, line)
        assert (code, out, len(err.splitlines())) == (2, "", 1) and words in err
        code, out, err = call(capsys, f"{line} --json")
        assert (code, json.loads(out)["kind"], err) == (2, kind, "")
    assert call(capsys, "ckpt verify half")[0] == 2


def test_mistakes_of_ours_are_not_hidden(run, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint, "describe", lambda *arguments, **options: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["ckpt", "show", "half"])


def test_interrupts_are_told_as_json_too(run, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "survey", interrupted)
    code, out, _ = call(capsys, "ckpt ls run --json")
    assert (code, json.loads(out)) == (130, {"error": "interrupted", "kind": "interrupted"})


# --- streams: a process of its own ----------------------------------------------------------------


def shell(line, **options):
    """Run a line of a shell in which `ramie` is this one; return code, output, and errors."""
    ramie = f"ramie() {{ '{sys.executable}' -m ramie \"$@\"; }}; set -o pipefail; {line}"
    done = subprocess.run(["bash", "-c", ramie], capture_output=True, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("line", ["ramie ckpt show run/checkpoint_1", "ramie ckpt --help"])
def test_a_closed_pipe_ends_quietly(run, line):
    code, _, err = shell(f"{line} | true")
    # Whoever is quick enough to write before the reader has gone has done its work.
    assert code in (0, failures.CLOSED) and err == ""
    code, _, err = shell(f"({line}; echo code $? >&2) | sleep 0; exit 0")
    assert err in ("code 0\n", f"code {failures.CLOSED}\n")


def test_a_closed_pipe_has_a_code_of_its_own(run):
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "ramie", "ckpt", "ls", "run"]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (failures.CLOSED, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_a_full_disk_and_closed_streams(run):
    for words in ("ckpt ls run", "ckpt ls run --json", "ckpt ls nowhere --json"):
        code, _, err = shell(f"ramie {words} >/dev/full")
        assert code == 2 and len(err.splitlines()) == 1 and err.startswith("ramie ckpt ls: ")
    assert shell("ramie ckpt ls run >&-") == (0, "", "")
    assert shell("ramie ckpt ls nowhere 2>&-") == (2, "", "")
    assert shell("ramie ckpt ls nowhere 2>/dev/full") == (2, "", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_no_encoding_has_are_escaped(tmp_path, encoding):
    folder = os.fsencode(tmp_path) + "/r\N{SNOWMAN}\x1b[2J\n".encode() + b"\xff"
    os.mkdir(folder)
    tree = {"\N{SNOWMAN}": np.ones(2), "\ud800"[:0] + "a b": "\N{SNOWMAN}"}
    checkpoint.save(os.fsdecode(folder), tree, 1, prefix="é_")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for words in ("ls", "verify", "show"):
        line = [sys.executable.encode(), b"-m", b"ramie", b"ckpt", words.encode(), folder]
        done = subprocess.run(line, capture_output=True, env=environment)
        assert (done.returncode, done.stderr) == (0, b"") and b"\x1b" not in done.stdout
    line = [sys.executable.encode(), b"-m", b"ramie", b"ckpt", b"show", folder + b"/none"]
    done = subprocess.run(line, capture_output=True, env=environment)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert b"\x1b" not in done.stderr


def test_ctrl_c_while_a_command_works(run):
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # jobs may ignore it
        "from ramie import checkpoint\n"
        "from ramie.cli import main\n"
        "checkpoint.survey = lambda *a, **k: signal.raise_signal(signal.SIGINT)\n"
        "sys.exit(main(['ckpt', 'ls', 'run']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "ramie ckpt ls: interrupted\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(run, capsys):
    os.chmod("run", 0)
    try:
        code, _, err = call(capsys, "ckpt ls run")
    finally:
        os.chmod("run", 0o700)
    assert code == 2 and "ermission denied" in err


def test_every_command_takes_json():
    def leaves(parser):
        subparsers = [action for action in parser._actions if isinstance(action.choices, dict)]
        if not subparsers:
            yield parser
        for action in subparsers:
            for below in action.choices.values():
                yield from leaves(below)

    for parser in leaves(make_parser()):
        if parser.prog.startswith("ramie ckpt"):
            assert "--json" in parser.format_help(), parser.prog
