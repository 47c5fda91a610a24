"""Annotate: states by click and key."""
