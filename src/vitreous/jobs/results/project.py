"""The result files of a ``project`` job: a stack of projections, and a table with their poses."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.denoise import CTF_COLUMNS
from vitreous.jobs.results.stack_table import write_stack_table
from vitreous.jobs.task import Progress
from vitreous.optics import CTFParameters
from vitreous.particles import MrcStackWriter, ParticleSet, image_name, open_stack, read_star, write_star
from vitreous.volumes import Projector

__all__ = ["FILES", "ProjectFolder", "Views", "read_projections", "write_projections"]

STACK, STAR = "projections.mrcs", "projections.star"
FILES = (STACK, STAR)
AT_ONCE = 512  # images
# RELION's programs refuse files without these. They mean nothing where there is no defocus.
NOMINAL = {"rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """n poses, and where they come from."""

    angles_deg: np.ndarray  # (n, 3) rot, tilt, psi
    origins_A: np.ndarray  # (n, 2)
    ctf: CTFParameters | None
    particles: ParticleSet | None  # whose columns are carried through


@dataclass(frozen=True, kw_only=True, eq=False)
class ProjectFolder:
    """Some of the projections, and the poses of all."""

    count: int
    shown: np.ndarray  # numbers of the images below, from 0
    images: np.ndarray  # (m, L, L)
    angles_deg: np.ndarray  # (n, 3)
    pixel_size_A: float


def write_projections(
    folder: Path, ready: Projector, views: Views, rotations: np.ndarray, *, progress: Progress
) -> None:
    """Write ``projections.mrcs``, as a stream, and ``projections.star``, with the columns of the file of poses.

    Images are sums over voxels, as RELION has them. Images without CTF lose the columns of the CTF, so that no program
    corrects what is not there.
    """
    n = len(rotations)
    with MrcStackWriter(folder / STACK, box_px=ready.box_px, pixel_size_A=ready.pixel_size_A) as stack:
        for start in range(0, n, AT_ONCE):
            progress(start, n, "projecting")
            rows = np.arange(start, min(start + AT_ONCE, n))
            ctf = None if views.ctf is None else views.ctf.take(rows)
            stack.append(ready(rotations[rows], views.origins_A[rows], ctf=ctf) / ready.scale)
    if views.particles is not None:
        _write_posed(folder / STAR, views.particles, ready, ctf=views.ctf is not None)
        return
    columns = {
        **{f"rlnAngle{name}": views.angles_deg[:, i] for i, name in enumerate(("Rot", "Tilt", "Psi"))},
        "rlnOriginXAngst": views.origins_A[:, 0],
        "rlnOriginYAngst": views.origins_A[:, 1],
    }
    shape = (n, ready.box_px, ready.box_px)
    write_stack_table(folder / STAR, STACK, shape, ready.pixel_size_A, columns, optics_columns=NOMINAL)


def read_projections(folder: str | Path, *, most: int) -> ProjectFolder:
    """Read what :func:`write_projections` wrote, ``most`` images at most. JobFolderError when it is not there."""
    path = Path(folder)
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of finished projections")
    stack, table = open_stack(path / STACK), read_star(path / STAR)["particles"]
    shown = np.unique(np.linspace(0, len(stack) - 1, min(most, len(stack))).astype(int))
    return ProjectFolder(
        count=len(stack),
        shown=shown,
        images=stack.read(shown),
        angles_deg=np.stack([table.numbers(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")], axis=1),
        pixel_size_A=stack.header.pixel_size_A,
    )


def _write_posed(path: Path, particles: ParticleSet, ready: Projector, *, ctf: bool) -> None:
    n = len(particles)
    names = [image_name(i, STACK) for i in range(n)]
    origins = np.round(particles.origin_A, 6)
    table = particles.table.without(["rlnOriginX", "rlnOriginY", *(() if ctf else CTF_COLUMNS)]).with_columns(
        {"rlnImageName": names, "rlnOriginXAngst": origins[:, 0], "rlnOriginYAngst": origins[:, 1]}
    )
    groups = len(particles.optics)
    optics = particles.optics.with_columns(
        {
            "rlnImagePixelSize": np.full(groups, ready.pixel_size_A),
            "rlnImageSize": np.full(groups, ready.box_px),
            "rlnImageDimensionality": np.full(groups, 2),
        }
    )
    write_star(path, {"optics": optics, "particles": table})
