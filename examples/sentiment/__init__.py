"""Sentiment: an LSTM that reads a review, and tells whether its writer was content."""
