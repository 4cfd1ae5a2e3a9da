"""Runs pages of documentation, one after the other, each in a fresh copy of this process.

Importing JAX takes longer than most pages do. So this program imports it once, without starting
it, and forks for each page: nothing that a page sets, imports or compiles is seen by the next.

A request is a line of JSON on standard input: the page, its blocks as pairs (line, source), the
folder to work in, and the file for the results. A line with the exit code on standard output says
that the page is done; the results are then, per block, what it printed and, by line, the value of
each expression.
"""

import ast
import contextlib
import io
import json
import os
import re
import sys
import traceback
import types

import jax
import optax

import ramie.linen
from ramie.training import train_state

PRELOADED = (jax, optax, ramie.linen, train_state)


RAISES = re.compile(r"#\s*raises (\w+)")


def run_to_an_error(statement, page, namespace, name):
    """Run a statement that raises an error of a class, and print the error as a traceback does."""
    try:
        exec(compile(ast.Module([statement], []), page, "exec"), namespace)
    except Exception as error:
        if type(error).__name__ != name:
            raise
        print(f"{name}: {error}")
    else:
        raise AssertionError(f"{page}, line {statement.end_lineno}: raises no {name}")


def run_block(source, line, page, namespace):
    """Run one block; return its output and what its expressions amount to, by last line."""
    values = {}
    lines = ("\n" * line + source).splitlines()
    tree = ast.parse("\n".join(lines), page)
    with contextlib.redirect_stdout(io.StringIO()) as captured:
        for statement in tree.body:
            before = captured.tell()
            raises = RAISES.search(lines[statement.end_lineno - 1])
            if raises:
                run_to_an_error(statement, page, namespace, raises[1])
            elif isinstance(statement, ast.Expr):
                value = eval(compile(ast.Expression(statement.value), page, "eval"), namespace)
                shown = captured.getvalue()[before:] if value is None else repr(value)
                values[statement.end_lineno] = shown
            else:
                exec(compile(ast.Module([statement], []), page, "exec"), namespace)
    return captured.getvalue(), values


def run_page(page, blocks, folder, results):
    """Run the blocks of a page in one namespace, in a folder of its own."""
    log = os.open(results + ".log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    program = sys.modules["__main__"] = types.ModuleType("__main__")
    shown = [run_block(source, line, page, vars(program)) for line, source in blocks]
    with open(results, "w", encoding="utf-8") as file:
        json.dump(shown, file)


def serve():
    """Fork for each request until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for request in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                run_page(**json.loads(request))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers)


serve()
