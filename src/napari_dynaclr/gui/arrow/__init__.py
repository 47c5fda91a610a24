"""The time arrow: what a TAP network sees in the movie, and the events it finds in it."""
