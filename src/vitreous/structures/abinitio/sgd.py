"""Structures by stochastic gradient ascent: many small steps with momentum instead of a few that solve for the map.

A pass visits the particles that a pass of EM would (:mod:`.em`), fold by fold; those of a fold are a mini-batch. They
are matched against the maps as they are now, and the maps then move along the gradient of the batch (:mod:`.ascent`).
So a map remembers all batches that it has seen, with weights that fall by the rate of every step, where EM remembers
the last visit of every fold. Batches grow as the passes of EM do: where single images decide little, up to five times.
tau^2, noise and the width of origins come from the last visits of the folds, whose even and odd ones are half-sets;
they are also what a start ends with, so that EM and SGD are ranked, posed and written alike.

Three things lead away from the random start. sigma^2 is annealed, from a multiple of what it is to what it is
(posteriors to the power of one over the factor). Factors above 1 are cryoSPARC's; here they flatten the posteriors of
a start that is nearly flat already, and factors below 1 do what EM's sharpened posteriors do. Rates are high at first,
where maps are wrong, and low at the end, where a map should be the mean of many batches. Directions turn, and rings
march, as in EM.

A particle meets maps that its own earlier visits have a part in, faded by all steps since.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from vitreous.matching import Outcome, PreparedParticles, expect, soft, stacked, total
from vitreous.matching.folds import replaced
from vitreous.processes import ALONE, Processes, by_process, joined
from vitreous.structures.abinitio.ascent import Ascent, Gradient, ascended, residual
from vitreous.structures.abinitio.em import KEEP_NATS, Search, StartState, next_state, search_at
from vitreous.structures.abinitio.schedule import particles_of_pass
from vitreous.structures.abinitio.settings import Abinitio
from vitreous.structures.abinitio.statistics import (
    FoldSums,
    densities,
    fold_sums,
    slices_of,
    volume_power,
    volume_references,
)

__all__ = ["gradient_pass"]

MOMENTUM = 0.9
RATE_FIRST, RATE_LAST, RATE_DECAY = 1.0, 0.2, 0.8  # of a step; the decay is that of a pass
NOISE_DECAY = 0.9  # of the logarithm of what the noise is multiplied by, per pass


def rate_of(passes: int) -> float:
    """Length of a step in the units of the preconditioner."""
    return RATE_LAST + (RATE_FIRST - RATE_LAST) * RATE_DECAY**passes


def noise_factor(first: float, passes: int) -> float:
    """What sigma^2 is multiplied by: ``first`` in the first pass, 1 in the end."""
    return float(first ** (NOISE_DECAY**passes))


def gradient_pass(
    state: StartState,
    data: PreparedParticles,
    settings: Abinitio,
    folds: tuple[np.ndarray, ...],
    offset_range_A: float,
    most_rings: int,
    *,
    processes: Processes = ALONE,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[StartState, dict[str, Any]]:
    """A step for every fold. progress receives (particles done, particles of this pass)."""
    factor, rings = noise_factor(settings.first_noise, state.passes), state.schedule.rings
    search = search_at(
        state,
        data,
        settings,
        offset_range_A,
        rings=rings,
        keep=KEEP_NATS * factor,
        purpose=("directions", state.passes),
    )
    batches = particles_of_pass(folds, state.schedule.batch, state.passes)
    parts, tau2 = state.parts, settings.tau2_fudge * volume_power(state.parts, rings)
    ascent = state.ascent or Ascent.at(densities(total(parts), data.basis, tau2))
    seen, found, done = [], [], 0
    for fold, index in enumerate(batches):
        members = stacked(parts, "members").sum(0)
        shares = by_process(index, processes)
        own, gradient, outcome = _batch(
            data, settings, search, ascent.maps, members, state.noise_power, shares[processes.rank], 1 / factor
        )
        parts = replaced(parts, fold, processes.add(own))
        everyone, tau2 = total(parts), settings.tau2_fudge * volume_power(parts, rings)
        scale = float(everyone.members.sum() / parts[fold].members.sum().clamp_min(1e-6))
        ascent = ascended(
            ascent, processes.add(gradient), everyone, scale, data.basis, tau2, rate=rate_of(state.passes),
            momentum=MOMENTUM,
        )  # fmt: skip
        seen += shares
        found.append(processes.gather(outcome))
        done += len(index)
        if progress is not None:
            progress(done, sum(map(len, batches)))
    step = float(ascent.velocity.norm() / ascent.maps.norm().clamp_min(1e-12))
    following, info = next_state(
        replace(state, ascent=ascent), data, settings, search, parts, np.concatenate(seen), joined(found),
        offset_range_A, most_rings, sum(map(len, folds)), processes,
    )  # fmt: skip
    return following, {**info, "rate": rate_of(state.passes), "noise_factor": factor, "step": step}


def _batch(
    data: PreparedParticles,
    settings: Abinitio,
    search: Search,
    maps: torch.Tensor,
    members: torch.Tensor,
    noise_power: torch.Tensor,
    index: np.ndarray,
    sharpness: float,
) -> tuple[FoldSums, Gradient, Outcome]:
    """Particles against maps (K, n, n, n): their statistics, half of their gradient, and what was found of them."""
    matrices = search.matrices.float().to(data.device)
    slices = slices_of(maps, matrices, search.points)
    references = volume_references(
        slices, members, search.plan, ctf_harmonics=data.ctf_harmonics, offset_sd_px=search.offset_sd_px
    )
    choice = partial(soft, sharpness=sharpness)
    sums, outcome = expect(data, index, search.plan, references, noise_power, choice=choice)
    inserted = partial(
        fold_sums, matrices=matrices, points=search.points, volumes=settings.volumes, room=search.room,
        group=search.group,
    )  # fmt: skip
    return inserted(sums), Gradient(half=inserted(residual(sums, slices)).numerator), outcome
