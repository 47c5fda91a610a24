"""Correction: what people put right in tracks, as an overlay that can be taken back."""
