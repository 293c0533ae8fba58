"""An alignment as a task: settings and particles in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from vitreous.alignment import Matching
from vitreous.averages.align.algorithm import AlignState, Dealt, align_step, dealt_groups, first_state
from vitreous.averages.align.final import finish
from vitreous.averages.align.result import AlignResult
from vitreous.averages.align.settings import Align
from vitreous.averages.layout import Layout, Progress, lay_out, prepared_images, silent, to_the_end
from vitreous.iterate import Algorithm
from vitreous.matching import PreparedParticles, held_out_size, prepare_particles
from vitreous.particles import ParticleSet
from vitreous.require import settings_with

__all__ = ["AlignRun", "align", "prepare_alignment"]

MOST_RINGS = 32  # that images are expanded in: about 28 cycles across the particle
FEWEST = 10  # images


@dataclass(kw_only=True)
class AlignRun:
    """An alignment that is ready to run; images are read when they are needed first."""

    laid: Layout
    settings: Align
    reference: np.ndarray | None
    on_progress: Progress = silent

    @property
    def matching(self) -> Matching:
        """How images are compared with averages."""
        weighted = self.settings.weights == "noise"
        return Matching(offset_range_A=self.laid.offset_range_A, mirror=self.settings.mirror, weighted=weighted)

    @property
    def algorithm(self) -> Algorithm[AlignState, AlignResult]:
        """For the driver."""
        return Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)

    @cached_property
    def data(self) -> PreparedParticles:
        """The prepared images."""
        return prepared_images(self.laid, self.laid.most_rings(MOST_RINGS), self.on_progress)

    def _reference_rings(self) -> torch.Tensor | None:
        if self.reference is None:
            return None
        plain = replace(self.laid.preparation, normalise=False, invert_contrast=False)
        image, rings = self.reference.astype(np.float32)[None], self.data.basis.rings
        made = prepare_particles(
            lambda index: image[index], 1, plain, rings=rings, ctf=None, threads=self.laid.threads,
            memory_bytes=self.laid.memory_bytes,
        )  # fmt: skip
        return made.tile(np.arange(1), rings, torch.ones(1, rings)).data

    def _dealt(self, seed: int) -> Dealt:
        return dealt_groups(self.data, self.settings, seed)

    def _init(self, seed: int) -> AlignState:
        return first_state(self.data, self.settings, self._dealt(seed), self.matching, seed, self._reference_rings())

    def _step(self, state: AlignState) -> tuple[AlignState, dict[str, Any]]:
        dealt = self._dealt(state.seed)
        said = lambda done: self.on_progress(done, len(dealt.groups), "aligning")  # noqa: E731
        return align_step(state, self.data, self.settings, dealt, self.matching, said)

    def _done(self, state: AlignState) -> bool:
        return state.march.converged or state.iteration >= self.settings.iterations

    def _finalise(self, state: AlignState) -> AlignResult:
        return finish(
            state, self.data, self._dealt(state.seed), self.matching, self.laid.particles.read, self.on_progress,
        )  # fmt: skip


def prepare_alignment(
    particles: ParticleSet,
    settings: Align,
    *,
    reference: np.ndarray | None = None,
    memory_bytes: int = 4 << 30,
    threads: int | None = None,
) -> AlignRun:
    """Check settings against particles (judged, if nobody has) and lay out the work.

    reference: (L, L), an image without CTF in the contrast of the results, for the method "reference". Raises
    ValueError for settings that do not fit the particles.
    """
    laid = lay_out(particles, settings, memory_bytes=memory_bytes, threads=threads)
    _check_reference(reference, laid.particles, settings)
    if laid.usable < FEWEST:
        words = f"{laid.usable_words} {'is' if laid.usable == 1 else 'are'}"
        raise ValueError(f"{laid.particles.path}: {words} too few to be aligned; expected at least {FEWEST}")
    dealt = laid.usable - held_out_size(laid.usable)
    if dealt < settings.folds:
        raise ValueError(
            f"{laid.particles.path}: {laid.usable_words}, of which {dealt} are aligned and the others held out, are "
            f"too few for {settings.folds} folds; ask for fewer (at least 4)"
        )
    return AlignRun(laid=laid, settings=settings, reference=reference)


def _check_reference(reference: np.ndarray | None, particles: ParticleSet, settings: Align) -> None:
    if settings.method != "reference":
        if reference is not None:
            raise ValueError(f'reference: not used by method {settings.method}; expected method "reference"')
        return
    box = particles.box_px
    if reference is None:
        raise ValueError(
            'method "reference" needs an image to align to, and none was given; give it (reference, --reference)'
        )
    if reference.shape != (box, box):
        raise ValueError(f"reference: expected {box} x {box} pixels as the particles have, found {reference.shape}")
    if not np.isfinite(reference).all() or reference.std() == 0:
        raise ValueError("reference: expected an image with contrast and finite values, found none")


def align(
    particles: ParticleSet,
    settings: Align | None = None,
    *,
    reference: np.ndarray | None = None,
    memory_bytes: int = 4 << 30,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> AlignResult:
    """Align particles that show one view (see :class:`Align` for the settings; keywords override them).

    reference: (L, L), for the method "reference". ``on_step`` receives what is worth knowing of every pass. Raises
    ValueError for settings that do not fit.
    """
    chosen = settings_with(Align, settings, overrides)
    prepared = prepare_alignment(particles, chosen, reference=reference, memory_bytes=memory_bytes)
    return to_the_end(prepared.algorithm, chosen.seed, on_step)
