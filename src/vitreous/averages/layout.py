"""How a method on particles lays out its run: what is known before anything is computed, once for all methods.

A run object has a :class:`Layout` and what its method adds; ``prepared_images`` reads the particles when they are
needed first; ``to_the_end`` is what the function of a method does with the algorithm of a run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from vitreous.iterate import Algorithm, IterativeState, run
from vitreous.matching import (
    ImagePreparation,
    ImageSettings,
    PreparedParticles,
    assumptions,
    offset_within_box,
    preparation_for,
    prepare_particles,
)
from vitreous.matching.workers import one_thread
from vitreous.optics import CTFParameters
from vitreous.particles import ParticleSet, judged
from vitreous.words import counted

__all__ = ["Layout", "Progress", "lay_out", "prepared_images", "silent", "to_the_end", "usable_words"]

S = TypeVar("S", bound=IterativeState)
R = TypeVar("R")
Progress = Callable[[int, int, str], None]  # (done, of how many, what)


class SearchSettings(ImageSettings, Protocol):
    """Settings that say what the images are and how far from the centre of its box a particle may lie."""

    @property
    def offset_range_A(self) -> float | None:
        """None: 6% of the box."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """What follows from particles and settings.

    particles: judged; ctf: of all of them, or None; store: folder for what does not fit into memory; notes: what a user
    should know of the choices that were made.
    """

    particles: ParticleSet
    preparation: ImagePreparation
    ctf: CTFParameters | None
    offset_range_A: float
    memory_bytes: int
    threads: int
    store: Path | None
    notes: tuple[str, ...]

    @property
    def usable(self) -> int:
        """Number of particles that can be used."""
        return int(np.count_nonzero(~self.particles.bad))

    @property
    def usable_words(self) -> str:
        """That number, and why the others cannot be used."""
        return usable_words(self.particles, self.usable)

    def most_rings(self, wanted: int) -> int:
        """Rings up to a number, as far as the images have them."""
        return self.preparation.working_basis(wanted).rings


def usable_words(particles: ParticleSet, count: int) -> str:
    """``count`` usable particles, and why the others of a set that was judged cannot be used."""
    judged_as = getattr(particles, "usable", None)
    left = () if judged_as is None else [fault.words for fault in judged_as.faults if len(fault.rows)]
    return counted(count, "usable particle") + (f" of {len(particles):,} ({'; '.join(left)})" if left else "")


def lay_out(
    particles: ParticleSet,
    settings: SearchSettings,
    *,
    memory_bytes: int,
    threads: int | None,
    store: Path | None = None,
    poses: bool = False,
) -> Layout:
    """Judge the particles, if nobody has, and fix what follows from them and from settings.

    threads: None for as many as PyTorch uses; poses: whether the method takes those of the table. Raises ValueError for
    settings that do not fit the particles.
    """
    found = judged(particles, ctf=settings.ctf, poses=poses)
    preparation = preparation_for(found, settings)
    return Layout(
        particles=found,
        preparation=preparation,
        ctf=found.ctf_for(settings.ctf, premultiplied=True),
        offset_range_A=offset_within_box(settings.offset_range_A, preparation),
        memory_bytes=memory_bytes,
        threads=torch.get_num_threads() if threads is None else threads,
        store=store,
        notes=tuple(assumptions(found, settings, preparation)),
    )


def prepared_images(laid: Layout, rings: int, progress: Progress, **options: Any) -> PreparedParticles:
    """The particles with so many rings; options are those of :func:`vitreous.matching.prepare_particles`."""
    particles = laid.particles
    return prepare_particles(
        particles.read,
        len(particles),
        laid.preparation,
        rings=rings,
        ctf=laid.ctf,
        noise_group=particles.optics_group,
        threads=laid.threads,
        memory_bytes=laid.memory_bytes,
        progress=lambda done: progress(done, len(particles), "reading particles"),
        **options,
    )


def to_the_end(algorithm: Algorithm[S, R], seed: int, on_step: Callable[[dict[str, Any]], None] | None = None) -> R:
    """The result of an algorithm, as the function of a method returns it; nothing is kept on the way."""
    with torch.no_grad(), one_thread():
        result, _ = run(algorithm, seed=seed, on_step=on_step)
    return result


def silent(done: int, total: int, what: str) -> None:
    """Progress for nobody."""
