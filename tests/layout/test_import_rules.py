"""Who may import whom, no cycles, nothing private, nothing heavy at top level."""

import ast
import graphlib

import pytest
from tests.layout import sources

BASE = {"version", "typing", "errors", "configurations", "jax_versions"}
TOOLS = {"struct", "traverse_util", "io", "ids", "traceback_util", "serialization"}

# The part of the package on the left may import the parts on the right, itself, and BASE.
ALLOWED = {
    "": set(),
    "version": set(),
    "typing": set(),
    "errors": set(),
    "configurations": set(),
    "jax_versions": set(),
    "ids": set(),
    "io": set(),
    "struct": {"serialization"},
    "traceback_util": {"core"},  # what is private in JAX stays in core/trace.py
    "traverse_util": {"struct"},
    "serialization": {"struct"},
    "cursor": {"core", "struct"},
    "jax_utils": {"core", "struct"},
    "ops": set(),
    "core": {"struct", "serialization", "ids"},
    "linen": {"core", "ops", *TOOLS},
    "nnx": {"core", "ops", *TOOLS},
    "checkpoint": {"serialization", "struct", "io"},
    "training": {"core", "ops", "checkpoint", "jax_utils", *TOOLS},
    "metrics": {"core", "ops", "checkpoint", *TOOLS},
    "testing": {"metrics", *TOOLS},
    "interop": {"core", "ops", "checkpoint", *TOOLS},
    "compat": {"traverse_util"},  # for lift_parts, which install() does not load
    "demo": {"core", "linen", "nnx", "checkpoint", "training", "metrics", "jax_utils", *TOOLS},
    "cli": {"core", "linen", "nnx", "checkpoint", "training", "metrics", "demo", *TOOLS},
}
# Allowed inside a function only: the import happens when a user asks for it.
ALLOWED_LAZILY = {
    "": set(ALLOWED),  # the root loads its modules by name, on demand
    "typing": {"core"},  # annotations name FrozenDict
    "checkpoint": {"metrics"},  # SummaryWriter shows metrics in TensorBoard
    "core": {"linen"},  # flax.core.nn, the layers on bare scopes, lives in linen
    "training": {"linen", "nnx"},
    "metrics": {"linen", "nnx"},
    "interop": {"linen", "nnx"},
}
# Packages that cost more to import than a user who did not ask for them should pay.
HEAVY = {
    "matplotlib",
    "optax",
    "orbax",
    "rich",
    "safetensors",
    "sklearn",
    "tensorboard",
    "tensorboardX",
    "tensorflow",
    "tensorstore",
    "torch",
    "treescope",
    "xxhash",
}
PRIVATE_JAX = "src/ramie/core/trace.py"


def part_of(name: str) -> str:
    """Return the folder or module directly below the package that a dotted name belongs to."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("path", sources.source_files(), ids=sources.relative)
def test_imports_follow_the_directions_of_the_design(path):
    part = part_of(sources.module_name(path))
    assert part in ALLOWED, f"say in ALLOWED what ramie.{part} may import"
    wrong = []
    for found in sources.imports(path):
        if found.target.partition(".")[0] != "ramie" or found.target == "ramie":
            continue
        allowed = BASE | ALLOWED[part] | {part}
        if sources.module_name(path).startswith("ramie.nnx.bridge"):
            allowed |= {"linen"}  # it joins the two
        if found.lazy or found.typing_only:
            allowed |= ALLOWED_LAZILY.get(part, set())
        if part_of(found.target) not in allowed:
            wrong.append(f"{sources.relative(path)}:{found.line} imports {found.target}")
    assert not wrong, wrong


def test_no_module_is_part_of_an_import_cycle():
    graph = {
        name: {
            found.target
            for found in sources.imports(path)
            if found.target in sources.modules() and not found.typing_only
        }
        for name, path in sources.modules().items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("import cycle: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize("path", sources.source_files(), ids=sources.relative)
def test_only_one_module_reaches_into_private_jax(path):
    if sources.relative(path) == PRIVATE_JAX:
        return
    for found in sources.imports(path):
        assert not found.target.startswith(("jax._src", "jaxlib")), f"line {found.line}"
    for node in ast.walk(sources.parse(path)):
        assert not (isinstance(node, ast.Attribute) and node.attr == "_src"), node.lineno


@pytest.mark.parametrize("path", sources.source_files(), ids=sources.relative)
def test_heavy_packages_are_imported_inside_functions(path):
    for found in sources.imports(path):
        if found.target.partition(".")[0] in HEAVY:
            assert found.lazy or found.typing_only, f"line {found.line}: {found.target}"


@pytest.mark.parametrize("path", sources.source_files(), ids=sources.relative)
def test_the_package_never_imports_its_peer(path):
    for found in sources.imports(path):
        assert found.target.partition(".")[0] not in {"flax", "flax_extra"}, found.line
