"""From letters to sounds: an LSTM that reads a word, and one that says it, with attention."""
