"""Inner loops, compiled by Numba."""
