"""Packages whose names are looked up on demand: nobody who uses them notices."""

import enum
import functools
import importlib
import inspect
import pickle
import pydoc
import rlcompleter
import subprocess
import sys
import textwrap
import typing
import warnings
import zipfile

import pytest
from tests.layout import sources, stubs

DOORS = stubs.doors()
# Modules of functions that users call and have no door.
PLAIN = [
    "ramie.serialization",
    "ramie.struct",
    "ramie.training.checkpoints",
    "ramie.training.common_utils",
    "ramie.traverse_util",
]

# By Flax's documentation these take any number of one thing, and nothing else.
ANY_NUMBER = {
    "ramie.nnx.All": "filters",
    "ramie.nnx.Any": "filters",
    "ramie.nnx.MultiMetric": "metrics",
    "ramie.nnx.Sequential": "fns",
    "ramie.nnx.display": "values",
    "ramie.nnx.filterlib.All": "filters",
    "ramie.nnx.filterlib.Any": "filters",
    "ramie.nnx.variable.HijaxVariable": "what the class that is asked for takes",
    "ramie.struct.PyTreeNode": "the fields of the subclass",
    "ramie.traverse_util.TraverseMerge": "traversals",
}


def _run(program):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def _offered(package):
    return sorted(
        name for name in (*DOORS[package].names, *DOORS[package].modules) if name[0] != "_"
    )


@pytest.mark.parametrize("package", DOORS)
def test_stub_says_what_the_table_says(package):
    path = sources.modules()[package].with_suffix(".pyi")
    assert path.read_text(encoding="utf-8") == stubs.stub(DOORS[package]), "run `make stubs`"


def test_no_stub_is_left_over():
    found = {path.with_suffix(".py") for path in sources.PACKAGE.rglob("*.pyi")}
    assert found == {sources.modules()[package] for package in DOORS}, "remove it, or add its door"


@pytest.mark.parametrize("package", DOORS)
def test_every_name_of_the_table_is_there(package):
    module = importlib.import_module(package)
    for name, (home, internal) in DOORS[package].names.items():
        assert getattr(module, name) is getattr(importlib.import_module(home), internal)
    for name, place in DOORS[package].modules.items():
        # Its own name, or that of the room which answers to a path of Flax.
        assert getattr(module, name) is importlib.import_module(place)


@pytest.mark.parametrize("package", DOORS)
def test_no_file_has_the_name_of_a_function(package):
    """Importing such a file would put the module in the place of the function."""
    folder = sources.modules()[package].parent
    folders = [folder, sources.PATHS / folder.relative_to(sources.PACKAGE)]
    if sources.PATHS in folder.parents:
        folders = [folder]
    files = {path.stem for place in folders if place.is_dir() for path in place.iterdir()}
    assert not files & set(DOORS[package].names)


@pytest.mark.parametrize("package", DOORS)
def test_dir_lists_the_public_names_and_nothing_else(package):
    module = importlib.import_module(package)
    version = ["__version__"] if "__version__" in DOORS[package].names else []
    assert dir(module) == module.__all__ == version + _offered(package)


@pytest.mark.parametrize("package", DOORS)
def test_star_import_brings_the_public_names(package):
    found = {}
    exec(f"from {package} import *", found)
    missing = set(_offered(package)) - set(found)
    assert not missing


def test_a_fresh_process_lists_before_it_imports():
    _run(
        """
        import sys, rlcompleter
        from ramie import linen as nn, nnx
        assert "Dense" in dir(nn) and "Linear" in dir(nnx) and "np" not in dir(nn) + dir(nnx)
        assert "ramie.linen.module" not in sys.modules and "jax" not in sys.modules
        found = rlcompleter.Completer({"nnx": nnx}).attr_matches("nnx.LinearG")
        assert found == ["nnx.LinearGeneral("], found
        """
    )


@pytest.mark.parametrize("package", ["ramie.linen", "ramie.nnx"])
def test_tab_completion_finds_all_names(package):
    completer = rlcompleter.Completer({"m": importlib.import_module(package)})
    found = {match.removeprefix("m.").rstrip("()") for match in completer.attr_matches("m.")}
    assert set(_offered(package)) <= found


@pytest.mark.parametrize(("package", "layer"), [("linen", "Dense"), ("nnx", "Linear")])
def test_help_shows_what_is_imported_on_demand(package, layer):
    program = f"""
    import pydoc, ramie.{package}
    text = pydoc.plain(pydoc.render_doc("ramie.{package}"))
    """
    text = _run(program + "print(text)")
    assert f"class {layer}(" in text and "FUNCTIONS" in text and f"{layer}.__init__" not in dir()
    assert text.index("CLASSES") < text.index(f"class {layer}(")


@pytest.mark.parametrize("name", ["ramie.linen.Dense", "ramie.nnx.Linear", "ramie.nnx.jit"])
def test_help_of_a_name_shows_its_parameters(name):
    head = pydoc.plain(pydoc.render_doc(name)).split("\n\n")[1]
    assert "**kwargs" not in head or "*args" not in head.partition("(")[2][:20], head


def _callables(package):
    """Return the classes and functions that a module offers, by dotted name."""
    module = importlib.import_module(package)
    names = _offered(package) if package in DOORS else module.__all__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        values = {f"{package}.{name}": getattr(module, name) for name in names}
    values = {name: value for name, value in values.items() if value is not typing.Any}
    return {k: v for k, v in values.items() if inspect.isclass(v) or inspect.isroutine(v)}


@functools.cache
def _all_callables():
    found = {}
    for package in [*DOORS, *PLAIN]:
        found |= _callables(package)
    return found


def test_signatures_are_real():
    hidden = []
    for name, value in _all_callables().items():
        if inspect.isclass(value) and issubclass(value, dict | BaseException | enum.Enum):
            continue
        parameters = inspect.signature(value).parameters.values()
        kinds = {parameter.kind for parameter in parameters}
        if kinds and kinds <= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            hidden.append(name)
    assert sorted(hidden) == sorted(name for name in ANY_NUMBER if name in _all_callables())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ramie.nnx.Linear", ["in_features", "out_features", "use_bias", "rngs"]),
        ("ramie.nnx.Module", []),
        ("ramie.nnx.Param", ["value", "hijax", "ref"]),
        ("ramie.nnx.Optimizer", ["model", "tx", "wrt"]),
        ("ramie.linen.Dense", ["features", "use_bias", "kernel_init", "parent", "name"]),
        ("ramie.nnx.jit", ["fun", "static_argnames", "donate_argnums"]),
        ("ramie.linen.vmap", ["target", "variable_axes", "split_rngs", "in_axes"]),
        ("ramie.checkpoint.save", ["directory", "step"]),
        ("ramie.training.checkpoints.save_checkpoint", ["ckpt_dir", "target", "step", "keep"]),
    ],
)
def test_signature_has_the_documented_parameters(name, expected):
    parameters = list(inspect.signature(pydoc.locate(name)).parameters)
    assert [parameter for parameter in parameters if parameter in expected] == expected
    assert expected or not parameters


@pytest.mark.parametrize("name", ["ramie.linen.Dense", "ramie.nnx.Param", "ramie.nnx.Linear"])
def test_a_class_reached_by_a_door_is_pickled_by_name(name):
    package, _, last = name.rpartition(".")
    _run(
        f"""
        import pickle
        import {package} as m
        assert pickle.loads(pickle.dumps(m.{last})) is m.{last}
        """
    )
    value = pydoc.locate(name)
    assert pickle.loads(pickle.dumps(value)) is value


@pytest.mark.parametrize("package", DOORS)
def test_a_misspelt_name_imports_nothing(package):
    _run(
        f"""
        import sys, {package} as m
        before = set(sys.modules)
        for name in ("Dens", "no_such_name", "__wrapped__", "_ipython_display_"):
            try:
                getattr(m, name)
            except AttributeError as error:
                assert error.name == name and error.obj is m, vars(error)
                assert "{package}" in str(error) and name in str(error)
            else:
                raise AssertionError(name)
        loaded = sorted(set(sys.modules) - before)
        assert not loaded, loaded
        """
    )


def test_a_misspelt_name_suggests_one():
    wrong = "import ramie.linen as nn\nnn.Dens"
    result = subprocess.run(
        [sys.executable, "-c", wrong], capture_output=True, text=True, timeout=120, check=False
    )
    last = result.stderr.strip().splitlines()[-1]
    assert last.endswith("Did you mean: 'Dense'?"), last


@pytest.mark.parametrize("package", ["ramie.linen", "ramie.nnx", "ramie"])
def test_a_door_can_be_reloaded(package):
    name = {"ramie.linen": "Dense", "ramie.nnx": "Linear", "ramie": "linen"}[package]
    _run(
        f"""
        import importlib, {package} as m
        first = m.{name}
        again = importlib.reload(m)
        assert again is m and m.{name} is first and dir(m) == m.__all__
        """
    )


def test_names_set_on_a_door_stay():
    _run(
        """
        from unittest import mock
        import ramie.linen as nn
        class Other: pass
        with mock.patch.object(nn, "Dense", Other):
            assert nn.Dense is Other
            from ramie.linen import Dense
            assert Dense is Other
        assert nn.Dense is not Other and nn.Dense.__name__ == "Dense"
        nn.Conv = Other
        nn.BatchNorm, nn.ConvTranspose
        assert nn.Conv is Other
        """
    )


def test_threads_may_ask_for_one_name_at_once():
    _run(
        """
        import threading, ramie.linen as nn, ramie.nnx as nnx
        start, found = threading.Barrier(8), []
        def ask(index):
            start.wait()
            names = (nn, "Dense"), (nnx, "Linear"), (nn, "vmap"), (nnx, "jit")
            module, name = names[index % 4]
            found.append((name, getattr(module, name)))
            found.extend((n, getattr(m, n)) for m, n in names)
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert len(found) == 40 and len(set(found)) == 4, found
        """
    )


def test_threads_may_import_packages_at_once():
    """One runs `ramie/__init__`, the other is in a package below: neither waits for the other."""
    _run(
        """
        import importlib, sys, threading, time
        from importlib.machinery import PathFinder
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name != "ramie":
                    return None
                spec = PathFinder.find_spec(name, path)
                execute = spec.loader.exec_module
                def slowly(module):
                    other.start()
                    time.sleep(1)
                    execute(module)
                spec.loader.exec_module = slowly
                return spec
        sys.meta_path.insert(0, Slow())
        found = []
        def ask():
            found.append(importlib.import_module("ramie.checkpoint"))
        other = threading.Thread(target=ask)
        import ramie.linen as nn
        other.join()
        assert len(found) == 1 and "Dense" in dir(nn) and "save" in dir(found[0])
        """
    )


def test_a_zip_file_has_the_paths_of_flax(tmp_path):
    archive = tmp_path / "library.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sources.PACKAGE.rglob("*.py"):
            file.write(path, path.relative_to(sources.PACKAGE.parent))
    _run(
        f"""
        import sys
        sys.path.insert(0, {str(archive)!r})
        import ramie.linen.normalization, ramie.nnx.nn.linear, ramie.struct
        assert ramie.linen.normalization.__file__.startswith({str(archive)!r})
        """
    )


def test_nothing_asks_a_door_while_it_is_imported():
    """A thread that imports it would wait for one that asks a door, and that one for it."""
    users = ("__main__", "_plugin")  # and the demo: these are programs
    names = [name for name in sources.modules() if not name.endswith(users) and "demo" not in name]
    _run(
        f"""
        import importlib
        from ramie.foundation import doors
        class Forbidden:
            def __enter__(self): raise AssertionError("import it from the file that defines it")
            def __exit__(self, *error): pass
        doors._ONE_AT_A_TIME = Forbidden()
        for name in {names}:
            importlib.import_module(name)
        """
    )
