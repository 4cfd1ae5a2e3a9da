"""Translation: a transformer with encoder and decoder, English to German, in packed batches."""
