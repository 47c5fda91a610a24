"""A lineage as a strip of patches."""
