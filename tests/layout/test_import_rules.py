"""Who may import whom, no cycles, nothing private, nothing heavy at top level."""

import ast
import graphlib

import pytest
from tests.layout import sources, stubs

BASE = {"typing", "errors", "foundation"}
TOOLS = {"trees", "serialization"}

# The part of the package on the left may import the parts on the right, itself, and BASE.
ALLOWED = {
    "": set(),
    "__main__": {"cli"},
    "typing": set(),
    "errors": set(),
    "foundation": set(),
    "serialization": set(),
    "trees": {"serialization"},
    "ops": set(),
    "core": TOOLS,
    "linen": {"core", "ops", *TOOLS},
    "nnx": {"core", "ops", *TOOLS},
    "checkpoint": TOOLS,
    "training": {"core", "ops", "checkpoint", *TOOLS},
    "metrics": {"core", "ops", "checkpoint", *TOOLS},
    "interop": {"core", "ops", "checkpoint", *TOOLS},
    "compat": {"trees"},  # for lift_parts, which install() does not load
    "cli": {"core", "linen", "nnx", "checkpoint", "training", "metrics", *TOOLS},
}
# Allowed inside a function only: the import happens when a user asks for it.
ALLOWED_LAZILY = {
    "typing": {"trees"},  # annotations name FrozenDict
    "checkpoint": {"metrics"},  # SummaryWriter shows metrics in TensorBoard
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
PRIVATE_JAX = "src/ramie/core/tracing/trace.py"


def part_of(name: str) -> str:
    """Return the folder or module directly below the package that a dotted name belongs to."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("path", sources.source_files(), ids=sources.relative)
def test_imports_follow_the_directions_of_the_design(path):
    if sources.PATHS in path.parents:
        return  # it only says where the names of a path are; nothing imports it
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


def _check_order(graph, what):
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"{what} in a ring: " + " <- ".join(error.args[1]))


def _imports_of_ours():
    """Return what each module imports of the package, imports for types and in functions too."""
    return {
        name: {found.target for found in sources.imports(path) if found.target in sources.modules()}
        for name, path in sources.modules().items()
    }


def test_no_module_is_part_of_a_ring():
    _check_order(_imports_of_ours(), "modules")


def _room(name):
    """Return the folder of a module; a file beside folders is a room of its own."""
    path = sources.modules()[name]
    beside_rooms = any((child / "__init__.py").is_file() for child in path.parent.iterdir())
    return sources.place_of(path) if beside_rooms else sources.place_of(path.parent / "__init__.py")


def test_no_room_is_part_of_a_ring():
    graph: dict[str, set[str]] = {}
    for name, targets in _imports_of_ours().items():
        if sources.PATHS not in sources.modules()[name].parents:
            rooms = graph.setdefault(_room(name), set())
            rooms |= {_room(target) for target in targets} - {_room(name)}
    _check_order(graph, "rooms")


@pytest.mark.parametrize("path", sources.source_files(), ids=sources.relative)
def test_nobody_comes_in_by_the_door_of_the_own_house(path):
    name = sources.module_name(path)
    doors = {package for package in stubs.doors() if name.startswith(f"{package}.")}
    if sources.PATHS in path.parents or part_of(name) == "compat":
        return  # these stand outside
    wrong = [found for found in sources.imports(path) if found.target in doors]
    assert not wrong, "import the file that defines the name: the door knows it by its table"


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
