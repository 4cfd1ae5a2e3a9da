"""The demo as it comes out of the box: the same results on every version of JAX that is tested."""

import pytest

from ramie.cli import demo
from ramie.cli.demo.settings import Settings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


# Of 360 images that were never trained on. One more or less is left to the processor.
ONE_IMAGE = 1 / 360


@pytest.mark.parametrize(("api", "accuracy"), [("linen", 357 / 360), ("nnx", 358 / 360)])
def test_defaults_recognise_all_but_a_few_images(api, accuracy, tmp_path):
    results = demo.run(Settings(workdir=tmp_path, api=api))
    history = results.progress.history
    assert abs(history.test_accuracy[-1] - accuracy) < 1.5 * ONE_IMAGE
    assert len(history) == 15 and history.train_loss[-1] < history.train_loss[0]
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert (tmp_path / "predictions.png").stat().st_size > 10_000
