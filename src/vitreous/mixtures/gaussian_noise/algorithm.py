"""The initial model under Gaussian noise as an algorithm: its chains for :mod:`vitreous.mixtures.restarts`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.mixtures.choose_components import require_enough_views
from vitreous.mixtures.conformations import single
from vitreous.mixtures.gaussian_noise.held_out import predict_views, settled_poses
from vitreous.mixtures.gaussian_noise.model import NoisyImages
from vitreous.mixtures.gaussian_noise.moves import Sampler
from vitreous.mixtures.gaussian_noise.noisy_stages import (
    Chain,
    anneal_round,
    random_start,
    ranking_log_posterior,
    refine_block,
    refined_start,
    settled_steps,
)
from vitreous.mixtures.gaussian_noise.prepare import centred, checked_noisy_averages, default_noise_prior, reduced
from vitreous.mixtures.gaussian_noise.settings import GaussianInitialModel
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.restarts import RestartSampler, RestartsPlan, RestartsState, restarts_algorithm
from vitreous.models import InitialModelResult
from vitreous.rotations import symmetry_matrices

__all__ = ["GaussianState", "gaussian_initial_model_algorithm"]

_SMALLEST_BOX_PX = 12

GaussianState = RestartsState[Chain]


def gaussian_initial_model_algorithm(
    images: np.ndarray,
    pixel_size_A: float,
    settings: GaussianInitialModel,
    *,
    ctf: np.ndarray | None = None,
    threads: int = 2,
) -> Algorithm[GaussianState, InitialModelResult[Mixture]]:
    """The algorithm for averages (n, L, L) of any sign; errors as :func:`vitreous.mixtures.gaussian_initial_model`.

    ``ctf`` (n, L, L // 2 + 1), in the rfft layout, belongs to averages that were not corrected for it. A step is a
    round of the initial stage for all restarts, or ``steps_between`` sweeps of the refinement. Restarts, or parts of
    the images, are shared out among ``threads``, on which the result does not depend. The seed is that of ``init``, not
    that of the settings.
    """
    whole, centres = centred(checked_noisy_averages(images, pixel_size_A, ctf))
    if settings.fine_components == "auto":
        require_enough_views(len(whole))
    plan = _plan(whole, centres, settings)
    prior = default_noise_prior(reduced(whole, settings.box_px), settings.offset_sd_A)
    boxes = sorted({max(settings.box_px // 2, _SMALLEST_BOX_PX), settings.box_px})
    grids = [Sampler(data=reduced(whole, box), prior=prior, group=plan.group) for box in boxes]
    fine = Sampler(data=reduced(whole, settings.fine_box_px), prior=prior, group=plan.group, threads=threads)
    return restarts_algorithm(_sampler(grids, fine, settings), plan, threads=threads)


def _plan(whole: NoisyImages, centres_A: np.ndarray, settings: GaussianInitialModel) -> RestartsPlan:
    map_box = min(settings.map_box_px, whole.box_px)
    return RestartsPlan(
        restarts=settings.restarts,
        attempts=1,
        judged_after=1,
        rounds=settings.rounds,
        burn_in_blocks=settings.burn_in_blocks,
        samples=settings.samples,
        components=settings.fine_components,
        conformations=1,
        agreement_deg=settings.agreement_deg,
        group=symmetry_matrices(settings.symmetry).numpy(),
        centres_A=centres_A,
        map_box_px=map_box,
        map_pixel_size_A=whole.pixel_size_A * whole.box_px / map_box,
    )


def _sampler(grids: Sequence[Sampler], fine: Sampler, settings: GaussianInitialModel) -> RestartSampler[Chain]:
    """``grids`` are those of the initial stage, from few pixels to many."""

    def seeded(seed: int) -> GaussianInitialModel:
        return replace(settings, seed=seed)

    def block(chain: Chain, seed: int, number: int, sample: int) -> tuple[Chain, float, Mapping[str, Any]]:
        """Step sizes are adapted before the first sample, settle then, and stay."""
        if sample == 0:
            chain = replace(chain, steps=settled_steps(chain.steps))
        chain, accepted = refine_block(fine, chain, seeded(seed), block=number, adapt=sample < 0)
        return chain, ranking_log_posterior(fine, chain.model), {"acceptance": accepted}

    def predictor(best: Chain, seed: int, held_out: np.ndarray) -> Callable[[int], np.ndarray]:
        settled = settled_poses(fine, best, seeded(seed))
        return lambda components: predict_views(fine, settled, seeded(seed), components=components, held_out=held_out)

    return RestartSampler(
        start=lambda seed, restart: random_start(grids[0], seeded(seed), restart),
        round=lambda chain, seed, restart, round_: anneal_round(
            grids, chain, seeded(seed), restart=restart, round_=round_
        ),
        rank=lambda chain: ranking_log_posterior(grids[-1], chain.model),
        refine_start=lambda best, seed, components: refined_start(best, fine, seeded(seed), components),
        block=block,
        predictor=predictor,
        posed=lambda chain: single(chain.model.posed),
    )
