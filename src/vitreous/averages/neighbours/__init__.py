"""Nearest neighbours of noisy images: features, affinities, vector diffusion, and chains of them."""
