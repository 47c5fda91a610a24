"""Correcting tracks by hand and eye."""
