"""A language model from end to end: text, model, meshes, checkpoints, processes, samples."""
