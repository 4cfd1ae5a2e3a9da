"""Taking noise out of a picture, by networks that others trained and saved with Flax."""
