"""The ``project`` job: a map in; its projections, with their poses, out."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vitreous.jobs.at_once import AtOnce, at_once
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.function import function_of
from vitreous.jobs.posed_images import POSE_COLUMNS, file_with_poses, posed_rows
from vitreous.jobs.report.project import project_page
from vitreous.jobs.results.project import FILES, Views, write_projections
from vitreous.jobs.task import Outcome, Prepared, Progress, Resources, Task
from vitreous.particles import ParticleSet, Volume, read_particles, read_volume
from vitreous.randomness import uniforms
from vitreous.require import require_at_least, require_finite, require_one_of
from vitreous.rotations import euler_to_matrix, fibonacci_directions
from vitreous.volumes import Projector, projector

__all__ = ["TASK", "MapToProject", "Project", "run_project"]

MAPS = ("refined_unfil.mrc", "abinitio.mrc", "reconstruction.mrc", "initial.mrc")  # of the folders of jobs


@dataclass(frozen=True, kw_only=True)
class MapToProject:
    """A map, and perhaps the poses in which it is seen.

    Parameters
    ----------
    map
        The map to project (.mrc), a cube; or the folder of a job that leaves one.
    poses
        A .star file with the angles (and origins) of the projections, or the folder of a refine, abinitio or initial
        job. Without one, views are spread by --directions.
    pixel_size_A
        Voxel size of the map in Angstrom, when its header does not say or is wrong.
    """

    map: Path
    poses: Path | None = None
    pixel_size_A: float | None = None


@dataclass(frozen=True, kw_only=True)
class Project:
    """Settings of projections.

    Parameters
    ----------
    views
        Number of projections, where no poses are given.
    directions
        How they are spread: even (a spiral over the sphere) or random (uniform over all rotations).
    ctf
        Multiply the projections by the CTF of the particles in the .star file.
    seed
        Of random views.
    """

    views: int = 100
    directions: Literal["even", "random"] = "even"
    ctf: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"views": 1})
        require_one_of(self, "directions", ("even", "random"))


def _prepare(source: MapToProject, settings: Project, resources: Resources) -> Prepared[AtOnce, Projector]:
    path = _map_of(source.map)
    volume = read_volume(path, pixel_size_A=source.pixel_size_A)
    try:
        _check_map(volume)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if source.poses is None:
        if settings.ctf:
            raise ValueError("ctf: the CTF of every projection comes from a .star file; give one with --poses")
        views, used = _spread(settings), settings
        notes: tuple[str, ...] = ()
    else:
        views, notes = _posed(source.poses, volume, settings)
        used = replace(settings, views=len(views.angles_deg))
    return Prepared(
        settings=used,
        inputs=(path, *([file_with_poses(source.poses)] if source.poses else [])),
        algorithm=at_once(lambda seed: projector(volume)),
        state=AtOnce,
        steps=1,
        write=partial(_write, views, volume, resources.progress),
        screen=_screen(source, volume, used),
        warnings=notes,
        plan={"views": used.views, "box_px": volume.box_px},
    )


def _map_of(path: Path) -> Path:
    """A file as it is; of the folder of a job its map."""
    if not path.is_dir():
        return path
    for name in MAPS:
        if (path / name).is_file():
            return path / name
    raise JobFolderError(f"{path} has no {', '.join(MAPS)}: give a map (.mrc), or the folder of a job that leaves one")


def _check_map(volume: Volume) -> None:
    if not np.isfinite(volume.data).all():
        raise ValueError(f"holds {np.count_nonzero(~np.isfinite(volume.data))} value(s) that are NaN or infinite")
    if volume.box_px < 2:
        raise ValueError("expected a map of more than one voxel")


def _spread(settings: Project) -> Views:
    """Poses without particles: directions on a spiral and no turn in the plane, or uniform rotations."""
    n = settings.views
    if settings.directions == "even":
        x, y, z = fibonacci_directions(n).numpy().T
        angles = np.stack([np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arccos(np.clip(z, -1, 1))), np.zeros(n)], axis=1)
    else:
        u = uniforms(settings.seed, "views to project", ids=np.arange(n), count=3)
        tilt = np.rad2deg(np.arccos(2.0 * u[:, 1] - 1.0))
        angles = np.stack([360.0 * u[:, 0] - 180.0, tilt, 360.0 * u[:, 2] - 180.0], axis=1)
    return Views(angles_deg=np.round(angles, 6), origins_A=np.zeros((n, 2)), ctf=None, particles=None)


def _posed(path: Path, volume: Volume, settings: Project) -> tuple[Views, tuple[str, ...]]:
    """The views of a file; the images get the grid of the map, and a note where they had another."""
    particles = read_particles(file_with_poses(path), pixel_size_A=None)
    if path.is_dir():
        particles = posed_rows(particles)
    missing = [name for name in POSE_COLUMNS if name not in particles.table]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}; projections need the poses of all images")
    angles = np.stack([particles.table.numbers(name) for name in POSE_COLUMNS], axis=1)
    wrong = ~np.isfinite(angles).all(axis=1) | ~np.isfinite(particles.origin_A).all(axis=1)
    if wrong.any():
        raise ValueError(f"{particles.table.where(int(wrong.argmax()))}: {wrong.sum()} pose(s) are no numbers")
    ctf = particles.ctf if settings.ctf else None
    views = Views(angles_deg=angles, origins_A=particles.origin_A, ctf=ctf, particles=particles)
    return views, _grid_note(particles, volume)


def _grid_note(particles: ParticleSet, volume: Volume) -> tuple[str, ...]:
    size = particles.parameter("rlnImagePixelSize")
    if size is None or np.allclose(size, volume.pixel_size_A, rtol=1e-3):
        return ()
    return (
        f"the images of {particles.path} have pixels of {size.min():g} Å and the map voxels of "
        f"{volume.pixel_size_A:g} Å: projections have those of the map",
    )


def _screen(source: MapToProject, volume: Volume, settings: Project) -> tuple[str, ...]:
    spread = f"poses of {source.poses}" if source.poses else f"{settings.directions} directions, seed {settings.seed}"
    return (
        f"data     {source.map}: {volume.box_px}³ voxels of {volume.pixel_size_A:g} Å",
        f"settings {settings.views:,} projections, {spread}, " + ("with CTF" if settings.ctf else "without CTF"),
    )


def _write(views: Views, volume: Volume, progress: Progress, folder: Path, ready: Projector, state: AtOnce) -> Outcome:
    rotations = euler_to_matrix(torch.from_numpy(views.angles_deg)).numpy()
    write_projections(folder, ready, views, rotations, progress=progress)
    n = len(rotations)
    return Outcome(words=f"{n:,} projections of {volume.box_px} x {volume.box_px} pixels", summary={"projections": n})


TASK = Task(
    name="project",
    title="projecting",
    about="Images as relion_project makes them: sums over voxels along the line of sight, particles white. For noise, "
    "see `vitreous simulate`.",
    source=MapToProject,
    methods={"": Project},
    prepare=_prepare,
    files=FILES,
    results="projections.mrcs, projections.star",
    page=project_page,
    uses=frozenset({"threads"}),
    aliases={"poses": ("--ang",), "views": ("--nr_uniform",)},
)
run_project = function_of(TASK)
