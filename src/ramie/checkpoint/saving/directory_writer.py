"""Saving directories: Orbax writes, and what it wrote is synced, checked and put into its place.

Orbax alone deletes what it overwrites before it writes, counts unfinished directories when it
removes old ones, syncs nothing, and loses what is under way when the program ends. So it writes
into a staging directory here, and the rest is done as for files. The exception is a background
checkpointer of the user's own, who waits for it and not for us: it writes to the final name, which
Orbax gives by a rename, and the rest is done when it is waited for, at the latest at the end.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import jax

from ramie.checkpoint import multiprocess
from ramie.checkpoint.formats import orbax_saving
from ramie.checkpoint.saving import background, planning
from ramie.checkpoint.saving.planning import Plan
from ramie.checkpoint.storage import commit, folders
from ramie.checkpoint.storage import entries as storage

__all__ = ["save_planned", "save_tree", "wait_for"]

_FAILED = "failed"


def save_planned(
    plan: Plan, target: Any, manager: background.AsyncManager | None, checkpointer: Any
) -> str:
    """Save a tree as planned, then remove what it replaces and what has expired.

    All processes of a job call this together. With a checkpointer that works in the background it
    returns when the values are copied, unless something of this name has to be replaced.

    Args:
      plan: what to do.
      target: the tree.
      manager: saves in the background, or None.
      checkpointer: the user's, or None.

    Returns:
      The path of the checkpoint.
    """
    if manager is not None:
        manager.wait_previous_save()
    wait_for(checkpointer)
    tree = orbax_saving.prepare(target)
    multiprocess.done_by_first(lambda: planning.check(plan, as_directory=True))
    if manager is not None:
        manager.save_async(_begin(planning.lasting(plan), tree, checkpointer, background=True))
        return plan.path
    if checkpointer is not None and orbax_saving.is_background(checkpointer):
        there = multiprocess.decided_by_first(lambda: storage.kind_of(plan.path))
        if there == "absent":
            _FOLLOWED.start(planning.lasting(plan), tree, checkpointer)
            return plan.path
    return _begin(plan, tree, checkpointer, background=False)()


def _begin(plan: Plan, tree: Any, checkpointer: Any, *, background: bool) -> Callable[[], str]:
    """Start a save.

    Args:
      plan: what to do.
      tree: what `orbax_saving.prepare` returned.
      checkpointer: the user's, or None.
      background: go on when the values are copied.

    Returns:
      A function that finishes the save, and returns the path of the checkpoint.
    """
    stack = contextlib.ExitStack()

    def hold() -> str:
        storage.make_directory(plan.folder)
        return os.path.basename(stack.enter_context(commit.staging_directory(plan.folder)))

    try:
        holder = os.path.join(plan.folder, multiprocess.decided_by_first(hold))
        staged = os.path.join(holder, os.path.basename(plan.path))
        notes = [os.path.join(holder, f"note_{each}") for each in range(jax.process_count())]
        wait = orbax_saving.start(staged, tree, checkpointer, background=background)
    except BaseException:
        stack.close()
        raise

    def finish() -> str:
        with stack:
            failure: BaseException | None = None
            try:
                wait()
                number, _ = multiprocess.share()
                folders.note(notes[number], folders.settle(staged, multiprocess.share()))
            except BaseException as error:  # the others wait for us
                failure = error
            multiprocess.meet()
            try:
                if multiprocess.is_first() and failure is None:
                    if not all(map(os.path.isfile, notes)):
                        raise RuntimeError(multiprocess.ELSEWHERE)
                    _commit(plan, staged, folders.join_notes(notes))
            except BaseException as error:
                failure = error
            if failure is not None:
                with contextlib.suppress(OSError):
                    os.mkdir(os.path.join(holder, _FAILED))
            multiprocess.meet()
            failed = os.path.isdir(os.path.join(holder, _FAILED))
            multiprocess.meet()  # nobody looks at the staging directory any more
        if failure is not None:
            raise failure
        if failed:
            raise RuntimeError(multiprocess.ELSEWHERE)
        return plan.path

    return finish


def _commit(plan: Plan, staged: str, record: folders.FolderRecord) -> None:
    with commit.staging(plan.folder) as sheet, commit.directory_lock(plan.folder):
        doomed = planning.replaced(plan)  # another writer may have committed meanwhile
        folders.publish(staged, sheet, plan.path, record)
        planning.remove(plan, doomed)


def save_tree(path: str, tree: Any) -> None:
    """Save a prepared tree as one directory, replacing what is there; not one of a series."""
    folder = os.path.dirname(path)
    storage.make_directory(folder)
    with commit.staging_directory(folder) as holder:
        staged = os.path.join(holder, os.path.basename(path))
        orbax_saving.start(staged, tree, None, background=False)()
        record = folders.settle(staged)
        with commit.staging(folder) as sheet, commit.directory_lock(folder):
            folders.publish(staged, sheet, path, record)


# --- background checkpointers of users ------------------------------------------------------------


def wait_for(checkpointer: Any) -> None:
    """Wait for what a checkpointer saves in the background, if it does, and raise what went wrong.

    What was saved by us is finished then, durable, and the old checkpoints are gone.
    """
    if checkpointer is not None and orbax_saving.is_background(checkpointer):
        checkpointer.wait_until_finished()


class _Followed:
    """Saves by background checkpointers of users, which are not finished yet.

    The `wait_until_finished` of such a checkpointer is replaced by one that finishes our part too.
    Orbax itself calls it before the next save, a restore and closing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[int, Callable[[], None]] = {}
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        background.before_exit(self.finish)

    def start(self, plan: Plan, tree: Any, checkpointer: Any) -> None:
        """Let a checkpointer save under the final name, and finish when it is waited for."""
        if multiprocess.is_first():
            storage.make_directory(plan.folder)
        self._attach(checkpointer)
        wait = orbax_saving.start(plan.path, tree, checkpointer, background=True)

        def complete() -> None:
            wait()
            _complete(plan)

        with self._lock:
            self._pending[id(checkpointer)] = complete

    def _attach(self, checkpointer: Any) -> None:
        if checkpointer in self._known:
            return
        wait = type(checkpointer).wait_until_finished
        reference = weakref.ref(checkpointer)  # of itself: no cycle

        def wait_until_finished() -> None:
            alive = reference()
            with self._lock:
                complete = self._pending.pop(id(alive), None)
            wait(alive)
            if complete is not None:
                complete()

        checkpointer.wait_until_finished = wait_until_finished
        self._known.add(checkpointer)

    def finish(self) -> None:
        """Finish all saves that are pending."""
        with self._lock:
            pending, self._pending = list(self._pending.values()), {}
        failures = []
        for complete in pending:
            try:
                complete()
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0] if len(failures) == 1 else ExceptionGroup("checkpoints", failures)


_FOLLOWED = _Followed()


def _complete(plan: Plan) -> None:
    """Do for a directory that Orbax has renamed itself what is left to do."""
    if jax.process_index() != 0 or storage.kind_of(plan.path) != "directory":
        return
    record = folders.settle(plan.path)
    with commit.staging(plan.folder) as sheet, commit.directory_lock(plan.folder):
        folders.describe(plan.path, sheet, record)
        doomed = [other for other in planning.later(plan) if other.path != plan.path]
        planning.remove(plan, doomed)
