"""Steps: methods run by form, with progress."""
