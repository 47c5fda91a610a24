"""Virtual staining: run it, and look at what the network sees."""
