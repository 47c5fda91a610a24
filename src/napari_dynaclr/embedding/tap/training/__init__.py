"""Training of TAP: which of two images comes first (tap.txt, 2 and 3.3)."""
