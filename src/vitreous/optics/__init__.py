"""The microscope: CTF, noise spectra, normalisation and the Wiener family."""
