"""A variational autoencoder of handwritten digits: train, measure, draw."""
