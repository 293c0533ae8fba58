"""From the last state to what the user gets: maps of the original pixels, what they claim, errors of poses.

Maps. A particle is inserted at the eight poses that stand for its posterior (:mod:`.insertion`), not at the best one:
aligned to its pose, its own noise is pulled towards the map, and the map comes out too strong where poses matter most,
far from the centre. The map of all particles is that of least squares inside the sphere, which knows that there is
nothing outside.

The claim is made within the sphere of the particle and with the lower bound of the FSC. A tighter mask leaves out noise
and gives a finer number, for maps and truth alike; that of the automatic mask is reported beside it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from vitreous.matching import PreparedParticles, total
from vitreous.optics import CTFParameters
from vitreous.particles import Volume
from vitreous.rotations import symmetry_matrices
from vitreous.structures.copies import coarsest_detail, wrong_group
from vitreous.structures.poses import Poses
from vitreous.structures.refine.evidence import DOUBTFUL_SHARE, Evidence, evidence
from vitreous.structures.refine.insertion import covariance, posterior_points
from vitreous.structures.refine.result import RefineResult
from vitreous.structures.refine.start import SHARED_A
from vitreous.structures.refine.state import Pass, RefineState
from vitreous.volumes import (
    Gridding,
    HalfMapFSC,
    PosedParticles,
    PostProcessed,
    Reconstruction,
    VolumeSums,
    angular_distribution,
    apply_b_factor,
    copies_agreement,
    half_map_fsc,
    postprocess,
    reconstruct,
    resample,
    spherical_mask,
    view_sampling,
)
from vitreous.volumes.reconstruction import add_sums, least_squares, signal_envelope
from vitreous.volumes.reconstruction.solve import prior_of, sphere

if TYPE_CHECKING:
    from vitreous.structures.refine.task import RefineRun

__all__ = ["best_map", "finish", "noise_curves"]

UNDERSTATED = 1.5  # variance of true errors over the inverse of the information: 1.1 at SNR 0.1, 1.2 to 1.7 at 0.02
NO_FINER = 0.9  # of the resolution of the first map: the edge of the mask carries its rings a little further


def finish(run: "RefineRun", state: RefineState) -> RefineResult:
    """The maps and everything that is said about them."""
    work = run.work(state)
    parts = run.parts(work, state)
    assert parts is not None
    run.on_progress(0, 4, "comparing with noise")
    said = evidence(work, state, parts)
    of_group = _without_group(run, work, parts)
    half = np.full(len(work.data), -1)
    for number, fold in enumerate(work.folds):
        half[fold] = number % 2
    noise, noise_group = noise_curves(state.noise_power, work.data), work.data.noise_group
    del work, parts
    run.forget()
    used = half >= 0
    poses = Poses(
        particle=np.arange(len(half)),
        volume=np.where(used, 0, -1),
        rotation=state.rotation,
        origin_A=state.origin_A,
    )
    run.on_progress(1, 4, "maps from the original pixels")
    found = _reconstructed(run, state, half, noise, noise_group)
    run.on_progress(2, 4, "mask and resolution")
    halves = tuple(_named(volume, run.settings.symmetry) for volume in found.halves)
    full = _named(best_map(found, run.preparation.radius_px), run.settings.symmetry)
    finest_A = run.preparation.finest_A
    ball = spherical_mask(halves[0], run.preparation.particle_diameter_A)
    post, of_mask = _postprocessed(halves, run.mask, ball, finest_A, state.seed)
    post = _with_map(post, full)
    in_sphere = half_map_fsc(halves[0], halves[1], ball, finest_A=finest_A, seed=state.seed)
    radius = _radius(in_sphere, run.preparation.box_px, run.preparation.pixel_size_A)
    sd = _sigmas(state, used)
    return RefineResult(
        poses=poses,
        half=half,
        sigma_psi_deg=sd[0],
        sigma_direction_deg=sd[1],
        sigma_origin_A=sd[2],
        log_likelihood=np.where(used, state.gain, 0.0),
        halves=(halves[0], halves[1]),
        full=full,
        post=post,
        in_sphere=in_sphere,
        views=angular_distribution(state.rotation[used], symmetry=run.settings.symmetry),
        sampling=view_sampling(state.rotation[used], radius, symmetry=run.settings.symmetry),
        noise_power=noise,
        noise_group=noise_group,
        ctf=_ctf(run, state),
        imaging=state.imaging,
        found_signal=said.found_signal,
        same_view=said.same_view,
        messages=[*_messages(run, state, in_sphere, said, used), *of_group, *of_mask],
    )


def _reconstructed(
    run: "RefineRun", state: RefineState, half: np.ndarray, noise: np.ndarray, noise_group: np.ndarray
) -> Reconstruction:
    """Half maps of the original pixels, every particle at the poses that stand for its posterior."""
    known = state.information / UNDERSTATED
    used = half >= 0
    particles = PosedParticles(
        read=run.particles.read,
        preparation=run.preparation,
        ctf=_ctf(run, state),
        rotations=state.rotation,
        origins_A=state.origin_A,
        half=np.maximum(half, 0),
        weights=used.astype(np.float64),
        scale=state.imaging.scale,
        noise_group=noise_group,
        noise_power=torch.from_numpy(noise).float(),
        spread=lambda index: posterior_points(index, state.rotation[index], state.origin_A[index], known[index]),
    )
    settings = Gridding(symmetry=run.settings.symmetry)
    return reconstruct(particles, settings, threads=run.threads, processes=run.processes)


def _ctf(run: "RefineRun", state: RefineState) -> CTFParameters | None:
    """With the defocus that was found."""
    if run.ctf is None:
        return None
    change = state.imaging.defocus_A
    return replace(run.ctf, defocus_u_A=run.ctf.defocus_u_A + change, defocus_v_A=run.ctf.defocus_v_A + change)


def best_map(found: Reconstruction, radius_px: float) -> Volume:
    """Of all particles, by least squares inside the sphere, under the prior that the halves imply.

    That is the power of every shell, and where in the sphere it is (:mod:`vitreous.volumes.reconstruction.envelope`).
    """
    whole, ball = add_sums(*found.sums), sphere(found.full.box_px, radius_px)
    halves = (torch.from_numpy(found.halves[0].data), torch.from_numpy(found.halves[1].data))
    where = signal_envelope(halves, found.fsc, radius_px)
    # The signal-to-noise ratio is the mean over the sphere; where the signal is, it is higher.
    prior = prior_of(whole, found.ssnr) * (where.square().sum() / ball.square().sum())
    start = torch.where(where > 0, ball / where.clamp_min(1e-6), 0.0)  # with it m V begins as gridding in the sphere
    return found.full.with_data(least_squares(whole, prior, where, start=start).numpy())


def _with_map(post: PostProcessed, full: Volume) -> PostProcessed:
    """With the map of all particles, which is filtered already, in the place of the mean of the halves."""
    if not np.isfinite(post.resolution_A):
        return post
    sharpened = apply_b_factor(full, post.b_factor_A2)
    return replace(post, sharpened=sharpened, masked=sharpened.with_data(sharpened.data * post.mask.data))


def _named(volume: Volume, symmetry: str) -> Volume:
    return replace(volume, symmetry=symmetry)


def _postprocessed(
    halves: tuple[Volume, ...], mask: Volume | None, ball: Volume, finest_A: float | None, seed: int
) -> tuple[PostProcessed, list[str]]:
    """Within the mask, or one from the map; and what is said where none can be made, so that it is the ball."""
    if mask is not None:
        same = resample(mask, halves[0].box_px, halves[0].pixel_size_A)
        on_grid = same.with_data(np.clip(same.data, 0.0, 1.0))
        return postprocess(halves[0], halves[1], on_grid, finest_A=finest_A, seed=seed), []
    try:
        return postprocess(halves[0], halves[1], None, finest_A=finest_A, seed=seed), []
    except ValueError as error:  # after all passes, a map without a mask is worth more than none
        said = f"No mask can be made from the map ({error}): the sphere of the particle is taken as the mask."
        return postprocess(halves[0], halves[1], ball, finest_A=finest_A, seed=seed), [said]


def _radius(fsc: HalfMapFSC, box_px: int, pixel_size_A: float) -> int:
    """Fourier pixels of the resolution reached; a quarter of the box where there is none."""
    if not np.isfinite(fsc.resolution_A):
        return max(1, box_px // 4)
    return max(1, round(box_px * pixel_size_A / fsc.resolution_A))


def _sigmas(state: RefineState, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard deviations of rotation in the plane and of direction (degrees), and of origins, per axis."""
    known = np.where(used[:, None, None], state.information, np.eye(5))
    variance = np.diagonal(covariance(known), axis1=1, axis2=2)
    psi, direction = np.rad2deg(np.sqrt(variance[:, 2])), np.rad2deg(np.sqrt(variance[:, :2].mean(1)))
    origin = np.sqrt(variance[:, 3:].mean(1))
    return np.where(used, psi, 0.0), np.where(used, direction, 0.0), np.where(used, origin, 0.0)


def noise_curves(noise_power: torch.Tensor, data: PreparedParticles) -> np.ndarray:
    """Noise power (groups, rings) as (groups, L // 2 + 1) of normalised images."""
    shells = np.arange(data.preparation.box_px // 2 + 1, dtype=np.float64)
    at = data.basis.k_per_px * data.basis.box_px
    curves = noise_power.numpy() / data.white_noise_power
    return np.stack([np.interp(shells, at, curve) for curve in curves])


def _without_group(run: "RefineRun", work: Pass, parts: tuple[VolumeSums, ...]) -> list[str]:
    """Whether the particles do not have the point group that was imposed."""
    name = run.settings.symmetry
    first = coarsest_detail(work.data.basis, work.data.preparation.particle_diameter_A / work.data.pixel_size_A)
    halves = total(parts[0::2]), total(parts[1::2])
    return wrong_group(name, copies_agreement(*halves, symmetry_matrices(name), first=first))


def _messages(
    run: "RefineRun", state: RefineState, in_sphere: HalfMapFSC, said: Evidence, used: np.ndarray
) -> list[str]:
    lines = []
    resolution = in_sphere.certain_resolution_A
    shared = max(run.settings.initial_lowpass_A, SHARED_A)
    if not said.beyond_noise:
        lines.append(
            "No resolution is claimed: the particles match the map of the other half no better than pure noise does "
            f"({said.excess:+.2f} nats per particle, {said.sigmas:.1f} standard errors). Either the reference "
            "does not show what is in the images, or there is nothing in them; the maps are the reference in noise."
        )
    elif not said.found_signal:
        lines.append(
            f"No resolution is claimed: only {said.same_view:.0%} of the particles find their view again in the map of "
            "the other half. The half maps agree on what they began with, not on these particles: the reference or "
            "the poses to start from are wrong, or another structure is in the images."
        )
    elif not np.isfinite(resolution):
        lines.append("No resolution is claimed: the half maps agree no better than chance.")
    else:
        if resolution > NO_FINER * shared:
            lines.append(
                f"The half maps agree to {resolution:.1f} A, no finer than the map that both started from "
                f"({shared:g} A): nothing has been found that this map did not hold."
            )
        if said.same_view < DOUBTFUL_SHARE:
            lines.append(
                f"Doubtful: {said.same_view:.0%} of the particles find their view again in the map of the other half. "
                "Of a right map nearly all do; many particles are lost, or are no particles."
            )
    if not state.converged:
        lines.append(f"The refinement stopped after {state.iteration} passes, before it had converged.")
    bad = int((~used).sum())
    if bad:
        lines.append(f"{bad} particles had no part: images that could not be used, or no pose.")
    return lines
