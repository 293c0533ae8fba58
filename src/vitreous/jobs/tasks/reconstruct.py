"""The ``reconstruct`` job: images with poses in, a folder with a map, half maps and a report out."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.iterate import Algorithm
from vitreous.jobs.function import function_of
from vitreous.jobs.posed_images import NO_ORIGINS, PosedImages, doubts, rotations_of
from vitreous.jobs.report.known_poses import known_poses_page
from vitreous.jobs.report.reconstruct import reconstruct_page
from vitreous.jobs.results.reconstruct import FILES, FSC, write_reconstruction
from vitreous.jobs.sources import warnings_before
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.jobs.tasks.known_poses import prepare_known_poses
from vitreous.matching import preparation_for
from vitreous.mixtures import KnownPoses
from vitreous.particles import ParticleSet, judged
from vitreous.quality import UnseenCone, resolution_at, unseen_cone
from vitreous.rotations import symmetry_matrices
from vitreous.structures.copies import wrong_group
from vitreous.structures.refine.copies import agreement_of_copies
from vitreous.volumes.reconstruction import (
    ART,
    Gridding,
    LeastSquares,
    PosedParticles,
    Reconstruction,
    ReconstructionSettings,
    ReconstructionState,
    WeightedBackProjection,
    background_power,
    random_halves,
    reconstruction_algorithm,
    step_count,
)

__all__ = ["TASK", "PosedImages", "run_reconstruct"]

HALF = "rlnRandomSubset"
NAMED = 10  # particles that a note has by number
VIEWS = 4000  # that the largest unseen cone is looked for among


@dataclass(frozen=True, kw_only=True, eq=False)
class _Input:
    particles: ParticleSet
    posed: PosedParticles
    cone: UnseenCone
    notes: list[str]


def _prepare(
    source: PosedImages, settings: ReconstructionSettings | KnownPoses, resources: Resources
) -> Prepared[Any, Any]:
    if isinstance(settings, KnownPoses):
        return prepare_known_poses(source, settings, resources)
    found = _read(source, settings)
    algorithm: Algorithm[ReconstructionState, Reconstruction]
    try:
        algorithm = reconstruction_algorithm(
            found.posed,
            settings,
            threads=resources.threads,
            device=resources.device,
            processes=resources.processes,
        )
    except ValueError as error:
        raise ValueError(f"{found.particles.path}: {error}") from error
    return Prepared(
        settings=settings,
        inputs=(found.particles.path,),
        pixels=found.particles.digest,
        algorithm=algorithm,
        state=ReconstructionState,
        steps=step_count(found.posed, settings),
        write=partial(_write, found, settings, resources.threads),
        screen=_screen(found, settings, resources),
        warnings=(*found.notes, *doubts(found.cone)),
        plan={"images": len(found.particles)},
    )


def _read(source: PosedImages, settings: ReconstructionSettings) -> _Input:
    particles = judged(source.open(), ctf=settings.ctf)
    rotations, notes = (
        rotations_of(particles),
        list(warnings_before(particles, invert_contrast=settings.invert_contrast)),
    )
    ctf = particles.ctf_for(settings.ctf)
    if settings.ctf and ctf is None:
        missing = ", ".join(particles.missing_ctf_columns)
        notes.append(f"no CTF is corrected, because the file has no {missing}; averages without a CTF need none")
    if not any(particles.has(name) for name in ("rlnOriginXAngst", "rlnOriginX")):
        notes.append(NO_ORIGINS)
    half, weights, said = _halves(particles, settings.seed)
    notes += said
    preparation = preparation_for(particles, settings)
    several = len(np.unique(particles.optics_group)) > 1
    group = particles.optics_group if several else None
    posed = PosedParticles(
        read=particles.read,
        preparation=preparation,
        ctf=ctf,
        rotations=rotations,
        origins_A=particles.origin_A,
        half=half,
        weights=weights,
        noise_group=group,
        noise_power=background_power(particles.read, preparation, group) if group is not None else None,
    )
    if posed.unusable.any():
        wrong = _numbers(np.flatnonzero(posed.unusable))
        notes.append(f"pose, origin or defocus is no number, no weight: particle {wrong}")
    views = rotations[np.isfinite(rotations).all((1, 2))]
    if len(views) == 0:
        raise ValueError(f"{particles.path}: none of the {len(particles)} poses is a number")
    matrices = symmetry_matrices(settings.symmetry).to(torch.float64).numpy()
    cone = unseen_cone(views[:: -(-len(views) * len(matrices) // VIEWS)], matrices)
    return _Input(particles=particles, posed=posed, cone=cone, notes=notes)


def _halves(particles: ParticleSet, seed: int) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """The half-set (n,) 0 or 1 of every particle, the file's or a random one; their weights (None: 1); notes.

    Half-set 0 in a file says that a particle had no part: its weight is 0.
    """
    if not particles.has(HALF):
        return random_halves(len(particles), seed), None, [f"half-sets by chance: the file has none ({HALF})"]
    given = particles.table.numbers(HALF)
    wrong = ~np.isin(given, (0, 1, 2))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{particles.table.where(row)}: {HALF} is {given[row]:g}; expected 1 or 2, or 0 for no part")
    without = given == 0
    notes = [f"{int(without.sum()):,} particles have no part ({HALF} 0)"] if without.any() else []
    return np.maximum(given, 1).astype(np.int64) - 1, (~without).astype(np.float64), notes


def _numbers(rows: np.ndarray) -> str:
    text = ", ".join(str(row + 1) for row in rows[:NAMED].tolist())
    return text if len(rows) <= NAMED else f"{text} and {len(rows) - NAMED} more"


def _screen(found: _Input, settings: ReconstructionSettings, resources: Resources) -> tuple[str, ...]:
    particles = found.particles
    box, pixel = particles.box_px, particles.pixel_size_A
    own = "".join(f", {name} {getattr(settings, name)}" for name in ("iterations", "sweeps") if hasattr(settings, name))
    return (
        f"data     {particles.path}: {len(particles):,} images, {box} x {box} pixels, {pixel:g} Å/pixel, "
        + ("CTF" if found.posed.ctf is not None else "no CTF"),
        f"views    largest cone of Fourier space without data: half angle {found.cone.half_angle_deg:.0f}°",
        f"settings {TASK.method(settings)}, symmetry {settings.symmetry}, particle diameter "
        f"{found.posed.preparation.particle_diameter_A:.0f} Å{own}, seed {settings.seed}, {resources.threads} threads",
    )


def _write(
    found: _Input,
    settings: ReconstructionSettings,
    threads: int,
    folder: Path,
    result: Reconstruction,
    state: ReconstructionState,
) -> Outcome:
    particles, posed = found.particles, found.posed
    result.fsc[posed.preparation.shells :] = 0.0  # the images hold nothing there, whatever correlates
    write_reconstruction(folder, result, particles, posed)
    n, pixel = particles.box_px, particles.pixel_size_A
    crossing = {t: float(resolution_at(result.fsc, t, n, pixel)) for t in (0.5, 0.143)}
    summary = {
        "images": sum(result.particles),
        "half_1": result.particles[0],
        "half_2": result.particles[1],
        "bad_images": len(result.bad),
        "without_pose": int(posed.unusable.sum()),
        "unseen_cone_deg": round(found.cone.half_angle_deg, 1),
        "particle_diameter_used_A": posed.preparation.particle_diameter_A,
        **{f"fsc_{t:g}_A": round(r, 2) if np.isfinite(r) else None for t, r in crossing.items()},
    }
    messages = [f"no weight, NaN or a constant background: image {_numbers(result.bad)}"] if len(result.bad) else []
    if settings.symmetry.upper() != "C1":
        agreement = _agreement_of_copies(posed, result, settings.symmetry, threads)
        summary["symmetry_agreement"] = round(agreement, 3)
        messages += wrong_group(settings.symmetry, agreement)
    resolved = (
        f"halves correlate at 0.143 to {crossing[0.143]:.1f} Å"
        if np.isfinite(crossing[0.143])
        else ("halves do not correlate")
    )
    return Outcome(words=f"{sum(result.particles):,} images, {resolved}", summary=summary, messages=tuple(messages))


def _agreement_of_copies(posed: PosedParticles, result: Reconstruction, symmetry: str, threads: int) -> float:
    return agreement_of_copies(
        posed.read,
        posed.preparation,
        posed.ctf,
        posed.rotations,
        posed.origins_A,
        np.setdiff1d(posed.used, result.bad),
        symmetry,
        threads=threads,
    )


def _page(folder: Path) -> Any:
    return reconstruct_page(folder) if (folder / FSC).is_file() else known_poses_page(folder)


TASK = Task(
    name="reconstruct",
    title="reconstruction",
    about="Half maps are unfiltered, for `vitreous postprocess` or RELION's. For gmm, images must be nowhere negative: "
    "`vitreous deconvolve` makes such averages.",
    source=PosedImages,
    methods={
        "gridding": Gridding,
        "wbp": WeightedBackProjection,
        "art": ART,
        "cg": LeastSquares,
        "gmm": KnownPoses,
    },
    about_methods="gridding: direct Fourier inversion. wbp: weighted back-projection. art: algebraic, with "
    "blobs. cg: least "
    "squares within a sphere. gmm: Gaussian mixture with counts (Poisson) as data, by Gibbs sampling.",
    prepare=_prepare,
    files=FILES,
    results="reconstruction.mrc",
    page=_page,
    uses=frozenset({"threads", "device", "processes"}),
    aliases={"symmetry": ("--sym",), "components": ("--K",)},
)
run_reconstruct = function_of(TASK)
