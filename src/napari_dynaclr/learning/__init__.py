"""Learning: what every training of a network shares, whatever the network is for."""
