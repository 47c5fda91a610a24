"""TAP: dense features of single images, learned by telling the arrow of time (tap.txt)."""
