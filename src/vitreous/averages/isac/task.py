"""ISAC as a task: settings and particles in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from vitreous.averages.isac.algorithm import Accepted, ISACState, first_state, most_steps, next_state
from vitreous.averages.isac.result import ISACResult
from vitreous.averages.isac.settings import ISAC
from vitreous.iterate import Algorithm, run
from vitreous.matching import (
    Alignments,
    ImagePreparation,
    PreparedParticles,
    assumptions,
    claimed_resolution_A,
    offset_within_box,
    preparation_for,
    prepare_particles,
    restore,
)
from vitreous.matching.workers import one_thread
from vitreous.particles import ParticleSet, judged

__all__ = ["ISACRun", "isac", "prepare_isac"]

MOST_RINGS = 16  # that images are expanded in: about 14 cycles across the particle


@dataclass(kw_only=True)
class ISACRun:
    """A run that is laid out; images are read when they are needed first."""

    particles: ParticleSet
    settings: ISAC
    preparation: ImagePreparation
    offset_range_A: float
    memory_bytes: int
    threads: int
    notes: tuple[str, ...]
    on_progress: Callable[[int, int, str], None] = field(default=lambda done, of, what: None)

    @property
    def steps(self) -> int:
        """Steps at most."""
        return most_steps(len(self.particles), self.settings)

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
        particles, most = self.particles, self.preparation.working_basis(1 << 20).rings
        return prepare_particles(
            particles.read,
            len(particles),
            self.preparation,
            rings=min(MOST_RINGS, most),
            ctf=particles.ctf_for(self.settings.ctf, premultiplied=True),
            noise_group=particles.optics_group,
            threads=self.threads,
            memory_bytes=self.memory_bytes,
            progress=lambda done: self.on_progress(done, len(particles), "reading particles"),
        )

    def _step(self, state: ISACState) -> tuple[ISACState, dict[str, Any]]:
        what = f"generation {state.generation}"
        return next_state(
            state, self.data, self.settings, self.offset_range_A, lambda done, of: self.on_progress(done, of, what)
        )

    def _finalise(self, state: ISACState) -> ISACResult:
        accepted = _by_size(state.accepted)
        own = accepted.alignments.take(np.flatnonzero(accepted.alignments.reference >= 0))
        count, box, pixel = len(accepted.common), self.particles.box_px, self.particles.pixel_size_A
        empty = np.zeros((count, box, box), np.float32)
        averages, halves = empty, np.stack([empty, empty])
        frc, resolution = np.zeros((count, box // 2 + 1)), np.zeros(count)
        messages: tuple[str, ...] = ()
        if count:
            made = restore(
                self.particles.read, self.preparation, self.data.ctf, own, _halves(own), count, threads=self.threads,
                progress=lambda done, of: self.on_progress(done, of, "averages"),
            )  # fmt: skip
            averages, halves, frc = made.full.cpu().numpy(), made.halves.cpu().numpy(), made.frc.cpu().numpy()
            resolution = claimed_resolution_A(frc, self.preparation)
        else:
            messages = (
                "Nothing was accepted: no class was found again by all runs with a stable alignment. The images may "
                "be noise, or too noisy for groups of this size; try more images per group.",
            )
        return ISACResult(
            pixel_size_A=pixel, particle_diameter_A=self.preparation.particle_diameter_A, averages=averages,
            halves=halves, frc=frc, resolution_A=resolution,
            population=np.bincount(own.reference, minlength=count), generation=accepted.generation,
            error_A=accepted.class_error_A, mirror_share=accepted.mirror_share, common=accepted.common,
            alignments=accepted.alignments, particle_error_A=accepted.error_A, outlier=accepted.outlier,
            messages=messages,
        )  # fmt: skip


def _halves(own: Alignments) -> np.ndarray:
    """Half (m,) of every member, dealt in turn within its class."""
    order = np.argsort(own.reference, kind="stable")
    half = np.empty(len(own), np.int64)
    half[order] = np.arange(len(own)) % 2
    return half


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
    found = judged(particles, ctf=settings.ctf, poses=False)
    usable = int(np.count_nonzero(~found.bad))
    if usable < 2 * settings.img_per_grp:
        raise ValueError(
            f"{found.path}: {usable} usable particles make fewer than two groups of "
            f"{settings.img_per_grp}; ask for fewer images per group (--img-per-grp)"
        )
    preparation = preparation_for(found, settings)
    notes = assumptions(found, settings, preparation)
    return ISACRun(
        particles=found,
        settings=settings,
        preparation=preparation,
        offset_range_A=offset_within_box(settings.offset_range_A, preparation),
        memory_bytes=memory_bytes,
        threads=torch.get_num_threads() if threads is None else threads,
        notes=tuple(notes),
    )


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
    chosen = replace(settings or ISAC(), **overrides)
    prepared = prepare_isac(particles, chosen, memory_bytes=memory_bytes)
    with torch.no_grad(), one_thread():
        result, _ = run(prepared.algorithm, seed=chosen.seed, on_step=on_step)
    return result
