"""ISAC as a task: settings and particles in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from vitreous.averages.isac.algorithm import Accepted, ISACState, first_state, most_steps, next_state
from vitreous.averages.isac.result import ISACResult
from vitreous.averages.isac.settings import ISAC
from vitreous.averages.layout import Layout, Progress, lay_out, prepared_images, silent, to_the_end
from vitreous.iterate import Algorithm
from vitreous.matching import PreparedParticles, claimed_resolution_A, dealt_in_turn, restore
from vitreous.particles import ParticleSet
from vitreous.require import settings_with

__all__ = ["ISACRun", "isac", "prepare_isac"]

MANY_GROUPS = 256  # in a run: with 200 a fifth of the particles are accepted in a generation, with 500 4 %
MOST_RINGS = 16  # that images are expanded in: about 14 cycles across the particle


@dataclass(kw_only=True)
class ISACRun:
    """A run that is laid out; images are read when they are needed first."""

    laid: Layout
    settings: ISAC
    on_progress: Progress = silent

    @property
    def steps(self) -> int:
        """Steps at most."""
        return most_steps(self.laid.usable, self.settings)

    @property
    def algorithm(self) -> Algorithm[ISACState, ISACResult]:
        """For the driver."""
        return Algorithm(
            init=lambda seed: first_state(self.data, self.settings, seed),
            step=self._step,
            done=lambda state: state.finished,
            finalise=self._finalise,
        )

    @cached_property
    def data(self) -> PreparedParticles:
        """The prepared images."""
        return prepared_images(self.laid, self.laid.most_rings(MOST_RINGS), self.on_progress)

    def _step(self, state: ISACState) -> tuple[ISACState, dict[str, Any]]:
        what = f"generation {state.generation}"
        return next_state(
            state, self.data, self.settings, self.laid.offset_range_A, lambda done, of: self.on_progress(done, of, what)
        )

    def _finalise(self, state: ISACState) -> ISACResult:
        accepted = _by_size(state.accepted)
        own = accepted.alignments.take(np.flatnonzero(accepted.alignments.reference >= 0))
        particles, preparation, count = self.laid.particles, self.laid.preparation, len(accepted.common)
        box, pixel = particles.box_px, particles.pixel_size_A
        empty = np.zeros((count, box, box), np.float32)
        averages, halves = empty, np.stack([empty, empty])
        frc, resolution = np.zeros((count, box // 2 + 1)), np.zeros(count)
        messages: tuple[str, ...] = ()
        if count:
            made = restore(
                particles.read, preparation, self.data.ctf, own, dealt_in_turn(own.reference), count,
                threads=self.laid.threads, progress=lambda done, of: self.on_progress(done, of, "averages"),
            )  # fmt: skip
            averages, halves, frc = made.full.cpu().numpy(), made.halves.cpu().numpy(), made.frc.cpu().numpy()
            resolution = claimed_resolution_A(frc, preparation)
        else:
            messages = (
                "Nothing was accepted: no class was found again by all runs with a stable alignment. The images may "
                "be noise, or too noisy for groups of this size; try more images per group.",
            )
        return ISACResult(
            pixel_size_A=pixel, particle_diameter_A=preparation.particle_diameter_A, averages=averages,
            halves=halves, frc=frc, resolution_A=resolution,
            population=np.bincount(own.reference, minlength=count), generation=accepted.generation,
            error_A=accepted.class_error_A, mirror_share=accepted.mirror_share, common=accepted.common,
            alignments=accepted.alignments, particle_error_A=accepted.error_A, outlier=accepted.outlier,
            messages=messages,
        )  # fmt: skip


def _by_size(accepted: Accepted) -> Accepted:
    """With the largest class first."""
    reference = accepted.alignments.reference
    size = np.bincount(reference[reference >= 0], minlength=len(accepted.common))
    order = np.argsort(-size, kind="stable")
    rank = np.empty(len(order) + 1, np.int64)
    rank[order], rank[-1] = np.arange(len(order)), -1
    per_class = ("generation", "class_error_A", "mirror_share", "common")
    return replace(
        accepted,
        alignments=replace(accepted.alignments, reference=rank[reference]),
        **{name: getattr(accepted, name)[order] for name in per_class},
    )


def prepare_isac(
    particles: ParticleSet, settings: ISAC, *, memory_bytes: int = 4 << 30, threads: int | None = None
) -> ISACRun:
    """Check settings against particles (judged, if nobody has) and lay out the work.

    Raises ValueError for settings that do not fit: fewer than two groups.
    """
    laid = lay_out(particles, settings, memory_bytes=memory_bytes, threads=threads)
    if laid.usable < 2 * settings.img_per_grp:
        raise ValueError(
            f"{laid.particles.path}: {laid.usable_words} make fewer than two groups of {settings.img_per_grp}; ask for "
            "fewer images per group (--img-per-grp)"
        )
    groups = laid.usable // settings.img_per_grp
    if groups > MANY_GROUPS:
        enough = -(-laid.usable // MANY_GROUPS)
        note = (
            f"{groups} groups in a run are more than views that can be told apart, and few are found again by another "
            f"run; larger groups (--img-per-grp {enough} or more) accept more particles"
        )
        laid = replace(laid, notes=(*laid.notes, note))
    return ISACRun(laid=laid, settings=settings)


def isac(
    particles: ParticleSet,
    settings: ISAC | None = None,
    *,
    memory_bytes: int = 4 << 30,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> ISACResult:
    """Stable and reproducible class averages (see :class:`ISAC` for the settings; keywords override them).

    ``on_step`` receives what is worth knowing of every step. Raises ValueError for settings that do not fit.
    """
    chosen = settings_with(ISAC, settings, overrides)
    prepared = prepare_isac(particles, chosen, memory_bytes=memory_bytes)
    return to_the_end(prepared.algorithm, chosen.seed, on_step)
