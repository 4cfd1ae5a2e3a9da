"""Rules files in both formats, and what is none."""

import pytest

from ramie.cli.plan.rules import RulesFileError, read_rules

RULES = (("batch", "data"), ("hidden", ("model", "pipe")), ("embed", None))


def read(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_rules(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rules.json", '{"batch": "data", "hidden": ["model", "pipe"], "embed": null}'),
        ("rules", '[["batch", "data"], ["hidden", ["model", "pipe"]], ["embed", null]]'),
        ("rules", '\ufeff{"rules": [["batch", "data"], ["hidden", ["model", "pipe"]], ["embed"]]}'),
        ("rules.toml", 'batch = "data"\nhidden = ["model", "pipe"]\nembed = []\n'),
        ("r.TOML", 'rules = [["batch", "data"], ["hidden", ["model", "pipe"]], ["embed"]]'),
        ("r.toml", '[rules]\nbatch = "data"\nhidden = ["model", "pipe"]\nembed = []\n'),
    ],
)
def test_all_forms_say_the_same(tmp_path, name, text):
    assert read(tmp_path, name, text) == RULES


def test_a_name_may_have_several_rules_in_a_list(tmp_path):
    pairs = '[["embed", "data"], ["embed", "model"]]'
    assert read(tmp_path, "r.json", pairs) == (("embed", "data"), ("embed", "model"))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("r.json", "", "it cannot be read as JSON: Expecting value"),
        ("r.json", "{'batch': 'data'}", "it cannot be read as JSON: Expecting property name"),
        ("r.json", '{"a": "data", "a": "model"}', "'a' is named twice"),
        ("r.json", '"batch"', "it holds 'batch' and no rules"),
        ("r.json", '{"batch": 2}', "the rule for 'batch' is 2; say each name with a mesh axis"),
        ("r.json", '{"batch": ""}', "the rule for 'batch' is ''"),
        ("r.json", '{"batch": ["data", null]}', "the rule for 'batch' is ['data', None]"),
        ("r.json", '{"rules": {"a": "b"}, "c": "d"}', "it may hold nothing beside `rules`"),
        ("r.json", '["batch", "data"]', "'batch' is not a rule; write a pair"),
        ("r.json", '[["a", "b", "c"]]', "['a', 'b', 'c'] is not a rule"),
        ("r.json", "[" * 100_000, "it cannot be read as JSON: "),
        ("r.json", b"\xff\xfe", "it is no text in UTF-8"),
        ("r.toml", "batch = data", "it cannot be read as TOML: Invalid value"),
        ("r.toml", "batch = 1979-05-27", "the rule for 'batch' is datetime.date"),
    ],
)
def test_what_is_no_rules_file(tmp_path, name, text, problem):
    with pytest.raises(RulesFileError) as caught:
        read(tmp_path, name, text)
    assert problem in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_rules(tmp_path / "none.json")
