"""Rotations: sampling, Euler angles, distances."""
