"""Classify: train, score, predict."""
