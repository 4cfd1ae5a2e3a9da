"""`ramie plan`: what a training step needs on devices that need not be there."""
