"""Where a training run's numbers go: `metrics.tensorboard`."""
