"""Every public name is documented, and every documented example runs."""

import doctest
import importlib
import inspect

import pytest
from tests.layout import sources

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
NAMES = sorted(name for name in sources.modules() if not name.endswith(("__main__", "_plugin")))


def _has_examples(name: str) -> bool:
    return ">>> " in sources.modules()[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in NAMES if _has_examples(name)])
def test_examples_run(name):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for example in doctest.DocTestFinder(recurse=True).find(module, name):
        runner.run(example, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("name", NAMES)
def test_public_names_exist_and_are_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__ and module.__doc__.strip(), name
    public = getattr(module, "__all__", [key for key in vars(module) if not key.startswith("_")])
    for key in public:
        value = getattr(module, key)
        is_ours = getattr(value, "__module__", "").partition(".")[0] == "ramie"
        if is_ours and (inspect.isclass(value) or inspect.isfunction(value)):
            assert inspect.getdoc(value), f"{name}.{key} has no docstring"


@pytest.mark.parametrize("name", NAMES)
def test_packages_list_what_they_export(name):
    path = sources.modules()[name]
    if path.name == "__init__.py" and sources.imports(path):
        exported = importlib.import_module(name).__all__
        assert len(set(exported)) == len(exported), "listed twice"
