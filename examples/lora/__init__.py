"""Adapters: the language model of `examples.llm` learns another text by a few numbers beside it."""
