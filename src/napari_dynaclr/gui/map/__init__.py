"""The linked map: cells by their embedding."""
