"""Mixtures in files: as a map, and as pseudo-atoms that ChimeraX and PyMOL open.

A pseudo-atom is a carbon of residue GMM at the mean, with B factor ``8 pi^2 / s`` (a Gaussian of variance 1/s per axis)
and occupancy proportional to the weight. mmCIF keeps seven digits of everything; PDB columns keep three digits
of a coordinate, two of an occupancy and B factor, and the weights are scaled to a mean occupancy of 1 in both.
"""

from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np

from vitreous.mixtures.model import Mixture, evaluate, require_dimension
from vitreous.particles import Volume, atomic_path, write_text_atomic, write_volume

__all__ = ["read_pseudo_atoms", "to_volume", "write_map", "write_pseudo_atoms"]

_B_FACTOR = 8.0 * np.pi**2
_RESIDUE = "GMM"
_PDB_SUFFIXES = (".pdb", ".ent")
_CIF_SUFFIXES = (".cif", ".mmcif")
_PDB_MOST_ATOMS = 99_999
_PDB_LARGEST_B = 999.99
_ATOMS_PER_CHAIN = 9_999  # residue numbers of PDB have four digits


def to_volume(mixture: Mixture, box_px: int | Sequence[int], pixel_size_A: float) -> Volume:
    """A 3D mixture on a grid: the side of a cube, or (nz, ny, nx)."""
    require_dimension(mixture, 3)
    return Volume(data=evaluate(mixture, box_px, pixel_size_A), pixel_size_A=pixel_size_A)


def write_map(path: str | Path, mixture: Mixture, *, box_px: int | Sequence[int], pixel_size_A: float) -> None:
    """Write a 3D mixture as an MRC map (density per cubic Angstrom), atomically."""
    write_volume(path, to_volume(mixture, box_px, pixel_size_A))


def write_pseudo_atoms(path: str | Path, mixture: Mixture) -> None:
    """Write one pseudo-atom per component, as mmCIF (.cif) or PDB (.pdb), atomically.

    Coordinates count from the centre of the box, as in the mixture. A map of n pixels of size p in ChimeraX has its
    corner at the origin: open it with ``originIndex n//2`` or move the atoms by ``p (n // 2)``.

    Raises ValueError for another suffix, for a 2D mixture, and where PDB columns are too narrow.
    """
    require_dimension(mixture, 3)
    path = Path(path)
    suffix = path.suffix.lower()
    structure = _structure(mixture, path.stem)
    if suffix in _CIF_SUFFIXES:
        document = structure.make_mmcif_document()
        block = document.sole_block()
        _exact_columns(block, mixture)
        write_text_atomic(path, document.as_string())
    elif suffix in _PDB_SUFFIXES:
        _check_pdb_limits(path, mixture)
        with atomic_path(path) as temporary:
            structure.write_pdb(str(temporary))
    else:
        raise ValueError(f"{path}: expected a name that ends in .cif or .pdb, found {path.suffix or 'no suffix'!r}.")


def read_pseudo_atoms(path: str | Path) -> Mixture:
    """Read what :func:`write_pseudo_atoms` wrote (or any model whose atoms share one B factor); weights sum to 1.

    Raises FileNotFoundError, and ValueError where the file is no structure, or its B factors are not one positive
    number.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected pseudo-atoms (.cif or .pdb).")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, IndexError, EOFError, OSError) as error:
        words = " ".join(str(error).split()).removesuffix(".")
        raise ValueError(f"{path}: cannot be read as PDB or mmCIF ({words}).") from error
    table = np.array(
        [
            (*site.atom.pos.tolist(), site.atom.occ, site.atom.b_iso)
            for model in list(structure)[:1]
            for site in model.all()
        ]
    )
    if len(table) == 0:
        raise ValueError(f"{path}: holds no atoms; is it the right file?")
    b_factors, occupancies = table[:, 4], table[:, 3]
    if not b_factors[0] > 0 or np.ptp(b_factors) > 0.02:
        raise ValueError(
            f"{path}: the components of a mixture share one positive B factor (8 pi^2 sigma^2), found "
            f"{b_factors.min():g} to {b_factors.max():g}; this is not a file of pseudo-atoms."
        )
    if not occupancies.sum() > 0:
        raise ValueError(f"{path}: all occupancies are 0, so the components have no weights.")
    return Mixture(
        means_A=table[:, :3],
        weights=occupancies / occupancies.sum(),
        precision_per_A2=_B_FACTOR / float(b_factors.mean()),
    )


def _structure(mixture: Mixture, name: str) -> gemmi.Structure:
    structure = gemmi.Structure()
    structure.name = name
    model = gemmi.Model(1)
    occupancy = _occupancies(mixture)
    for start in range(0, len(mixture), _ATOMS_PER_CHAIN):
        chain = gemmi.Chain(chr(ord("A") + start // _ATOMS_PER_CHAIN))
        for number, k in enumerate(range(start, min(start + _ATOMS_PER_CHAIN, len(mixture))), start=1):
            chain.add_residue(_residue(mixture, occupancy, k, number))
        model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    return structure


def _residue(mixture: Mixture, occupancy: np.ndarray, k: int, number: int) -> gemmi.Residue:
    residue = gemmi.Residue()
    residue.name = _RESIDUE
    residue.seqid = gemmi.SeqId(str(number))
    residue.het_flag = "H"
    atom = gemmi.Atom()
    atom.name = "C"
    atom.element = gemmi.Element("C")
    atom.pos = gemmi.Position(*mixture.means_A[k])
    atom.occ = float(occupancy[k])
    atom.b_iso = _B_FACTOR / mixture.precision_per_A2
    residue.add_atom(atom)
    return residue


def _occupancies(mixture: Mixture) -> np.ndarray:
    return mixture.weights / mixture.weights.mean()


def _exact_columns(block: gemmi.cif.Block, mixture: Mixture) -> None:
    """Replace the rounded numbers by all their digits: B factors above 1000 and small weights survive."""
    table = block.find("_atom_site.", ["Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "B_iso_or_equiv"])
    b_factor = _B_FACTOR / mixture.precision_per_A2
    occupancy = _occupancies(mixture)
    for k, row in enumerate(table):
        values = (*mixture.means_A[k], occupancy[k], b_factor)
        for column, value in enumerate(values):
            row[column] = f"{value:.9g}"


def _check_pdb_limits(path: Path, mixture: Mixture) -> None:
    b_factor = _B_FACTOR / mixture.precision_per_A2
    found = None
    if len(mixture) > _PDB_MOST_ATOMS:
        found = f"{len(mixture)} components"
    elif b_factor > _PDB_LARGEST_B:
        found = f"a B factor of {b_factor:.0f} A^2 (sigma {mixture.sigma_A:.2f} A)"
    elif np.abs(mixture.means_A).max() >= 1000:
        found = f"a coordinate of {np.abs(mixture.means_A).max():.0f} A"
    elif _occupancies(mixture).max() >= 100:
        found = "a weight of more than 100 times the average"
    if found is not None:
        raise ValueError(f"{path}: the columns of PDB are too narrow for {found}; write mmCIF (.cif) instead.")
