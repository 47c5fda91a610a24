"""The vocabulary every stage shares; importing it loads neither torch nor napari."""
