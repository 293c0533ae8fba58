"""From the last state to what the user gets: maps of the original pixels, errors of poses, is there anything?

Is there anything? Noise that is aligned to the map that both halves start from reproduces it in both of them. So
particles of one half look at all views of the map of the other half, which they have no part in, and so do images of
pure noise with the spectrum of the data. Particles that match no better than noise are noise
(:mod:`vitreous.matching.noise_test` for classes).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from vitreous.matching import PreparedParticles, total
from vitreous.matching.noise_test import SIGNAL_NATS, SIGNAL_SIGMAS, NoiseRows
from vitreous.particles import Volume
from vitreous.processes import by_process
from vitreous.randomness import uniforms
from vitreous.rotations import symmetry_matrices
from vitreous.structures.copies import coarsest_detail, wrong_group
from vitreous.structures.poses import Poses
from vitreous.structures.refine.em import half_sums
from vitreous.structures.refine.images import point_images
from vitreous.structures.refine.insertion import covariance
from vitreous.structures.refine.result import RefineResult
from vitreous.structures.refine.search import SEARCH_RINGS, best_of, prepare_search, starts
from vitreous.structures.refine.state import Pass, RefineState
from vitreous.volumes import (
    Gridding,
    PosedParticles,
    PostProcessed,
    RingPoints,
    VolumeSums,
    angular_distribution,
    copies_agreement,
    cross_power,
    density,
    postprocess,
    prepared,
    reconstruct,
    resample,
    view_sampling,
)

if TYPE_CHECKING:
    from vitreous.structures.refine.task import RefineRun

__all__ = ["NoiseEvidence", "finish", "noise_evidence"]

SAMPLE = 200  # particles, and images of noise, in the test
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class NoiseEvidence:
    """excess: nats by which particles match the map of the other half better than noise does; sigmas: of it."""

    excess: float
    sigmas: float

    @property
    def found_signal(self) -> bool:
        """Whether the particles are more than noise."""
        return self.excess > SIGNAL_NATS and self.sigmas > SIGNAL_SIGMAS


@dataclass(frozen=True)
class _Gain:
    gain: np.ndarray


def finish(run: "RefineRun", state: RefineState) -> RefineResult:
    """The maps and everything that is said about them."""
    work = run.work(state)
    parts = run.parts(work, state)
    assert parts is not None
    run.on_progress(0, 4, "comparing with noise")
    evidence = noise_evidence(work, state, parts)
    half = np.full(len(work.data), -1)
    for number, fold in enumerate(work.folds):
        half[fold] = number % 2
    used = half >= 0
    poses = Poses(
        particle=np.arange(len(half)),
        volume=np.where(used, 0, -1),
        rotation=state.rotation,
        origin_A=state.origin_A,
    )
    run.on_progress(1, 4, "maps from the original pixels")
    noise = _noise_curves(state, work.data)
    found = reconstruct(
        PosedParticles(
            read=run.particles.read,
            preparation=run.preparation,
            ctf=run.ctf,
            rotations=state.rotation,
            origins_A=state.origin_A,
            half=np.maximum(half, 0),
            weights=used.astype(np.float64),
            noise_group=work.data.noise_group,
            noise_power=torch.from_numpy(noise).float(),
        ),
        Gridding(symmetry=run.settings.symmetry),
        threads=run.threads,
        processes=run.processes,
    )
    run.on_progress(2, 4, "mask and resolution")
    halves = tuple(_named(volume, run.settings.symmetry) for volume in found.halves)
    post = _postprocessed(halves, run.mask, run.preparation.finest_A, state.seed)
    radius = _radius(post, run.preparation.box_px, run.preparation.pixel_size_A)
    sd = _sigmas(state, used)
    return RefineResult(
        poses=poses,
        half=half,
        sigma_psi_deg=sd[0],
        sigma_direction_deg=sd[1],
        sigma_origin_A=sd[2],
        log_likelihood=np.where(used, state.gain, 0.0),
        halves=(halves[0], halves[1]),
        full=_named(found.full, run.settings.symmetry),
        post=post,
        views=angular_distribution(state.rotation[used], symmetry=run.settings.symmetry),
        sampling=view_sampling(state.rotation[used], radius, symmetry=run.settings.symmetry),
        noise_power=noise,
        noise_group=work.data.noise_group,
        found_signal=evidence.found_signal,
        messages=[*_messages(run, state, post, evidence, used), *_without_group(run, work, parts)],
    )


def _named(volume: Volume, symmetry: str) -> Volume:
    return replace(volume, symmetry=symmetry)


def _postprocessed(halves: tuple[Volume, ...], mask: Volume | None, finest_A: float | None, seed: int) -> PostProcessed:
    on_grid = None
    if mask is not None:
        same = resample(mask, halves[0].box_px, halves[0].pixel_size_A)
        on_grid = same.with_data(np.clip(same.data, 0.0, 1.0))
    return postprocess(halves[0], halves[1], on_grid, finest_A=finest_A, seed=seed)


def _radius(post: PostProcessed, box_px: int, pixel_size_A: float) -> int:
    """Fourier pixels of the resolution reached; a quarter of the box where there is none."""
    if not np.isfinite(post.resolution_A):
        return max(1, box_px // 4)
    return max(1, round(box_px * pixel_size_A / post.resolution_A))


def _sigmas(state: RefineState, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard deviations of rotation in the plane and of direction (degrees), and of origins, per axis."""
    known = np.where(used[:, None, None], state.information, np.eye(5))
    variance = np.diagonal(covariance(known), axis1=1, axis2=2)
    psi, direction = np.rad2deg(np.sqrt(variance[:, 2])), np.rad2deg(np.sqrt(variance[:, :2].mean(1)))
    origin = np.sqrt(variance[:, 3:].mean(1))
    return np.where(used, psi, 0.0), np.where(used, direction, 0.0), np.where(used, origin, 0.0)


def _noise_curves(state: RefineState, data: PreparedParticles) -> np.ndarray:
    """(groups, L // 2 + 1) of normalised images."""
    shells = np.arange(data.preparation.box_px // 2 + 1, dtype=np.float64)
    at = data.basis.k_per_px * data.basis.box_px
    curves = state.noise_power.numpy() / data.white_noise_power
    return np.stack([np.interp(shells, at, curve) for curve in curves])


def noise_evidence(work: Pass, state: RefineState, parts: tuple[VolumeSums, ...]) -> NoiseEvidence:
    """Particles of each half, and noise in their places, against the map of the other half."""
    data, rings = work.data, state.inserted_rings
    halves = half_sums(parts, work.group)
    tau2 = cross_power(*halves, rings).clamp_min(0)
    noise_data = replace(data, packed=NoiseRows(data, state.seed))
    gains: dict[str, list[np.ndarray]] = {"particles": [], "noise": []}
    for half in (0, 1):
        members = np.concatenate(work.folds[half::2])
        key = uniforms(state.seed, "against noise", ids=members)[:, 0]
        sample = members[np.argsort(key, kind="stable")][: SAMPLE // 2]
        mine = by_process(sample, work.processes)[work.processes.rank]
        volume = prepared(density(halves[1 - half], data.basis.truncated(rings), tau2))
        for name, source in (("particles", data), ("noise", noise_data)):
            gain = _best_gain(work, state, source, volume, mine, rings)
            gains[name].append(work.processes.gather(_Gain(gain)).gain)
    a, b = (np.concatenate(gains[name]) for name in ("particles", "noise"))
    excess = float(a.mean() - b.mean())
    error = float(np.sqrt(a.var() / len(a) + b.var() / len(b)))
    return NoiseEvidence(excess=excess, sigmas=excess / max(error, 1e-9))


def _best_gain(
    work: Pass, state: RefineState, data: PreparedParticles, volume: torch.Tensor, index: np.ndarray, rings: int
) -> np.ndarray:
    if len(index) == 0:
        return np.zeros(0)
    search = prepare_search(
        data, volume, min(SEARCH_RINGS, rings), offset_range_A=work.offset_range_A, offset_sd_A=state.offset_sd_A,
        group=work.group.numpy(), seed=state.seed, turn=state.iteration,
    )  # fmt: skip
    rotation, origin = starts(data, index, search, state.noise_power)
    images = point_images(data, index, RingPoints(basis=data.basis.truncated(rings)), state.noise_power)
    return best_of(volume, images, rotation, origin, state.offset_sd_A).gain


def _without_group(run: "RefineRun", work: Pass, parts: tuple[VolumeSums, ...]) -> list[str]:
    """Whether the particles do not have the point group that was imposed."""
    name = run.settings.symmetry
    first = coarsest_detail(work.data.basis, work.data.preparation.particle_diameter_A / work.data.pixel_size_A)
    halves = total(parts[0::2]), total(parts[1::2])
    return wrong_group(name, copies_agreement(*halves, symmetry_matrices(name), first=first))


def _messages(
    run: "RefineRun", state: RefineState, post: PostProcessed, evidence: NoiseEvidence, used: np.ndarray
) -> list[str]:
    lines = []
    if not evidence.found_signal:
        lines.append(
            "No resolution is claimed: the particles match the map of the other half no better than pure noise does "
            f"({evidence.excess:+.2f} nats per particle, {evidence.sigmas:.1f} standard errors). Either the reference "
            "does not show what is in the images, or there is nothing in them; the maps are the reference in noise."
        )
    elif not np.isfinite(post.resolution_A):
        lines.append("No resolution is claimed: the half maps agree no better than chance.")
    elif post.resolution_A > 0.98 * run.settings.initial_lowpass_A:
        lines.append(
            f"The half maps agree to {post.resolution_A:.1f} A, no finer than the map that both started from "
            f"({run.settings.initial_lowpass_A:g} A): nothing has been found that this map did not hold."
        )
    if not state.converged:
        lines.append(f"The refinement stopped after {state.iteration} passes, before it had converged.")
    bad = int((~used).sum())
    if bad:
        lines.append(f"{bad} particles had no part: images that could not be used, or no pose.")
    return lines
