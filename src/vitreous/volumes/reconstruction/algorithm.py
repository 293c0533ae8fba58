"""Reconstruction as an algorithm: chunks of particles add their statistics, then the maps are solved for.

A chunk is a step, so that a run that was killed goes on where it was and ends with the same bits. Of several processes
each adds its share of a chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vitreous.iterate import Algorithm
from vitreous.matching.workers import one_thread
from vitreous.particles import Volume
from vitreous.processes import ALONE, Processes, by_process
from vitreous.rotations import symmetry_matrices
from vitreous.volumes.reconstruction.art import art_solved, art_step
from vitreous.volumes.reconstruction.posed import PosedParticles
from vitreous.volumes.reconstruction.settings import ART, Gridding, LeastSquares, ReconstructionSettings
from vitreous.volumes.reconstruction.solve import Solved, solve
from vitreous.volumes.reconstruction.statistics import (
    ReconstructionSums,
    accumulate,
    add_sums,
    empty_sums,
    full_circle,
)
from vitreous.words import brief

__all__ = ["Reconstruction", "ReconstructionState", "reconstruct", "reconstruction_algorithm", "step_count"]

CHUNK, MOST_CHUNKS = (
    4096,
    16,
)  # of particles; a checkpoint holds all sums, so that more of them would cost more than work


@dataclass(frozen=True, kw_only=True)
class ReconstructionState:
    """sums: of the two half-sets; bad: numbers of the images that could not be used; maps: of ART, (2, n, n, n)."""

    iteration: int
    seed: int
    sums: tuple[ReconstructionSums, ReconstructionSums]
    bad: np.ndarray
    maps: torch.Tensor | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """What came of it.

    full: filtered by the signal-to-noise ratio of the halves; halves: unfiltered; fsc, ssnr: (n // 2 + 1,) correlation
    of the halves within the particle's sphere, signal-to-noise ratio of the whole; sums: of the halves, all particles
    and copies in (:func:`full_circle`); bad: numbers of images that could not be used; particles: in each half.
    """

    __repr__ = brief

    full: Volume
    halves: tuple[Volume, Volume]
    fsc: torch.Tensor
    ssnr: torch.Tensor
    sums: tuple[ReconstructionSums, ReconstructionSums]
    bad: np.ndarray
    particles: tuple[int, int]


@dataclass(frozen=True)
class _Bad:
    bad: np.ndarray


def reconstruct(
    particles: PosedParticles,
    settings: ReconstructionSettings | None = None,
    *,
    threads: int = 1,
    device: str = "cpu",
    processes: Processes = ALONE,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> Reconstruction:
    """Map and half maps of particles with known poses, original pixels, in one pass (ART: one more for each sweep).

    settings: of the method, :class:`Gridding` unless given. Memory: see :mod:`.statistics` and :func:`solve`.

    >>> import numpy as np
    >>> from vitreous.matching import ImagePreparation
    >>> from vitreous.rotations import random_rotations
    >>> images = np.random.default_rng(0).normal(size=(20, 16, 16)).astype(np.float32)
    >>> found = reconstruct(PosedParticles(
    ...     read=lambda index: images[index], preparation=ImagePreparation.for_box(16, 4.0), ctf=None,
    ...     rotations=random_rotations(20, seed=1).numpy(), origins_A=np.zeros((20, 2)),
    ... ))
    >>> found.full.data.shape, found.particles
    ((16, 16, 16), (10, 10))

    Raises ValueError when one of the halves has no particle with a pose and a usable image.
    """
    algorithm = reconstruction_algorithm(particles, settings, threads=threads, device=device, processes=processes)
    state = algorithm.init(Gridding().seed if settings is None else settings.seed)
    while not algorithm.done(state):
        state, info = algorithm.step(state)
        if on_step is not None:
            on_step(dict(info))
    return algorithm.finalise(state)


def step_count(particles: PosedParticles, settings: ReconstructionSettings) -> int:
    """How many steps it takes."""
    chunks = len(_chunks(particles.used))
    return chunks + (settings.sweeps * settings.blocks if isinstance(settings, ART) else 0)


def reconstruction_algorithm(
    particles: PosedParticles,
    settings: ReconstructionSettings | None = None,
    *,
    threads: int = 1,
    device: str = "cpu",
    processes: Processes = ALONE,
) -> Algorithm[ReconstructionState, Reconstruction]:
    """The steps of :func:`reconstruct`. Raises ValueError when a half has no particle with a pose."""
    chosen = Gridding() if settings is None else settings
    _require_halves(particles)
    group = symmetry_matrices(chosen.symmetry).to(torch.float64)
    box_px, chunks = particles.preparation.box_px, _chunks(particles.used)
    steps = step_count(particles, chosen)

    def init(seed: int) -> ReconstructionState:
        nothing = (empty_sums(box_px, device), empty_sums(box_px, device))
        return ReconstructionState(iteration=0, seed=seed, sums=nothing, bad=np.zeros(0, np.int64))

    def add_chunk(state: ReconstructionState) -> ReconstructionState:
        shares = by_process(chunks[state.iteration], processes)
        found, bad = accumulate(particles, shares[processes.rank], init(0).sums, group=group, threads=threads)
        sums = tuple(add_sums(old, processes.add(new)) for old, new in zip(state.sums, found, strict=True))
        every = np.sort(processes.gather(_Bad(bad)).bad)
        return replace(state, sums=(sums[0], sums[1]), bad=np.concatenate([state.bad, every]))

    def sweep(state: ReconstructionState) -> ReconstructionState:
        assert isinstance(chosen, ART)
        sums = _complete(state.sums, group)
        maps = torch.zeros(2, *[box_px] * 3, device=device) if state.maps is None else state.maps
        number = state.iteration - len(chunks)
        usable = np.setdiff1d(particles.used, state.bad)
        part = art_step(
            particles, usable, sums, maps, chosen, number, seed=state.seed, group=group, processes=processes
        )
        return replace(state, maps=part)

    def step(state: ReconstructionState) -> tuple[ReconstructionState, dict[str, float]]:
        work = add_chunk if state.iteration < len(chunks) else sweep
        with one_thread():
            reached = replace(work(state), iteration=state.iteration + 1)
        return reached, {"particles": int(sum(int(s.particles) for s in reached.sums)), "bad": len(reached.bad)}

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration >= steps,
        finalise=lambda state: _finished(state, particles, chosen, group),
    )


def _finished(
    state: ReconstructionState, particles: PosedParticles, settings: ReconstructionSettings, group: torch.Tensor
) -> Reconstruction:
    counts = tuple(int(s.particles) for s in state.sums)
    if min(counts) == 0:
        raise ValueError(
            f"the half-sets have {counts[0]} and {counts[1]} usable images ({len(state.bad)} could not be used: "
            f"NaN, or a "
            "constant background); both need at least one"
        )
    preparation = particles.preparation
    with one_thread():
        sums = _complete(state.sums, group)
        solved = _solved(state, sums, settings, preparation.box_px, preparation.radius_px)

    def volume(data: torch.Tensor) -> Volume:
        return Volume(data=data.cpu().numpy(), pixel_size_A=preparation.pixel_size_A)

    return Reconstruction(
        full=volume(solved.full),
        halves=(volume(solved.halves[0]), volume(solved.halves[1])),
        fsc=solved.fsc,
        ssnr=solved.ssnr,
        sums=sums,
        bad=state.bad,
        particles=(counts[0], counts[1]),
    )


def _solved(
    state: ReconstructionState,
    sums: tuple[ReconstructionSums, ReconstructionSums],
    settings: ReconstructionSettings,
    box_px: int,
    radius_px: float,
) -> Solved:
    if isinstance(settings, ART):
        assert state.maps is not None
        return art_solved(state.maps, radius_px)
    if isinstance(settings, LeastSquares):
        return solve(sums, box_px, radius_px, method="cg", iterations=settings.iterations)
    return solve(sums, box_px, radius_px, method="gridding" if isinstance(settings, Gridding) else "wbp")


def _complete(
    sums: tuple[ReconstructionSums, ReconstructionSums], group: torch.Tensor
) -> tuple[ReconstructionSums, ReconstructionSums]:
    return full_circle(sums[0], group), full_circle(sums[1], group)


def _chunks(used: np.ndarray) -> list[np.ndarray]:
    size = max(CHUNK, -(-len(used) // MOST_CHUNKS))
    return [used[start : start + size] for start in range(0, len(used), size)]


def _require_halves(particles: PosedParticles) -> None:
    if len(particles) == 0:
        raise ValueError("no particles; a reconstruction needs images with their poses")
    used = particles.used
    counts = np.bincount(particles.half_of[used], minlength=2)
    if counts.min() == 0:
        raise ValueError(
            f"the half-sets have {counts[0]} and {counts[1]} particles with a pose and a weight, of "
            f"{len(particles)}; both "
            "need at least one"
        )
