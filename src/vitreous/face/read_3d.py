"""Folders of three-dimensional jobs back to what their methods returned, as far as the files have it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.manifest import Manifest
from vitreous.jobs.results.abinitio import read_abinitio
from vitreous.jobs.results.initial import read_initial
from vitreous.jobs.results.known_poses import KnownPosesFolder, read_known_poses
from vitreous.jobs.results.postprocess import PostProcessFolder
from vitreous.jobs.results.reconstruct import ReconstructFolder, read_reconstruction
from vitreous.jobs.results.refine import read_refined
from vitreous.mixtures import Mixture, read_pseudo_atoms
from vitreous.models import Conformation, InitialModelResult
from vitreous.particles import Volume, read_particles, read_volume
from vitreous.rotations import Agreement
from vitreous.structures import Poses
from vitreous.structures.abinitio import AbinitioResult, StartSummary
from vitreous.words import brief

__all__ = ["RefinedFolder", "read_map_with_poses", "read_model", "read_refinement", "read_structures"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RefinedFolder:
    """What the folder of a refinement has, under the names of :class:`vitreous.structures.refine.RefineResult`.

    Arrays are of the m particles that had a part, in the order of ``refined_data.star``.
    """

    __repr__ = brief

    poses: Poses
    half: np.ndarray
    sigma_psi_deg: np.ndarray
    sigma_direction_deg: np.ndarray
    log_likelihood: np.ndarray
    halves: tuple[Volume, Volume]
    mean: Volume  # of the halves, without any filter
    post: PostProcessFolder
    found_signal: bool
    resolution_A: float
    masked_resolution_A: float


def read_refinement(folder: Path, manifest: Manifest) -> RefinedFolder:
    """Of refine."""
    found, summary = read_refined(folder), manifest.summary
    halves = tuple(read_volume(folder / f"refined_half{number}_unfil.mrc") for number in (1, 2))
    return RefinedFolder(
        poses=Poses.from_particles(read_particles(folder / "refined_data.star")),
        half=found.half,
        sigma_psi_deg=found.sigma_psi_deg,
        sigma_direction_deg=found.sigma_direction_deg,
        log_likelihood=found.log_likelihood,
        halves=(halves[0], halves[1]),
        mean=read_volume(folder / "refined_unfil.mrc"),
        post=found.post,
        found_signal=bool(summary["found_signal"]),
        resolution_A=_or_inf(summary["resolution_A"]),
        masked_resolution_A=_or_inf(summary["resolution_masked_A"]),
    )


def read_map_with_poses(folder: Path, manifest: Manifest) -> ReconstructFolder | KnownPosesFolder:
    """Of reconstruct, by any method."""
    return read_known_poses(folder) if manifest.settings.get("method") == "gmm" else read_reconstruction(folder)


def read_structures(folder: Path, manifest: Manifest) -> AbinitioResult:
    """Of abinitio. How the poses of a start follow from those of the best one is not in the files: NaN."""
    found, summary = read_abinitio(folder), manifest.summary
    particles = read_particles(folder / "abinitio_data.star")
    table, starts = particles.table, found.starts
    best = int(np.argmax(starts.numbers("vtrBest")))
    return AbinitioResult(
        volumes=found.volumes,
        symmetry=str(summary["symmetry"]),
        particle_diameter_A=float(summary["particle_diameter_used_A"]),
        resolution_A=float(summary["finest_resolution_A"]),
        direction_step_deg=float("nan"),
        poses=Poses.from_particles(particles),
        volume_probability=table.numbers("vtrClassProbability"),
        max_probability=table.numbers("rlnMaxValueProbDistribution"),
        log_evidence=table.numbers("rlnLogLikeliContribution"),
        population=np.array(summary["populations"], np.float64),
        starts=tuple(_start({name: starts[name][row] for name in starts.names}) for row in range(len(starts))),
        best=best,
        found_signal=bool(summary["found_signal"]),
        messages=list(manifest.messages),
    )


def _start(row: dict[str, Any]) -> StartSummary:
    return StartSummary(
        evidence=float(row["vtrHeldOutEvidence"]),
        error=float(row["vtrBehindError"]),
        passes=int(row["vtrPasses"]),
        particles=int(row["vtrParticles"]),
        settled=bool(row["vtrSettled"]),
        agreement=_agreement(row, chance=float(row["vtrAgreeingByChance"])),
        symmetry=str(row["vtrSymmetry"]),
    )


def _agreement(row: dict[str, Any], *, chance: float = 0.0) -> Agreement:
    return Agreement(
        fraction=float(row["vtrAgreeingFraction"]),
        other_hand=bool(row["vtrOtherHand"]),
        rotation=np.full((3, 3), np.nan),
        agrees=np.zeros(0, bool),
        chance=chance,
    )


def read_model(folder: Path, manifest: Manifest) -> InitialModelResult[Mixture]:
    """Of initial, by any method. Of several conformations the files have the probability of the likeliest: others NaN.

    How the poses of a restart follow from those of the best one is not in the files either.
    """
    found = read_initial(folder)
    averages = read_particles(folder / "initial_data.star")
    n, count, table = len(averages), len(found.conformations), averages.table
    labels, probability = np.zeros(n, np.int64), np.ones((n, 1))
    if count > 1:
        labels = table.numbers("rlnClassNumber").astype(np.int64) - 1
        probability = np.full((n, count), np.nan)
        probability[np.arange(n), labels] = table.numbers("vtrClassProbability")
    stems = ["initial"] if count == 1 else [f"initial_conformation{number}" for number in range(1, count + 1)]
    shares = manifest.summary.get("populations", [1.0])
    restarts = found.restarts
    return InitialModelResult(
        conformations=tuple(
            Conformation(mean=maps.mean, variance=maps.variance, population=share, mixture=_mixture(folder, stem))
            for maps, share, stem in zip(found.conformations, shares, stems, strict=True)
        ),
        labels=labels,
        label_probabilities=probability,
        rotations=found.rotations,
        origins_A=averages.origin_A,
        scores=found.scores,
        score=found.score,
        best=int(np.argmax(restarts.numbers("vtrRefined"))),
        agreements=tuple(
            _agreement({name: restarts[name][row] for name in restarts.names}) for row in range(len(restarts))
        ),
    )


def _mixture(folder: Path, stem: str) -> Mixture | None:
    path = folder / f"{stem}.cif"
    return read_pseudo_atoms(path) if path.is_file() else None


def _or_inf(value: float | None) -> float:
    return float("inf") if value is None else float(value)
