"""Guides name what there is; see `named`."""

import pytest
from tests.layout import named


@pytest.mark.parametrize("room", named.ROOMS)
def test_each_public_name_is_in_a_guide(room):
    missing = named.unnamed(room)
    assert not missing, f"name them in a guide: {missing}"


def test_only_the_whole_name_behind_its_room_counts(monkeypatch):
    page = "`nn.Dense`, xnn.Conv, nn.RNNs\n```\nfrom ramie.nnx import (\n    Linear,\n)\n```"
    monkeypatch.setattr(named, "text", lambda: page)
    named._imported.cache_clear()
    assert "Dense" not in named.unnamed("linen")
    assert {"Conv", "RNN"} <= set(named.unnamed("linen"))
    assert "Linear" not in named.unnamed("nnx") and "Conv" in named.unnamed("nnx")
    named._imported.cache_clear()


def test_functions_count_in_their_module_and_where_models_take_them_from(monkeypatch):
    page = "`linear.dense`, `ops.conv.conv`, `nn.relu`, `nn.normalize`, nnx.make_causal_mask"
    monkeypatch.setattr(named, "text", lambda: page)
    named._imported.cache_clear()
    missing = set(named.unnamed("ops"))
    there = {"linear.dense", "conv.conv", "activations.relu", "attention.make_causal_mask"}
    assert there <= set(named.public("ops")) and not there & missing
    assert {"moments.normalize", "linear.einsum", "activations.silu"} <= missing
    assert len(missing) == len(named.public("ops")) - len(there) - 1  # `activations.normalize`
    named._imported.cache_clear()
