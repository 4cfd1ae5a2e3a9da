"""Parts of Linen whose interface may still change."""
