"""Objects that are pytrees: which attributes are data, and how classes say so."""
