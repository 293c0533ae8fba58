"""Averages of known poses simulated from atomic models, as chapter 3 of Joubert (2016) makes them, and their scores.

Every atom is a Gaussian (15 A, Chimera's formula); projections in uniformly random directions are exact sums over the
atoms. The true map is made of the same atoms at the lower resolution at which the thesis compares.
"""

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from vitreous.mixtures import Mixture, project
from vitreous.mixtures.global_rotations import random_rotation_matrices
from vitreous.particles import Volume, write_mrc_stack, write_volume
from vitreous.simulate import Atoms, read_atoms, volume_from_atoms

__all__ = ["DATA", "STRUCTURES", "Scene", "Structure", "atoms_of", "make_scene"]

DATA = Path(os.path.relpath(REPOSITORY.parent / "shared" / "data", REPOSITORY))
IMAGES_AT_A = 15.0
SIGMA_PER_RESOLUTION = 1.0 / (np.pi * 2.0**0.5)
LARGE_SUBUNIT_NUCLEOTIDES = 2500  # in one chain: 23S RNA has 2,900, 16S RNA 1,500


@dataclass(frozen=True, kw_only=True)
class Structure:
    """An atomic model, and how it is shown."""

    file: str
    images: int
    box_px: int
    pixel_size_A: float
    truth_at_A: float
    symmetry: str = "C1"
    exclude_chains: tuple[str, ...] = ()
    two_rings: bool = False  # the file has one ring; the other is its copy by (x, -y, -z) (REMARK 350)
    large_subunit: bool = False  # the file is a whole ribosome, its parts one after the other


STRUCTURES = {
    "Pol II": Structure(
        file="1wcm.pdb.gz", images=25, box_px=50, pixel_size_A=4.0, truth_at_A=20.0, exclude_chains=("D", "G")
    ),
    "50S": Structure(
        file="ribosome70S_variant0.pdb.gz", images=25, box_px=80, pixel_size_A=4.0, truth_at_A=25.0, large_subunit=True
    ),
    "GroEL": Structure(
        file="1oel.pdb.gz", images=13, box_px=64, pixel_size_A=4.24, truth_at_A=20.0, symmetry="D7", two_rings=True
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Files with averages and the true map, and the poses (n, 3, 3) of the averages."""

    averages: Path
    truth: Path
    rotations: np.ndarray


def make_scene(data: Path, name: str, folder: Path, *, seed: int, snr: float | None = None) -> Scene:
    """Simulate a structure's averages in ``folder``; ``snr``: variance of all pixels over that of white noise.

    Raises NotAvailable without the atomic model.
    """
    structure = STRUCTURES[name]
    atoms = atoms_of(data, structure, folder)
    box, pixel = structure.box_px, structure.pixel_size_A
    rng = np.random.default_rng(seed)
    rotations = random_rotation_matrices(structure.images, rng)
    density = Mixture(
        means_A=atoms.positions_A,
        weights=atoms.weights / atoms.weights.sum(),
        precision_per_A2=(SIGMA_PER_RESOLUTION * IMAGES_AT_A) ** -2,
    )
    images = project(density, rotations, box, pixel)
    images /= images.std()
    if snr is not None:
        images = images + rng.standard_normal(images.shape) / np.sqrt(snr)
    scene = Scene(averages=folder / "averages.mrcs", truth=folder / "truth.mrc", rotations=rotations)
    write_mrc_stack(scene.averages, images.astype(np.float32), pixel)
    true = volume_from_atoms(atoms, box, pixel, structure.truth_at_A).numpy()
    write_volume(scene.truth, Volume(data=true, pixel_size_A=pixel))
    return scene


def atoms_of(data: Path, structure: Structure, work: Path) -> Atoms:
    """Its atoms about their centre of mass, the axes of a point group where :mod:`vitreous.rotations` has them."""
    path = REPOSITORY / data / "models" / structure.file
    if not path.is_file():
        raise NotAvailable(f"the atomic models are not at {data / 'models'}; give --data")
    work.mkdir(parents=True, exist_ok=True)
    if structure.large_subunit:
        part = work / "large_subunit.pdb"
        part.write_text(_large_subunit(path))
        path = part
    atoms = read_atoms(path, exclude_chains=structure.exclude_chains)
    positions, weights = atoms.positions_A, atoms.weights
    if structure.two_rings:
        positions = np.concatenate([positions, positions * np.array([1.0, -1.0, -1.0])])
        weights = np.concatenate([weights, weights])
    return Atoms(positions_A=positions - np.average(positions, axis=0, weights=weights), weights=weights)


def _large_subunit(path: Path) -> str:
    """The part of the file (from a HEADER to the next) that has the long RNA; chain names occur in several parts."""
    with gzip.open(path, "rt") as file:
        parts = file.read().split("HEADER")[1:]
    for part in parts:
        text = f"HEADER{part}"
        chains = gemmi.read_pdb_string(text)[0]
        if max(sum("P" in residue for residue in chain) for chain in chains) > LARGE_SUBUNIT_NUCLEOTIDES:
            return text
    raise NotAvailable(f"{path.name} has no chain of more than {LARGE_SUBUNIT_NUCLEOTIDES} nucleotides")
