"""Open a dataset, see its plate."""
