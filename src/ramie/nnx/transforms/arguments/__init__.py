"""What passes into a transformation and out of it: models taken apart by prefixes."""
