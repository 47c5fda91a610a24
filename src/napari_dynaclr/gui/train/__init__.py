"""Training: how it goes, and what came of it."""
