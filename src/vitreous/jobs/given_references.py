"""Maps that particles are compared with at the start of a job: read, and doubted."""

from pathlib import Path

import numpy as np

from vitreous.jobs.given_maps import read_beside
from vitreous.particles import ParticleSet, Volume
from vitreous.rotations import symmetry_matrices
from vitreous.volumes import high_pass, symmetrise

__all__ = ["read_reference"]

LEAST_FIELD = 0.4  # of the side of the images: a map that is smaller has another pixel size than it says
LEAST_VOXELS = 6  # across the images
HAS_SYMMETRY, DETAIL = 0.5, 4  # correlation with the copies, of what is finer than a quarter of the box


def read_reference(path: Path, particles: ParticleSet, symmetry: str) -> tuple[Volume, list[str], list[str]]:
    """A reference for particles, on any grid, what is said about its grid, and what is doubtful of it.

    Raises ValueError, naming the file, for what is no cube, holds no numbers, or nothing at all.
    """
    volume, said = _read(path, particles)
    notes = said + _on_another_grid(path, volume, particles)
    return volume, notes, [*_of_another_size(path, volume, particles), *_without_symmetry(path, volume, symmetry)]


def _on_another_grid(path: Path, reference: Volume, particles: ParticleSet) -> list[str]:
    box, pixel = particles.box_px, particles.pixel_size_A
    if reference.data.shape == (box,) * 3 and abs(reference.pixel_size_A - pixel) < 1e-3 * pixel:
        return []
    return [
        f"{path} has {' x '.join(str(n) for n in reference.data.shape[::-1])} voxels of {reference.pixel_size_A:g} Å "
        f"and was resampled to the grid of the particles ({box} pixels of {pixel:g} Å) about its centre"
    ]


def _of_another_size(path: Path, reference: Volume, particles: ParticleSet) -> list[str]:
    """Whether the pixel size of a reference is hardly one of these particles."""
    field = min(reference.data.shape) * reference.pixel_size_A
    images = particles.box_px * particles.pixel_size_A
    if field < LEAST_FIELD * images:
        return [
            f"{path} is {field:.0f} Å across and the images are {images:.0f} Å: is its pixel size of "
            f"{reference.pixel_size_A:g} Å right?"
        ]
    if images < LEAST_VOXELS * reference.pixel_size_A:
        return [
            f"{path} has voxels of {reference.pixel_size_A:g} Å, and the images are {images:.0f} Å: it holds no "
            "detail of a particle; is its pixel size right?"
        ]
    return []


def _without_symmetry(path: Path, reference: Volume, symmetry: str) -> list[str]:
    """Whether a reference is far from having the point group that is imposed."""
    if symmetry.upper() == "C1" or len(set(reference.data.shape)) > 1:
        return []
    order = len(symmetry_matrices(symmetry))
    detail = high_pass(reference, reference.box_px * reference.pixel_size_A / DETAIL)
    mean = symmetrise(detail, symmetry)
    with_mean = float(np.corrcoef(detail.data.ravel(), mean.data.ravel())[0, 1])
    agreement = (order * with_mean**2 - 1) / (order - 1)  # of the map with a copy of itself
    if agreement >= HAS_SYMMETRY:
        return []
    return [
        f"{path} does not have the symmetry {symmetry}: its details correlate with its copies' by {agreement:.2f}; "
        "turn it so that its axes are where the group has them, or refine in C1"
    ]


def _read(path: Path, particles: ParticleSet) -> tuple[Volume, list[str]]:
    """A cube with something in it, of images there is no reference; and what is said about its voxel size."""
    volume, said = read_beside(path, particles.box_px, particles.pixel_size_A)
    nz, ny, nx = volume.data.shape
    if len({nz, ny, nx}) > 1:
        raise ValueError(
            f"{path}: {nx} x {ny} x {nz} voxels are no cube; a reference is a cubic map, and a stack of images is none"
        )
    wrong = np.count_nonzero(~np.isfinite(volume.data))
    if wrong:
        raise ValueError(f"{path} holds {wrong} values that are NaN or infinite; a reference is a map of numbers")
    if volume.data.min() == volume.data.max():
        raise ValueError(f"{path} has the same value everywhere: there is nothing in it to refine against")
    return volume, said
