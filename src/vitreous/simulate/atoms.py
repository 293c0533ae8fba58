"""Density from atoms: PDB and mmCIF files (also gzipped) and lists of Gaussians."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
import torch

__all__ = ["Atoms", "gaussian_density", "read_atoms", "volume_from_atoms"]

_SIGMA_PER_RESOLUTION = 1.0 / (np.pi * 2.0**0.5)  # the Gaussian whose transform falls to 1/e at 1 / resolution
_REACH = 4.0  # Gaussians are cut at this many sigma
_CHUNK_VALUES = 2**21
_MOST_BYTES = 1 << 30  # of a compressed model, when it is unpacked


@dataclass(frozen=True, kw_only=True)
class Atoms:
    """Point scatterers of a model."""

    positions_A: np.ndarray  # (m, 3) float64 x, y, z
    weights: np.ndarray  # (m,) float64


def read_atoms(path: str | Path, *, exclude_chains: tuple[str, ...] = ()) -> Atoms:
    """Heavy atoms of the first model of a PDB or mmCIF file, weighted by atomic number times occupancy.

    Waters and hydrogens are left out, and the chains named. Raises FileNotFoundError, and ValueError when the file
    cannot be read as a structure or holds no atoms.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected an atomic model (.pdb, .cif, also .gz).")
    try:
        _check_size(path)
        structure = gemmi.read_structure(str(path))
        structure.remove_hydrogens()
        structure.remove_waters()
        found = [  # names of chains are decoded here, and may be no text
            (*site.atom.pos.tolist(), site.atom.element.atomic_number * site.atom.occ)
            for model in list(structure)[:1]
            for site in model.all()
            if site.chain.name not in exclude_chains
        ]
    except (RuntimeError, ValueError, UnicodeDecodeError, IndexError, EOFError, OSError, zlib.error) as error:
        words = " ".join(str(error).split()).removesuffix(".")
        raise ValueError(f"{path}: cannot be read as PDB or mmCIF ({words}).") from error
    if not found:
        raise ValueError(f"{path}: holds no atoms besides water and hydrogen; is it the right file?")
    table = np.array(found, dtype=np.float64)
    return Atoms(positions_A=table[:, :3], weights=table[:, 3])


def _check_size(path: Path) -> None:
    """Refuse an empty file, and a compressed one that would fill the memory: it may hold any number of blanks."""
    if path.stat().st_size == 0:
        raise ValueError("the file is empty")
    if path.suffix.lower() != ".gz":
        return
    size = 0
    with gzip.open(path) as file:
        while block := file.read(1 << 20):
            size += len(block)
            if size > _MOST_BYTES:
                raise ValueError(f"it expands to more than {_MOST_BYTES:,} bytes; expected a model")


def volume_from_atoms(atoms: Atoms, n: int, pixel_size_A: float, resolution_A: float) -> torch.Tensor:
    """Density of a model at a resolution, its centre of mass at the centre of the box: float32 (n, n, n).

    Every atom is a Gaussian of sigma = resolution / (pi sqrt 2), never narrower than 0.6 pixels. Atoms outside the
    box are lost. Raises ValueError when the resolution is not positive.
    """
    if not resolution_A > 0:
        raise ValueError(f"the resolution of a simulated density must be positive, found {resolution_A:g} A")
    centre = np.average(atoms.positions_A, axis=0, weights=atoms.weights)
    sigma = max(resolution_A * _SIGMA_PER_RESOLUTION, 0.6 * pixel_size_A)
    return gaussian_density(atoms.positions_A - centre, atoms.weights, sigma, n, pixel_size_A)


def gaussian_density(
    positions_A: np.ndarray, weights: np.ndarray, sigma_A: float, n: int, pixel_size_A: float
) -> torch.Tensor:
    """Sum of Gaussians of integral ``weights`` (per cubic Angstrom) sampled on a grid: float32 (n, n, n) in [z, y, x].

    Positions (m, 3) are x, y, z from the box centre. Only the pixels within four sigma are touched.
    """
    sigma = sigma_A / pixel_size_A
    reach = int(np.ceil(_REACH * sigma))
    window = torch.arange(-reach, reach + 1)
    margin = reach + 1
    size = n + 2 * margin  # atoms near the border write into a margin that is cut away
    position = torch.as_tensor(positions_A, dtype=torch.float64) / pixel_size_A + n // 2
    amplitude = torch.as_tensor(weights, dtype=torch.float64) / (sigma_A * (2.0 * np.pi) ** 0.5) ** 3
    nearest = torch.round(position).to(torch.int64)
    inside = ((nearest >= -1) & (nearest <= n)).all(dim=1)
    position, nearest, amplitude = position[inside], nearest[inside], amplitude[inside]

    volume = torch.zeros(size**3, dtype=torch.float32)
    step = max(1, _CHUNK_VALUES // len(window) ** 3)
    for start in range(0, len(position), step):
        part = slice(start, start + step)
        index = nearest[part, :, None] + window  # (b, 3, w)
        value = torch.exp(-((index - position[part, :, None]) ** 2) / (2.0 * sigma**2)).to(torch.float32)
        value[:, 2] *= amplitude[part, None].to(torch.float32)
        x, y, z = (index + margin).unbind(1)
        flat = (z[:, :, None, None] * size + y[:, None, :, None]) * size + x[:, None, None, :]
        cube = value[:, 2, :, None, None] * value[:, 1, None, :, None] * value[:, 0, None, None, :]
        volume.index_add_(0, flat.flatten(), cube.flatten())
    keep = slice(margin, margin + n)
    return volume.reshape(size, size, size)[keep, keep, keep].contiguous()
