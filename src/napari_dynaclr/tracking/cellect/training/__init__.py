"""Training of CELLECT from the centre points of tracks."""
