"""Functions that hold themselves: what they close over stays until the garbage collector runs."""

import ast

import pytest
from tests.layout import sources

# Functions that live as long as the class into which they are put.
OF_CLASSES = {("src/ramie/nnx/modules/intercept.py", "wrapper")}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def names(node):
    """Return the names that a function reads, its own parameters excepted."""
    arguments = node.args
    own = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return read - own


def inner_functions(node, is_inside=False):
    """List the functions that are made at each call of another, those of methods included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            if is_inside:
                yield child
            yield from inner_functions(child, True)
        else:
            yield from inner_functions(child, is_inside and not isinstance(child, ast.ClassDef))


def holding_themselves(tree):
    """Return the names of inner functions that read their own name, or that of one reading theirs.

    A function that recurs is written at the top of a file, or is given to itself as an argument.
    """
    found = list(inner_functions(tree))
    reads = {f.name: names(f) for f in found}
    return {f.name for f in found if f.name in reads[f.name]} | {
        name for name in reads for other in reads[name] if name in reads.get(other, ())
    }


@pytest.mark.parametrize("path", sources.source_files(), ids=sources.relative)
def test_no_inner_function_holds_itself(path):
    known = {name for file, name in OF_CLASSES if file == sources.relative(path)}
    assert holding_themselves(sources.parse(path)) == known


def test_such_functions_are_found():
    text = "def f(x):\n def visit(y): visit(x)\n def again(y, again): again(x)\n visit(x)"
    assert holding_themselves(ast.parse(text)) == {"visit"}
    text = "def f(x):\n def one(y): two(x)\n def two(y): one(x)\n one(x)"
    assert holding_themselves(ast.parse(text)) == {"one", "two"}
