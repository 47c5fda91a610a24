"""Tracks in the files of other tools: reading and writing them, one format a module."""
