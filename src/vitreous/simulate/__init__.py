"""Particles with known truth."""

from vitreous.simulate.atoms import Atoms, gaussian_density, read_atoms, volume_from_atoms
from vitreous.simulate.drawings import (
    FACE_FEATURES,
    FACES,
    RING_PARTS,
    face_images,
    ring_images,
    with_white_noise,
)
from vitreous.simulate.example import EXAMPLES, example
from vitreous.simulate.particles import clean_images, coloured_noise_power, signal_variance, simulate_batches
from vitreous.simulate.phantom import PHANTOMS, phantom, phantom_diameter_A
from vitreous.simulate.settings import JUNK_KINDS, SimulateSettings
from vitreous.simulate.sources import load_volumes, resample_volume

__all__ = [
    "EXAMPLES",
    "FACES",
    "FACE_FEATURES",
    "JUNK_KINDS",
    "PHANTOMS",
    "RING_PARTS",
    "Atoms",
    "SimulateSettings",
    "clean_images",
    "coloured_noise_power",
    "example",
    "face_images",
    "gaussian_density",
    "load_volumes",
    "phantom",
    "phantom_diameter_A",
    "read_atoms",
    "resample_volume",
    "ring_images",
    "signal_variance",
    "simulate_batches",
    "volume_from_atoms",
    "with_white_noise",
]
