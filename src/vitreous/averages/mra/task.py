"""Multi-reference alignment as a task: settings and particles in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.layout import Layout, Progress, lay_out, prepared_images, silent, to_the_end
from vitreous.averages.mra.algorithm import MRAState, finish, first_state, one_pass
from vitreous.averages.mra.settings import MRA
from vitreous.averages.result import Class2DResult
from vitreous.iterate import Algorithm
from vitreous.matching import Dealt, PreparedParticles, deal, held_out_size
from vitreous.particles import ParticleSet
from vitreous.require import settings_with

__all__ = ["MRARun", "mra", "prepare_mra"]

RINGS = 8  # about 7 cycles across the particle; more cost with the fourth power of their number
MOST_RINGS = 24
PER_CLASS = 2  # images at least


@dataclass(kw_only=True)
class MRARun:
    """A run that is laid out; images are read when they are needed first."""

    laid: Layout
    settings: MRA
    on_progress: Progress = silent

    @property
    def algorithm(self) -> Algorithm[MRAState, Class2DResult]:
        """For the driver."""
        return Algorithm(
            init=lambda seed: first_state(self.data, self.settings, self.dealt(seed), seed),
            step=self._step,
            done=lambda state: state.march.converged or state.iteration >= self.settings.iterations,
            finalise=self._finalise,
        )

    @cached_property
    def data(self) -> PreparedParticles:
        """The prepared images, in memory or, where they would take a quarter of it, in a mapped file."""
        laid, basis = self.laid, self.laid.preparation.working_basis(MOST_RINGS)
        rings = min(RINGS, basis.rings)
        if self.settings.resolution_limit_A is not None:
            pixel_A = laid.preparation.pixel_size_A * laid.preparation.box_px / basis.box_px
            rings = max(1, min(basis.rings, int(basis.window_px * pixel_A / self.settings.resolution_limit_A)))
        size = 4 * len(laid.particles) * laid.preparation.working_basis(rings).packed_size
        outside = laid.store is not None and size > laid.memory_bytes // 4
        file = laid.store / "rings.dat" if outside and laid.store is not None else None
        return prepared_images(laid, rings, self.on_progress, store=file)

    def dealt(self, seed: int) -> Dealt:
        """Who takes part in what."""
        good = np.flatnonzero(~self.data.bad)
        return deal(good, self.settings.folds, seed, held_out=held_out_size(len(good)))

    def _step(self, state: MRAState) -> tuple[MRAState, dict[str, Any]]:
        return one_pass(
            state, self.data, self.settings, self.dealt(state.seed), self.laid.offset_range_A,
            lambda done, of: self.on_progress(done, of, "matching"),
        )  # fmt: skip

    def _finalise(self, state: MRAState) -> Class2DResult:
        return finish(
            state, self.data, self.settings, self.dealt(state.seed), self.laid.offset_range_A, self.laid.particles.read,
            self.on_progress,
        )  # fmt: skip


def prepare_mra(
    particles: ParticleSet,
    settings: MRA,
    *,
    memory_bytes: int = 4 << 30,
    threads: int | None = None,
    store: Path | None = None,
) -> MRARun:
    """Check settings against particles (judged, if nobody has) and lay out the work.

    store: folder for prepared images that do not fit in a quarter of ``memory_bytes``. Raises ValueError for settings
    that do not fit: more classes than images make.
    """
    laid = lay_out(particles, settings, memory_bytes=memory_bytes, threads=threads, store=store)
    least = max(PER_CLASS * settings.classes, 2 * settings.folds)
    if laid.usable < least:
        raise ValueError(
            f"{laid.particles.path}: {laid.usable_words} are too few for {settings.classes} classes and "
            f"{settings.folds} folds; expected at least {least}: ask for fewer classes"
        )
    return MRARun(laid=laid, settings=settings)


def mra(
    particles: ParticleSet,
    settings: MRA | None = None,
    *,
    memory_bytes: int = 4 << 30,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> Class2DResult:
    """K-means with alignment (see :class:`MRA` for the settings; keywords override them).

    ``on_step`` receives what is worth knowing of every pass. Raises ValueError for settings that do not fit.
    """
    chosen = settings_with(MRA, settings, overrides)
    prepared = prepare_mra(particles, chosen, memory_bytes=memory_bytes)
    return to_the_end(prepared.algorithm, chosen.seed, on_step)
