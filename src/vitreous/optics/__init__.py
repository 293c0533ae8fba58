"""The microscope: CTF, noise spectra, normalisation and the Wiener family."""

from vitreous.optics.ctf import ctf_1d, ctf_2d, ctf_at, electron_wavelength_A
from vitreous.optics.parameters import CTFParameters

__all__ = ["CTFParameters", "ctf_1d", "ctf_2d", "ctf_at", "electron_wavelength_A"]
