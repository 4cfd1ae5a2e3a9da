"""Layers decide how parameters are called and shaped; what is computed is in `ramie.ops`."""

import ast
import importlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import pytest
from tests.layout import sources

FILES = sources.files("src/ramie/linen/layers", "src/ramie/nnx/layers")

COMPUTING = ("jax.numpy", "jax.lax", "jax.nn", "jax.random", "jax.scipy", "jax")

ALLOWED = {
    "jax.numpy.asarray": "gives an input the dtype and shape that a layer looks at",
    "jax.numpy.issubdtype": "asks about a dtype",
    "jax.numpy.array": "a first value",
    "jax.numpy.zeros": "a first value",
    "jax.numpy.ones": "a first value",
    "jax.random.key": "which key serves what, layers decide",
    "jax.random.split": "which key serves what, layers decide",
    "jax.tree.map": "goes over containers",
    "jax.tree_util.tree_map": "goes over containers",
    "jax.tree_util.tree_map_with_path": "goes over containers",
    "jax.tree_util.tree_structure": "compares containers",
    "jax.tree_util.Partial": "settings of a function that the user replaces",
    "jax.sharding.reshard": "says where a result is, not what it is",
}


def _modules(tree: ast.Module) -> dict[str, str]:
    """The names that stand for modules of JAX in a file."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({a.asname or a.name: a.name for a in node.names if a.name in COMPUTING})
        elif isinstance(node, ast.ImportFrom) and node.module == "jax":
            found.update({a.asname or a.name: f"jax.{a.name}" for a in node.names})
    return found


def _full_name(node: ast.AST, modules: dict[str, str]) -> str | None:
    """The dotted name of an attribute of JAX, or None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not parts or not isinstance(node, ast.Name) or node.id not in modules:
        return None
    return ".".join([modules[node.id], *reversed(parts)])


def _is_function(name: str) -> bool:
    """Tell functions from dtypes and other classes, and from modules."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute, None) if module != "jax" else None
    return callable(found) and not isinstance(found, type) and not _is_dtype(found)


def _is_dtype(x: object) -> bool:
    try:
        jnp.dtype(x)
    except TypeError:
        return False
    return True


def _computed(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What a file calls of JAX, or hands to others to call, with lines; and matrix products."""
    modules = _modules(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield node.lineno, "@"
        if isinstance(node, ast.ImportFrom) and node.module in COMPUTING[:-1]:
            yield from ((node.lineno, f"{node.module}.{a.name}") for a in node.names)
        if isinstance(node, ast.Call):
            handed = (*node.args, *(keyword.value for keyword in node.keywords))
            for part in (node.func, *handed):
                name = _full_name(part, modules)
                if name is not None and (part is node.func or _is_function(name)):
                    yield part.lineno, name


@pytest.mark.parametrize("path", FILES, ids=sources.relative)
def test_layers_call_operations_and_compute_nothing_themselves(path):
    found = [
        f"{line}: {name}" for line, name in _computed(sources.parse(path)) if name not in ALLOWED
    ]
    assert not found, "move it to ramie.ops: " + ", ".join(found)


def test_the_search_finds_arithmetic():
    tree = ast.parse(
        "import jax.numpy as jnp\nfrom jax import lax\n"
        "y = lax.add(a, b) @ c\nz = run(jnp.einsum, dtype=jnp.float32)\nw = jnp.asarray(y)"
    )
    found = [name for _, name in _computed(tree)]
    assert sorted(found) == ["@", "jax.lax.add", "jax.numpy.asarray", "jax.numpy.einsum"]


def test_what_is_allowed_exists():
    for name in ALLOWED:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    assert jax.__name__ in COMPUTING
