"""The microscope: CTF, noise spectra, normalisation and the Wiener family."""

from vitreous.optics.ctf import ctf_1d, ctf_2d, ctf_at, ctf_weight, electron_wavelength_A
from vitreous.optics.matched_filter import matched_filter
from vitreous.optics.noise import (
    NoiseSums,
    add_noise_images,
    colour_noise,
    empty_noise_sums,
    merge_noise_sums,
    noise_power,
    radial_to_plane,
    whiten,
)
from vitreous.optics.normalise import invert_contrast, normalise_images
from vitreous.optics.parameters import CTFParameters
from vitreous.optics.wiener import phase_flip, ssnr_from_frc, wiener_multi, wiener_single, wiener_ssnr

__all__ = [
    "CTFParameters",
    "NoiseSums",
    "add_noise_images",
    "colour_noise",
    "ctf_1d",
    "ctf_2d",
    "ctf_at",
    "ctf_weight",
    "electron_wavelength_A",
    "empty_noise_sums",
    "invert_contrast",
    "matched_filter",
    "merge_noise_sums",
    "noise_power",
    "normalise_images",
    "phase_flip",
    "radial_to_plane",
    "ssnr_from_frc",
    "whiten",
    "wiener_multi",
    "wiener_single",
    "wiener_ssnr",
]
