"""Training an encoder by contrast: pairs, losses, augmentation (dynaclr.txt, 3.1 and A.2)."""
