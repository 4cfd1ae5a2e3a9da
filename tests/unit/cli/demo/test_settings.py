"""Settings are checked where they are made, and know their own command."""

import math
from pathlib import Path

import pytest

from ramie.cli.demo.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 0, "at least 1"),
        ("batch_size", -3, "at least 1"),
        ("learning_rate", 0.0, "a finite number above 0"),
        ("learning_rate", -1.0, "a finite number above 0"),
        ("learning_rate", math.nan, "a finite number above 0"),
        ("learning_rate", math.inf, "a finite number above 0"),
        ("seed", -1, "from 0 to"),
        ("seed", 2**32, "from 0 to"),
    ],
)
def test_nonsense_is_refused_by_name(name, value, expected):
    with pytest.raises(SettingsError, match=expected) as caught:
        Settings(**{name: value})
    assert caught.value.name == name
    assert str(value) in str(caught.value)


def test_workdir_must_not_be_or_pass_through_a_file(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for workdir in (file, file / "below"):
        with pytest.raises(SettingsError, match="must be a directory"):
            Settings(workdir=workdir)
    Settings(workdir=tmp_path / "new" / "deeper")


def test_command_quotes_what_the_shell_would_split():
    command = Settings(workdir=Path("my run"), learning_rate=1e-05).command()
    assert "--workdir 'my run'" in command and "--learning-rate 1e-05" in command


def test_saved_checkpoints_in_order_of_epochs(tmp_path):
    settings = Settings(workdir=tmp_path)
    assert settings.saved_checkpoints() == []
    settings.checkpoint_dir.mkdir()
    for name in ("checkpoint_10", "checkpoint_9", "checkpoint_tmp", ".hidden"):
        (settings.checkpoint_dir / name).touch()
    assert [path.name for path in settings.saved_checkpoints()] == ["checkpoint_9", "checkpoint_10"]
