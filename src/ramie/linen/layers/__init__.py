"""The layers of Linen: modules that make parameters and call one function of `ramie.ops`."""
