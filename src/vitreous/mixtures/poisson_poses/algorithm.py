"""The initial model from counts as an iterative algorithm: its chains for :mod:`vitreous.mixtures.restarts`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.mixtures.averages import Reduced, checked_averages, reduce_images
from vitreous.mixtures.choose_components import require_enough_views
from vitreous.mixtures.conformations import PosedMixtures
from vitreous.mixtures.counts import Counts, count_images
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.poisson_poses.attempts import attempts_of, judged_after
from vitreous.mixtures.poisson_poses.counted_stages import (
    anneal_round,
    initial_log_posterior,
    random_start,
    refine_steps,
    refined_start,
)
from vitreous.mixtures.poisson_poses.held_out import predict_views, settled_poses
from vitreous.mixtures.poisson_poses.settings import InitialModel
from vitreous.mixtures.restarts import RestartSampler, RestartsPlan, RestartsState, restarts_algorithm
from vitreous.models import InitialModelResult
from vitreous.quality import centres_of_mass
from vitreous.rotations import symmetry_matrices

__all__ = ["PoissonState", "initial_model_algorithm"]

PoissonState = RestartsState[PosedMixtures]


def initial_model_algorithm(
    images: np.ndarray, pixel_size_A: float, settings: InitialModel, *, threads: int = 2
) -> Algorithm[PoissonState, InitialModelResult[Mixture]]:
    """The algorithm for averages (n, L, L), none negative; errors as :func:`vitreous.mixtures.initial_model`.

    A step is a round of the initial stage for all restarts, or ``steps_between`` steps of the refinement. Restarts, or
    parts of the images, are shared out among ``threads``, on which the result does not depend. The seed is that of
    ``init``, not that of the settings.
    """
    averages = checked_averages(images, pixel_size_A)
    if settings.fine_components == "auto":
        require_enough_views(len(averages))
    centres = centres_of_mass(averages, pixel_size_A)
    plan = _plan(averages, pixel_size_A, centres, settings)
    coarse = reduce_images(averages, pixel_size_A, centres, settings.box_px)
    fine = reduce_images(averages, pixel_size_A, centres, settings.fine_box_px)
    counts = count_images(fine.images, fine.pixel_size_A, settings.fine_counts)
    return restarts_algorithm(_sampler(coarse, counts, settings, plan, threads), plan, threads=threads)


def _plan(averages: np.ndarray, pixel_size_A: float, centres_A: np.ndarray, settings: InitialModel) -> RestartsPlan:
    group, box = symmetry_matrices(settings.symmetry).numpy(), averages.shape[1]
    map_box = min(settings.map_box_px, box)
    return RestartsPlan(
        restarts=settings.restarts,
        attempts=attempts_of(group),
        judged_after=judged_after(settings),
        rounds=settings.initial_rounds,
        burn_in_blocks=settings.burn_in_blocks,
        samples=settings.samples,
        components=settings.fine_components,
        conformations=settings.conformations,
        agreement_deg=settings.agreement_deg,
        group=group,
        centres_A=centres_A,
        map_box_px=map_box,
        map_pixel_size_A=pixel_size_A * box / map_box,
    )


def _sampler(
    coarse: Reduced, fine: Counts, settings: InitialModel, plan: RestartsPlan, threads: int
) -> RestartSampler[PosedMixtures]:
    group = plan.group

    def seeded(seed: int) -> InitialModel:
        return replace(settings, seed=seed)

    def block(
        model: PosedMixtures, seed: int, number: int, sample: int
    ) -> tuple[PosedMixtures, float, Mapping[str, Any]]:
        steps = settings.steps_between
        model, log_p = refine_steps(
            fine, model, seeded(seed), group, first=number * steps, steps=steps, threads=threads
        )
        return model, log_p, {}

    def predictor(best: PosedMixtures, seed: int, held_out: np.ndarray) -> Callable[[int], np.ndarray]:
        settled = settled_poses(fine, best.part(0), seeded(seed), group, threads=threads)
        return lambda components: predict_views(
            fine, settled, seeded(seed), group, components=components, held_out=held_out
        )

    return RestartSampler(
        start=lambda seed, restart: random_start(coarse, seeded(seed), group, restart),
        round=lambda model, seed, restart, round_: anneal_round(
            coarse, model, seeded(seed), group, restart=restart, round_=round_
        ),
        rank=lambda model: initial_log_posterior(coarse, model, settings, group),
        refine_start=lambda best, seed, components: refined_start(
            best, seeded(seed), group, components, field_A=plan.field_A
        ),
        block=block,
        predictor=predictor,
        posed=lambda model: model,
    )
