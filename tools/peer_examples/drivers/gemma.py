"""The Gemma transformers, in NNX: training, and sampling without a mesh."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from tools.peer_examples.record import Record, calls

FOLDER = "gemma"
NEEDS = (
    "tensorflow_datasets",
    "sentencepiece",
    "clu",
    "grain",
    "orbax.checkpoint",
)
WHAT = (
    "`train_and_evaluate`, 4 layers, packed batches of 4: 6 steps by `jax.jit`, 4 more from the "
    "checkpoint; 6 steps by `nnx.jit` and `nnx.grad`, in graph and in tree mode, what is sown "
    "captured; then 12 tokens by the sampler, without a mesh"
)
SIZES = {
    "num_layers": 4,
    "embed_dim": 32,
    "hidden_dim": 64,
    "num_heads": 4,
    "head_dim": 16,
    "num_kv_heads": 1,
    "use_post_attn_norm": True,
    "use_post_ffw_norm": True,
    "final_logit_softcap": None,
}


class _Sentences:
    """Sentences of made-up words, a new dictionary each time: the example writes into them."""

    def __init__(self, count: int) -> None:
        draw = random.Random(0)
        words = ["".join(draw.choices("abcdefghij", k=draw.randint(2, 7))) for _ in range(40)]
        self.texts = [" ".join(draw.choices(words, k=draw.randint(4, 12))) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> dict[str, str]:
        return {"text": self.texts[index]}


@contextlib.contextmanager
def _watched(record: Record, train: Any) -> Iterator[None]:
    """Note the metrics after each step, all results of evaluation and the model at the end."""
    import jax
    import tensorflow_datasets as tfds
    from flax import nnx

    data = {"train": _Sentences(256), "test": _Sentences(64)}

    def silent(*_: object, **__: object) -> Any:
        """Sample nothing: with its mesh, this program's sampler fails with any library."""
        return SimpleNamespace(text=[""])

    def computed(result: object, _: object) -> None:
        if not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(result)):
            record.step(result)

    with (
        mock.patch.object(tfds, "data_source", lambda name, split: data[str(split)]),
        mock.patch.object(tfds, "split_for_jax_process", lambda split, **_: split),
        mock.patch.object(train.sampler_lib, "Sampler", lambda **_: silent),
        calls(nnx.MultiMetric, "compute", computed),
        calls(train, "evaluate", lambda result, _: record.step(result)),
    ):
        yield


def _config(train: Any, **changed: Any) -> Any:
    from configs import tiny

    return tiny.get_config().replace(
        transformer_params={**SIZES, "attention_types": (1,) * 4},  # as in tiny.py
        vocab_size=48,
        max_corpus_chars=4000,
        per_device_batch_size=4,
        eval_per_device_batch_size=4,
        prefetch_num_workers=0,
        num_train_steps=6,
        num_eval_steps=2,
        warmup_steps=3,
        max_target_length=32,
        max_eval_target_length=48,
        use_bfloat16=False,
        **changed,
    )


def _sample(record: Record, workdir: Path) -> None:
    import modules
    import sampler
    import tokenizer
    import transformer
    from flax import nnx

    vocabulary = tokenizer.load_sentencepiece_processor(str(workdir / "sentencepiece_model"))
    sizes = {**SIZES, "num_embed": vocabulary.vocab_size()}
    kinds = (modules.AttentionType.GLOBAL, modules.AttentionType.LOCAL_SLIDING)
    config = transformer.TransformerConfig.from_dict(
        **sizes, attention_types=kinds * 2, sliding_window_size=8
    )
    model = transformer.Transformer(config, rngs=nnx.Rngs(0))
    record.parameters(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    drawing = sampler.Sampler(vocab=vocabulary, cache_size=64, transformer=model)
    for options in ({}, {"temperature": 1.0, "top_p": 0.9}):
        result = drawing(["abc de", "fgh"], total_generation_steps=12, **options)
        record.step({"logits": result.logits, "tokens": result.tokens})


def run(record: Record, workdir: Path) -> None:
    """Train in each way, then sample."""
    import flax
    import train

    with _watched(record, train):
        train.train_and_evaluate(_config(train), str(workdir / "jax"))
        more = _config(train).replace(num_train_steps=10)
        train.train_and_evaluate(more, str(workdir / "jax"))
        sown = {"rs_after_attention": True, "attn_logits_topk": 3, "mlp_hidden_topk": 3}
        for tree in (False, True):
            config = _config(
                train, use_nnx_transforms="all", use_nnx_tree_mode=tree, sow_config=sown
            )
            train.train_and_evaluate(config, str(workdir / f"nnx_{tree}"))
        flax.config.update("nnx_graph_mode", True)
    _sample(record, workdir / "jax")
