"""Scripts for shells: they parse, and complete what the parser has."""

import shutil
import subprocess

import pytest

from ramie.cli import main
from ramie.cli.completion import SHELLS, script
from ramie.cli.main import make_parser


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_name_everything_and_parse(shell, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert text == script(shell, make_parser())
    for word in ("ckpt", "verify", "rename", "max-shard-bytes", "learning-rate", "safetensors"):
        assert word in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


def complete(*words):
    """Return what bash offers for the last of some words."""
    typed = " ".join(f"'{word}'" for word in words)
    line = f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _ramie; echo ${{COMPREPLY[@]}}"
    text = f"{script('bash', make_parser())}\n{line}\n"
    done = subprocess.run(["bash"], input=text, text=True, capture_output=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ramie", "c"), ["ckpt", "completion"]),
        (("ramie", "--v"), ["--version"]),
        (("ramie", "p"), ["plan"]),
        (("ramie", "plan", "--topolog"), ["--topology", "--topologies"]),
        (("ramie", "plan", "a:b", "--mesh", ""), []),
        (("ramie", "ckpt", "ver"), ["verify"]),
        (("ramie", "ckpt", "r"), ["rename", "rm"]),
        (("ramie", "ckpt", "convert", "a", "b", "--to", ""), ["msgpack", "safetensors", "orbax"]),
        (("ramie", "ckpt", "convert", "--to", "s"), ["safetensors"]),
        (("ramie", "ckpt", "prune", "--keep"), ["--keep", "--keep-every"]),
        (("ramie", "ckpt", "prune", "--keep", ""), []),
        (("ramie", "ckpt", "show", "ru"), []),  # file names, by `-o default`
        (("ramie", "completion", ""), ["bash", "zsh", "fish"]),
        (("ramie", "demo", "--api", "n"), ["nnx"]),
    ],
)
def test_bash_completes(words, expected):
    assert complete(*words) == expected


def test_another_shell_is_misuse(capsys):
    with pytest.raises(SystemExit):
        main(["completion", "tcsh"])
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
