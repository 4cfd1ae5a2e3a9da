"""Identities: unique, hashable, renewed by copying."""

import copy
import pickle
import threading

from ramie import ids


def test_identities_differ_and_hash():
    a, b = ids.uuid(), ids.uuid()
    assert a == a and a != b
    assert len({a, b, a}) == 2
    assert a != a.id
    assert repr(ids.FlaxId(3)) == "FlaxId(3)"
    assert ids.FlaxId(3) == ids.FlaxId(3)


def test_copies_are_others_and_pickles_are_the_same():
    a = ids.uuid()
    assert copy.copy(a) != a
    assert copy.deepcopy({"a": a})["a"] != a
    assert pickle.loads(pickle.dumps(a)) == a


def test_threads_never_get_the_same_identity():
    manager = ids.UUIDManager()
    found: list[ids.FlaxId] = []
    threads = [
        threading.Thread(target=lambda: found.extend([manager() for _ in range(2000)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == len(found) == 8000
