"""The microscope: CTF, noise spectra, normalisation and the Wiener family."""

from vitreous.optics.parameters import CTFParameters

__all__ = ["CTFParameters"]
