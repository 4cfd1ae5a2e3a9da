"""The digits, their division, and their order."""

import sys

import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors
from ramie.cli.demo.data import Split, batches, load_digits


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return load_digits()


def numbered(n):
    return Split(np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1), np.arange(n, dtype=np.int32))


def test_shapes_and_normalisation(digits):
    assert digits.train.images.shape == (1437, 8, 8, 1) and digits.test.images.shape[0] == 360
    assert digits.train.images.dtype == np.float32 and digits.train.labels.dtype == np.int32
    assert set(digits.test.labels.tolist()) == set(range(10))
    assert abs(float(digits.train.images.mean())) < 0.01
    assert round(float(digits.train.images.std()), 2) == 1.0


def test_no_test_image_is_trained_on(digits):
    def rows(split):
        return {image.tobytes() for image in split.images}

    assert rows(digits.train).isdisjoint(rows(digits.test))


def test_an_epoch_shows_every_image_at_most_once_in_full_batches():
    seen = [batch.labels for batch in batches(numbered(23), 5, seed=1, epoch=1)]
    assert [len(labels) for labels in seen] == [5, 5, 5, 5]
    assert len(set(np.concatenate(seen).tolist())) == 20


def test_images_stay_with_their_labels():
    for batch in batches(numbered(12), 4, seed=1, epoch=1):
        assert_exact(batch.images[:, 0, 0, 0].astype(np.int32), batch.labels)


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return np.concatenate([b.labels for b in batches(numbered(40), 8, seed, epoch)]).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(1, 4)}) == 9


def test_missing_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'ramie\[demo\]'"):
        load_digits()
