"""CELLECT: cells found, told apart and linked by what a network sees of two frames."""
