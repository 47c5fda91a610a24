"""Charts: scores and curves."""
