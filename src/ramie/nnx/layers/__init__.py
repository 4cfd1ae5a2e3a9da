"""The layers of NNX: modules that make parameters and call one function of `ramie.ops`."""
