"""A plot of a million points, drawn by the graphics card."""
