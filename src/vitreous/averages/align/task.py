"""An alignment as a task: settings and particles in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from vitreous.alignment import Matching
from vitreous.averages.align.algorithm import AlignState, Dealt, align_step, dealt_groups, first_state
from vitreous.averages.align.final import finish
from vitreous.averages.align.result import AlignResult
from vitreous.averages.align.settings import Align
from vitreous.iterate import Algorithm, run
from vitreous.matching import (
    ImagePreparation,
    PreparedParticles,
    assumptions,
    offset_within_box,
    preparation_for,
    prepare_particles,
)
from vitreous.matching.workers import one_thread
from vitreous.particles import ParticleSet, judged

__all__ = ["AlignRun", "align", "prepare_alignment"]

MOST_RINGS = 32  # that images are expanded in: about 28 cycles across the particle
FEWEST = 10  # images


def _silent(done: int, total: int, what: str) -> None:
    """Progress for nobody."""


@dataclass(kw_only=True)
class AlignRun:
    """An alignment that is ready to run; images are read when they are needed first."""

    particles: ParticleSet
    settings: Align
    preparation: ImagePreparation
    offset_range_A: float
    reference: np.ndarray | None
    memory_bytes: int
    threads: int
    notes: tuple[str, ...]
    on_progress: Callable[[int, int, str], None] = field(default=_silent)

    @property
    def matching(self) -> Matching:
        """How images are compared with averages."""
        settings = self.settings
        return Matching(
            offset_range_A=self.offset_range_A, mirror=settings.mirror, weighted=settings.weights == "noise"
        )

    @property
    def algorithm(self) -> Algorithm[AlignState, AlignResult]:
        """For the driver."""
        return Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)

    @cached_property
    def data(self) -> PreparedParticles:
        """The prepared images."""
        particles = self.particles
        most = self.preparation.working_basis(1 << 20).rings
        return self._prepared(
            particles.read,
            len(particles),
            rings=min(MOST_RINGS, most),
            ctf=particles.ctf_for(self.settings.ctf, premultiplied=True),
            noise_group=particles.optics_group,
            progress=lambda done: self.on_progress(done, len(particles), "reading particles"),
        )

    def _prepared(self, read: Callable[[np.ndarray], np.ndarray], n: int, **options: Any) -> PreparedParticles:
        return prepare_particles(
            read, n, self.preparation, threads=self.threads, memory_bytes=self.memory_bytes, **options
        )

    def _reference_rings(self) -> torch.Tensor | None:
        if self.reference is None:
            return None
        plain = replace(self, preparation=replace(self.preparation, normalise=False, invert_contrast=False))
        image = self.reference.astype(np.float32)[None]
        made = plain._prepared(lambda index: image[index], 1, rings=self.data.basis.rings, ctf=None)
        return made.tile(np.arange(1), made.basis.rings, torch.ones(1, made.basis.rings)).data

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
            state, self.data, self._dealt(state.seed), self.matching, self.particles.read,
            partial(self.on_progress),
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
    found = judged(particles, ctf=settings.ctf, poses=False)
    _check_reference(reference, found, settings)
    usable = int(np.count_nonzero(~found.bad))
    if usable < FEWEST:
        raise ValueError(f"{found.path}: {usable} usable particles are too few to be aligned; expected {FEWEST}")
    preparation = preparation_for(found, settings)
    notes = assumptions(found, settings, preparation)
    return AlignRun(
        particles=found,
        settings=settings,
        preparation=preparation,
        offset_range_A=offset_within_box(settings.offset_range_A, preparation),
        reference=reference,
        memory_bytes=memory_bytes,
        threads=torch.get_num_threads() if threads is None else threads,
        notes=tuple(notes),
    )


def _check_reference(reference: np.ndarray | None, particles: ParticleSet, settings: Align) -> None:
    if settings.method != "reference":
        if reference is not None:
            raise ValueError(f'reference: not used by method {settings.method}; expected method "reference"')
        return
    box = particles.box_px
    if reference is None:
        raise ValueError('reference: method "reference" needs an image of it, and none was given')
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
    chosen = replace(settings or Align(), **overrides)
    prepared = prepare_alignment(particles, chosen, reference=reference, memory_bytes=memory_bytes)
    with torch.no_grad(), one_thread():
        result, _ = run(prepared.algorithm, seed=chosen.seed, on_step=on_step)
    return result
