"""Particles with known truth."""

from vitreous.simulate.atoms import Atoms, gaussian_density, read_atoms, volume_from_atoms
from vitreous.simulate.particles import clean_images, coloured_noise_power, signal_variance, simulate_batches
from vitreous.simulate.phantom import PHANTOMS, phantom, phantom_diameter_A
from vitreous.simulate.settings import JUNK_KINDS, SimulateSettings
from vitreous.simulate.sources import load_volumes, resample_volume

__all__ = [
    "JUNK_KINDS",
    "PHANTOMS",
    "Atoms",
    "SimulateSettings",
    "clean_images",
    "coloured_noise_power",
    "gaussian_density",
    "load_volumes",
    "phantom",
    "phantom_diameter_A",
    "read_atoms",
    "resample_volume",
    "signal_variance",
    "simulate_batches",
    "volume_from_atoms",
]
