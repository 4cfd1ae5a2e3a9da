"""Hostile bytes: one class of error, with a path, and memory bounded by the size of the input."""

import random
import struct
import tracemalloc

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie import serialization
from ramie.errors import MalformedDataError

MARKER = "__msgpack_chunked_array__"
KEY = "__ramie_prng_key__"


def ext(code, *parts):
    return msgpack.packb(msgpack.ExtType(code, msgpack.packb(list(parts))))


def array(shape, dtype="float32", data=b"\0" * 8, code=1):
    return ext(code, shape, dtype, data)


def chunked(**changes):
    items = {
        MARKER: True,
        "shape": {"0": 4},
        "chunks": {"0": np.zeros(2), "1": np.zeros(2)},
        **changes,
    }
    return serialization.msgpack_serialize(items, in_place=True)


def key(words, name="threefry2x32", **more):
    return serialization.msgpack_serialize({KEY: name, "words": words, **more})


HOSTILE = {
    "nothing": (b"", "1 bytes should follow"),
    "more after the end": (b"\x80\x80", "1 bytes follow"),
    "cut string": (b"\x81\xa5ab", "5 bytes should follow"),
    "cut number": (b"\xcb\0\0", "8 bytes should follow"),
    "reserved byte": (b"\xc1", "0xc1 starts no"),
    "huge list": (b"\xdd\xff\xff\xff\xff", "4294967295 entries"),
    "huge dict": (b"\xdf\xff\xff\xff\xff", "4294967295 entries"),
    "list longer than the rest": (b"\x92\x01", "claims 2 entries"),
    "huge bytes": (b"\xc6\xff\xff\xff\xff", "4294967295 bytes should follow"),
    "huge string": (b"\xdb\x7f\xff\xff\xff", "2147483647 bytes should follow"),
    "huge extension": (b"\xc9\xff\xff\xff\xff\x01", "4294967295 bytes should follow"),
    "bad text": (b"\xa2\xff\xfe", "UTF-8"),
    "bad text in a key": (b"\x81\xa2\xff\xfe\x01", "UTF-8"),
    "key twice": (b"\x82\xa1a\x01\xa1a\x02", "'a' occurs twice"),
    "key twice as int and bool": (b"\x82\x01\x01\xc3\x02", "'True' occurs twice"),
    "key that is no number": (b"\x81" + msgpack.packb(float("nan")) + b"\x01", "twice"),
    "list as a key": (b"\x81\x90\x01", "key is a container"),
    "array as a key": (b"\x81" + array([2]) + b"\x01", "key is a container or an extension"),
    "unknown extension": (msgpack.packb(msgpack.ExtType(5, b"abc")), "type 5 is unknown"),
    "timestamp": (msgpack.packb(msgpack.Timestamp(1, 2)), "type 255 is unknown"),
    "empty array": (msgpack.packb(msgpack.ExtType(1, b"")), "should follow"),
    "array of two parts": (ext(1, [2], "float32"), "shape, dtype and data"),
    "array of four parts": (ext(1, [2], "float32", b"\0" * 8, 1), "shape, dtype and data"),
    "array that is a number": (msgpack.packb(msgpack.ExtType(1, b"\x01")), "missing"),
    "negative size": (array([-1]), r"shape \[-1\]"),
    "two negative sizes": (array([-1, -2]), r"shape \[-1, -2\]"),
    "size that is true": (array([True, 2]), "shape"),
    "size that is a fraction": (array([2.0]), "shape"),
    "size that is text": (array(["2"]), "missing"),
    "overflowing sizes": (array([2**33, 2**33]), "shape"),
    "overflow hidden by a zero": (array([2**61, 2**61, 0], data=b""), "shape"),
    "huge sizes": (array([2**60, 0], data=b""), "shape"),
    "huge axis": (array([2**64 - 1]), "shape"),
    "many dimensions": (array([1] * 65, data=b"\0" * 4), "65 dimensions"),
    "shape that is a number": (array(2), "shape is missing"),
    "too little data": (array([4]), "16 bytes comes with 8"),
    "too much data": (array([1]), "4 bytes comes with 8"),
    "text as data": (array([2], data="aaaaaaaa"), "data of an array is missing"),
    "objects": (array([1], "object"), "no array dtype called 'object'"),
    "objects by letter": (array([1], "O"), "no array dtype"),
    "structures": (array([1], "f4,f4"), "no array dtype"),
    "structures by type": (array([1], "(2,)f4"), "no array dtype"),
    "huge structure": (array([1], "(999999999,)f8"), "no array dtype"),
    "dtype of an old letter": (array([1], "a4", b"\0" * 4), "no array dtype called 'a4'"),
    "unknown dtype": (array([1], "floaty"), "no array dtype called 'floaty'"),
    "dtype that is code": (array([1], "__import__('os')"), "no array dtype"),
    "long dtype": (array([1], "f" * 1000), "dtype of an array is not a name"),
    "dtype that is a number": (array([1], 4), "dtype of an array is not a name"),
    "dtype without bytes": (array([1], "str", b""), "no array dtype"),
    "dtype of odd text": (array([1], "str33", b"\0" * 5), "no array dtype"),
    "dtype of huge text": (array([1], "bytes80000000000", b""), "no array dtype"),
    "boolean that is neither": (array([1], "bool", b"\x02"), "other than 0 and 1"),
    "scalar with a shape": (array([2], code=3), "numpy scalar has the shape"),
    "complex of three": (ext(2, 1.0, 2.0, 3.0), "two parts"),
    "complex of text": (ext(2, "a", "b"), "real part is missing"),
    "complex of truths": (ext(2, True, False), "no number"),
    "chunks without shape": (chunked(shape=None), "shape and numbered chunks"),
    "chunks without chunks": (chunked(chunks={}), "shape and numbered chunks"),
    "chunks that are said to be none": (chunked(**{MARKER: False}), "mark of a chunked array"),
    "chunks marked by a number": (chunked(**{MARKER: 1}), "not true: 1"),
    "chunks marked by a list": (chunked(**{MARKER: [0] * 99}), "not true"),
    "chunks with more": (chunked(more=1), "shape and numbered chunks"),
    "chunks in lists": (chunked(shape=[4]), "shape and numbered chunks"),
    "chunk missing": (chunked(chunks={"0": np.zeros(2), "2": np.zeros(2)}), "numbered chunks"),
    "chunk of other dtype": (
        chunked(chunks={"0": np.zeros(2), "1": np.zeros(2, np.int64)}),
        "differ in dtype",
    ),
    "chunk that is flat no more": (chunked(chunks={"0": np.zeros((2, 2))}), "not flat"),
    "chunk that is a number": (chunked(chunks={"0": 1, "1": 2}), "chunk is not an array"),
    "chunks too few": (chunked(shape={"0": 5}), "40 bytes comes with 32"),
    "chunks of negative shape": (chunked(shape={"0": -1}), r"shape \[-1\]"),
    "key of unknown generator": (key(np.zeros(2, np.uint32), "mersenne"), "mersenne"),
    "key of wrong words": (key(np.zeros(3, np.uint32)), r"shape \(3,\)"),
    "key of wrong dtype": (key(np.zeros(2, np.int32)), "uint32"),
    "key without words": (key(None), "name and words"),
    "key with more": (key(np.zeros(2, np.uint32), more=1), "name and words"),
    "key with a number for a name": (key(np.zeros(2, np.uint32), 7), "name and words"),
}


@pytest.mark.parametrize("encoded, message", HOSTILE.values(), ids=HOSTILE)
def test_each_trick_is_refused_by_name(encoded, message):
    with pytest.raises(MalformedDataError, match=message):
        serialization.msgpack_restore(encoded)


def test_the_path_is_named():
    outer = b"\x81\xa6params\x92\xc0\x81\xa6kernel" + array([3])
    with pytest.raises(MalformedDataError, match=r"at path \./params/1/kernel, byte \d+") as caught:
        serialization.msgpack_restore(outer)
    assert caught.value.path == "./params/1/kernel"
    assert caught.value.offset == len(outer) - 8


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\xdc\x00\x01", b"\x81\x00"])
def test_deep_nesting_is_refused(opening):
    for depth in (1001, 10**5):
        with pytest.raises(MalformedDataError, match="1000 levels") as caught:
            serialization.msgpack_restore(opening * depth + b"\xc0")
        assert len(str(caught.value)) < 600


def test_lengths_take_no_memory_before_they_are_checked():
    claims = [encoded for name, (encoded, _) in HOSTILE.items() if "huge" in name]
    claims.append(b"\x81\xa1a" + struct.pack(">BIB", 0xC9, 2**31, 1) + array([2**28])[3:])
    for encoded in claims:
        tracemalloc.start()
        with pytest.raises(MalformedDataError):
            serialization.msgpack_restore(encoded)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 200_000


def valid_bytes():
    tree = {
        "params": {
            "kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
            "flag": np.ones(3, bool),
        },
        "step": 3,
        "list": [1.5, None, "text", b"raw", 2 + 1j, np.float16(2)],
        MARKER[2:]: {"0": [[]]},
    }
    return serialization.to_bytes(tree)


def restore_or_refuse(encoded):
    try:
        serialization.msgpack_restore(encoded)
    except MalformedDataError as error:
        assert str(error).startswith("Cannot read the serialized data: ")


def test_every_truncation_is_refused():
    encoded = valid_bytes()
    for length in range(len(encoded)):
        with pytest.raises(MalformedDataError):
            serialization.msgpack_restore(encoded[:length])


def test_every_flipped_bit_gives_a_tree_or_the_one_error():
    encoded = valid_bytes()
    for position in range(8 * len(encoded)):
        damaged = bytearray(encoded)
        damaged[position // 8] ^= 1 << position % 8
        restore_or_refuse(bytes(damaged))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_tree_or_the_one_error(encoded):
    restore_or_refuse(encoded)


def test_mutated_files_give_a_tree_or_the_one_error():
    sources = [valid_bytes(), *(encoded for encoded, _ in HOSTILE.values())]
    generator = random.Random(0)
    for _ in range(4000):
        mutated = bytearray(generator.choice(sources))
        for _ in range(generator.randint(1, 4)):
            start = generator.randrange(len(mutated) + 1)
            stop = min(len(mutated), start + generator.randint(0, 6))
            other = generator.choice(sources)
            begin = generator.randrange(len(other) + 1)
            mutated[start:stop] = other[begin : begin + generator.randint(0, 12)]
        restore_or_refuse(bytes(mutated))


def test_restoring_into_a_target_never_leaks_an_odd_error():
    targets = [{"a": [1, 2]}, [1], (1, (2,)), {"a": {"b": np.zeros(2)}}]
    states = [None, 3, [], {}, {"a": None}, {"a": {"0": 1}}, {"0": {}, "1": {}}, {"a": {"b": {}}}]
    for target in targets:
        for state in states:
            try:
                serialization.from_bytes(target, serialization.msgpack_serialize(state))
            except ValueError as error:
                assert "at path ." in str(error)
