"""What does this machine do? Figures that `make bench` prints."""
