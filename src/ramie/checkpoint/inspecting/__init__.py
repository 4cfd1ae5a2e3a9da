"""Looking into checkpoints without changing them: contents, health, differences."""
