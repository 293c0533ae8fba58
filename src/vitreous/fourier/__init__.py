"""Transforms, Fourier crop and shift, polar sampling, central slices."""
