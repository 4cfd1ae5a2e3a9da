"""`ramie ckpt`: look at checkpoints, compare, convert and remove them."""
