"""Reconstruction with known poses as an iterative algorithm: blocks of Gibbs steps, the last of which are samples."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.mixtures.averages import checked_averages, reduce_images
from vitreous.mixtures.counts import Counts, count_images
from vitreous.mixtures.gibbs_projections import Moves, PosedMixture, default_prior, projection_step, views_of
from vitreous.mixtures.known.settings import KnownPoses
from vitreous.mixtures.known.start import back_projected_start
from vitreous.mixtures.model import Mixture, image_centres, require_rotations, symmetrise, translate
from vitreous.mixtures.posterior_maps import (
    DensitySums,
    add_sample,
    no_samples,
    posterior_variance,
)
from vitreous.mixtures.priors import MixturePrior
from vitreous.particles import Volume
from vitreous.rotations import symmetry_matrices
from vitreous.words import brief

__all__ = ["KnownPosesResult", "KnownPosesState", "known_poses_algorithm"]


@dataclass(frozen=True, kw_only=True)
class KnownPosesState:
    """Everything that survives a step."""

    iteration: int
    seed: int  # of everything random from here on
    mixture: Mixture  # the asymmetric unit
    offsets_A: np.ndarray  # (n, 2) in the reduced images
    log_posteriors: np.ndarray  # (iteration,)
    sums: DensitySums


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownPosesResult:
    """A reconstruction with its uncertainty, in the frame of the poses that were given.

    ``mixture`` is the last sample with all copies of the asymmetric unit.
    """

    __repr__ = brief

    mean: Volume
    variance: Volume
    mixture: Mixture
    rotations: np.ndarray  # (n, 3, 3) as they were given
    origins_A: np.ndarray  # (n, 2) as rlnOriginXAngst and YAngst; those that were given unless offsets are drawn
    log_posteriors: np.ndarray  # one for every block of Gibbs steps


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    counts: Counts
    rotations: np.ndarray  # (n, 3, 3) as they were given
    offsets_A: np.ndarray  # (n, 2) in the reduced images, as they were given: the frame of the samples
    moved_A: np.ndarray  # (n, 2) whole pixels by which the images were centred
    prior: MixturePrior
    group: np.ndarray
    map_box_px: int
    map_pixel_size_A: float


def known_poses_algorithm(
    images: np.ndarray,
    rotations: np.ndarray,
    pixel_size_A: float,
    settings: KnownPoses,
    *,
    origins_A: np.ndarray | None = None,
    threads: int = 2,
) -> Algorithm[KnownPosesState, KnownPosesResult]:
    """The algorithm for images (n, L, L), none negative; errors as :func:`vitreous.mixtures.reconstruct_known`.

    A step is ``steps_between`` Gibbs steps, in which the images are shared out among ``threads``; the result does not
    depend on them. The seed is that of ``init``, not that of the settings.
    """
    data = _prepare(images, rotations, pixel_size_A, settings, origins_A)
    last = -(-settings.burn_in_steps // settings.steps_between) + settings.samples

    def init(seed: int) -> KnownPosesState:
        return KnownPosesState(
            iteration=0,
            seed=seed,
            mixture=_start(data, settings, seed),
            offsets_A=data.offsets_A,
            log_posteriors=np.zeros(0),
            sums=no_samples(data.map_box_px),
        )

    def step(state: KnownPosesState) -> tuple[KnownPosesState, Mapping[str, Any]]:
        model, log_p = _gibbs_steps(data, settings, state, threads)
        sampled = state.iteration >= last - settings.samples
        following = KnownPosesState(
            seed=state.seed,
            iteration=state.iteration + 1,
            mixture=model.mixture,
            offsets_A=model.offsets_A,
            log_posteriors=np.append(state.log_posteriors, log_p),
            sums=add_sample(state.sums, _framed(data, model).mixture, data.map_pixel_size_A) if sampled else state.sums,
        )
        stage = "samples" if sampled else "burn-in"
        return following, {"stage": stage, "log_posterior": log_p, "sigma_A": model.mixture.sigma_A}

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= last,
        finalise=lambda state: _finalise(data, state),
    )


def _prepare(
    images: np.ndarray,
    rotations: np.ndarray,
    pixel_size_A: float,
    settings: KnownPoses,
    origins_A: np.ndarray | None,
) -> _Data:
    averages = checked_averages(images, pixel_size_A)
    rotations, where = require_rotations(rotations), _places(len(averages), origins_A)
    if len(rotations) != len(averages):
        raise ValueError(f"rotations: expected one for each of {len(averages)} images, found {len(rotations)}")
    group = symmetry_matrices(settings.symmetry).numpy()
    moved = np.rint(where / pixel_size_A) * pixel_size_A  # whole pixels, so that nothing is interpolated
    reduced = reduce_images(averages, pixel_size_A, moved, settings.box_px)
    outside = ~reduced.images.any(axis=(1, 2))
    if outside.any():
        i = int(outside.argmax())
        raise ValueError(
            f"average {i + 1}: there is nothing at the place that its origin points to "
            f"(x {-where[i, 0]:g}, y {-where[i, 1]:g} A from the centre of the image); are the origins in Angstrom?"
        )
    counts = count_images(reduced.images, reduced.pixel_size_A, settings.counts)
    box = averages.shape[1]
    map_box = min(settings.map_box_px, box)
    return _Data(
        counts=counts,
        rotations=rotations,
        offsets_A=where - moved,
        moved_A=moved,
        prior=default_prior(counts),
        group=group,
        map_box_px=map_box,
        map_pixel_size_A=pixel_size_A * box / map_box,
    )


def _places(count: int, origins_A: np.ndarray | None) -> np.ndarray:
    """Where particles sit, x and y from the centre of their images: (n, 2)."""
    if origins_A is None:
        return np.zeros((count, 2))
    origins = np.asarray(origins_A, dtype=np.float64)
    if origins.shape != (count, 2) or not np.isfinite(origins).all():
        raise ValueError(f"origins_A: expected finite numbers ({count}, 2), found shape {origins.shape}")
    return -origins


def _start(data: _Data, settings: KnownPoses, seed: int) -> Mixture:
    views = views_of(data.rotations, data.group).reshape(len(data.rotations), len(data.group), 3, 3)
    unit = max(2, round(settings.components / len(data.group)))
    return back_projected_start(data.counts, views, data.offsets_A, unit, data.prior, seed)


def _posed(data: _Data, state: KnownPosesState) -> PosedMixture:
    return PosedMixture(mixture=state.mixture, rotations=data.rotations, offsets_A=state.offsets_A)


def _gibbs_steps(data: _Data, settings: KnownPoses, state: KnownPosesState, threads: int) -> tuple[PosedMixture, float]:
    """A block of steps: (model, log posterior before the last of them)."""
    moves = Moves(rotations=False, offsets=settings.offset_sd_A > 0, offset_sd_A=settings.offset_sd_A)
    model, log_p = _posed(data, state), 0.0
    first = state.iteration * settings.steps_between
    for step in range(first, first + settings.steps_between):
        model, log_p = projection_step(
            data.counts,
            model,
            data.prior,
            group=data.group,
            moves=moves,
            seed=state.seed,
            step=step,
            threads=threads,
        )
    return model, log_p


def _framed(data: _Data, model: PosedMixture) -> PosedMixture:
    """All copies of the asymmetric unit, moved with the offsets so that these agree best with those that were given.

    Nothing moves where offsets are fixed. Drawn ones leave the particle free to drift, along an axis of symmetry only.
    """
    free = data.group.mean(axis=0)  # projects on the directions that the point group leaves as they are
    system = (model.rotations[:, :, :2].swapaxes(1, 2) @ free).reshape(-1, 3)
    by, *_ = np.linalg.lstsq(system, (model.offsets_A - data.offsets_A).ravel(), rcond=1e-3)
    return replace(
        model,
        mixture=symmetrise(translate(model.mixture, by), data.group),
        offsets_A=model.offsets_A - image_centres(by[None], model.rotations)[:, 0],
    )


def _finalise(data: _Data, state: KnownPosesState) -> KnownPosesResult:
    if state.sums.samples == 0:
        raise ValueError(f"the run has not come to its samples: iteration {state.iteration}")
    model = _framed(data, _posed(data, state))

    def volume(values: np.ndarray) -> Volume:
        return Volume(data=values, pixel_size_A=data.map_pixel_size_A)

    return KnownPosesResult(
        mean=volume(state.sums.mean),
        variance=volume(posterior_variance(state.sums)),
        mixture=model.mixture,
        rotations=data.rotations,
        origins_A=-(model.offsets_A + data.moved_A),
        log_posteriors=state.log_posteriors,
    )
