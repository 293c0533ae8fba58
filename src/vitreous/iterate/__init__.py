"""One protocol and one driver for every iterative algorithm."""
