"""The choice of classes as one call: classified particles in, figures and verdicts of every class out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vitreous.averages.class_choice.criteria import ClassVerdicts, outliers, verdicts
from vitreous.averages.class_choice.figures import ClassFigures, measure_classes
from vitreous.averages.class_choice.settings import ClassChoice
from vitreous.matching import (
    Alignments,
    offset_within_box,
    preparation_for,
    prepare_particles,
    restore,
)
from vitreous.matching.workers import one_thread
from vitreous.particles import ParticleSet, judged
from vitreous.require import settings_with

__all__ = ["JudgedClasses", "judge_classes"]

MOST_RINGS = 24  # that images are expanded in


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedClasses:
    """K classes, n particles. outlier: (n,) bool; averages: (K, L, L) where they were asked for."""

    figures: ClassFigures
    verdicts: ClassVerdicts
    alignments: Alignments
    outlier: np.ndarray
    averages: np.ndarray | None


def judge_classes(
    particles: ParticleSet,
    settings: ClassChoice | None = None,
    *,
    alignments: Alignments | None = None,
    classes: int | None = None,
    found_signal: bool = True,
    stable: np.ndarray | None = None,
    averages: bool = False,
    memory_bytes: int = 4 << 30,
    threads: int = 1,
    progress: Callable[[int, int, str], None] = lambda done, of, what: None,
    **overrides: Any,
) -> JudgedClasses:
    """Which classes of classified particles are worth keeping (see :class:`ClassChoice`; keywords override settings).

    alignments: of all particles to their classes; None: those of the particle table. classes: how many there are,
    where the last ones may be empty; found_signal, stable: as in :func:`verdicts`; averages: make averages of all
    classes from the original pixels as well. Raises ValueError for particles without classes.
    """
    chosen = settings_with(ClassChoice, settings, overrides)
    found = judged(particles, ctf=chosen.ctf, poses=alignments is None)
    given = Alignments.from_particles(found) if alignments is None else alignments
    used = given.take(np.flatnonzero(given.known & ~found.bad))
    if len(used) == 0:
        raise ValueError(
            f"{found.path}: no usable particle has a class (rlnClassNumber); give the particles of a 2D classification"
        )
    preparation = preparation_for(found, chosen)
    reach_A = offset_within_box(chosen.offset_range_A, preparation)
    count = max(classes or 0, int(used.reference.max()) + 1)
    ctf = found.ctf_for(chosen.ctf, premultiplied=True)
    with torch.no_grad(), one_thread():
        data = prepare_particles(
            found.read, len(found), preparation, rings=min(MOST_RINGS, preparation.working_basis(1 << 20).rings),
            ctf=ctf, noise_group=found.optics_group, threads=threads, memory_bytes=memory_bytes,
            progress=lambda done: progress(done, len(found), "reading particles"),
        )  # fmt: skip
        used = used.take(~data.bad[used.particle])
        figures, unexplained = measure_classes(data, used, count, reach_A, chosen.seed)
        made = None
        if averages:
            half = np.arange(len(used)) % 2
            made = restore(found.read, preparation, ctf, used, half, count, threads=threads).full.cpu().numpy()
    said = verdicts(
        figures, offset_range_A=reach_A, error_rate=chosen.error_rate, found_signal=found_signal, stable=stable
    )
    outlier = np.zeros(len(found), bool)
    outlier[used.particle] = outliers(unexplained, figures.signal[used.reference], chosen.error_rate)
    return JudgedClasses(figures=figures, verdicts=said, alignments=given, outlier=outlier, averages=made)
