"""Guides name what there is; see `named`."""

import pytest
from tests.layout import named

# How many names no guide names today. Nobody may add to it.
MOST = {"linen": 60, "nnx": 133, "checkpoint": 33, "training": 12}


@pytest.mark.parametrize("room", named.ROOMS)
def test_no_new_name_is_left_out_of_the_guides(room):
    missing = named.unnamed(room)
    assert len(missing) <= MOST[room], f"name them in a guide: {missing}"


def test_only_the_whole_name_behind_its_room_counts(monkeypatch):
    page = "`nn.Dense`, xnn.Conv, nn.RNNs\n```\nfrom ramie.nnx import (\n    Linear,\n)\n```"
    monkeypatch.setattr(named, "text", lambda: page)
    named._imported.cache_clear()
    assert "Dense" not in named.unnamed("linen")
    assert {"Conv", "RNN"} <= set(named.unnamed("linen"))
    assert "Linear" not in named.unnamed("nnx") and "Conv" in named.unnamed("nnx")
    named._imported.cache_clear()
