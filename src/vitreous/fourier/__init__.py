"""Transforms, Fourier crop and shift, steerable basis, central slices."""

from vitreous.fourier.fourier_bessel import FourierBessel, mirror_coefficients, radial_blocks, rotate_coefficients
from vitreous.fourier.interpolation import insert_points, slice_points
from vitreous.fourier.slices import central_slices, empty_volume_ft, insert_slices, prepare_volume
from vitreous.fourier.transforms import (
    centred_irfft2,
    centred_rfft2,
    fourier_crop,
    fourier_pad,
    frequency_grid_rfft2,
    frequency_xy_rfft2,
    resize_images,
    rfft2_multiplicity,
    shell_index_rfft2,
    shell_sums,
    shift_phase,
)

__all__ = [
    "FourierBessel",
    "central_slices",
    "centred_irfft2",
    "centred_rfft2",
    "empty_volume_ft",
    "fourier_crop",
    "fourier_pad",
    "frequency_grid_rfft2",
    "frequency_xy_rfft2",
    "insert_points",
    "insert_slices",
    "mirror_coefficients",
    "prepare_volume",
    "radial_blocks",
    "resize_images",
    "rfft2_multiplicity",
    "rotate_coefficients",
    "shell_index_rfft2",
    "shell_sums",
    "shift_phase",
    "slice_points",
]
