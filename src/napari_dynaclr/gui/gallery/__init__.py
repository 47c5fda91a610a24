"""Patches side by side, labelled by keys."""
