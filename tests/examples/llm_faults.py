"""Runs of the language model that something ends, in the process itself and at a known step."""

import os
import signal

import jax
from examples.llm import running


def train(folder, settings, mesh, every):
    """Train to the end."""
    return running.train(folder, settings, mesh, every, quiet=True)


def _at(step, act):
    add = running.Log.add

    def acting(self, number, **values):
        add(self, number, **values)
        if number == step:
            act()

    running.Log.add = acting


def die(folder, settings, mesh, every, index, step):
    """Train until one process is killed; the others wait for it and are ended."""
    if jax.process_index() == index:
        _at(step, lambda: os.kill(os.getpid(), signal.SIGKILL))
    return train(folder, settings, mesh, every)


def be_told(folder, settings, mesh, every, step):
    """Train until every process gets the signal of a machine that is to be taken away."""
    _at(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
    return train(folder, settings, mesh, every)


def interrupted_at(step):
    """Return a `Log.add` that ends the run after one step, as Ctrl-C does."""
    add = running.Log.add

    def adding(self, number, **values):
        add(self, number, **values)
        if number == step:
            raise KeyboardInterrupt

    return adding
