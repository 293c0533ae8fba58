"""Multivariate statistical analysis as a task: particles with poses and settings in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.averages.layout import Progress, silent, to_the_end, usable_words
from vitreous.averages.msa.factors import (
    MOST_EXACT,
    POWER_PASSES,
    Factors,
    coordinates_of,
    exact_factors,
    random_start,
    subspace_pass,
)
from vitreous.averages.msa.final import finish
from vitreous.averages.msa.images import AlignedImages, SharedError, background_power, keep_rows, whitening_gain
from vitreous.averages.msa.metric import Metric, Moments, metric_of
from vitreous.averages.msa.result import MSAResult
from vitreous.averages.msa.settings import MSA
from vitreous.iterate import Algorithm
from vitreous.matching import Alignments, ImagePreparation, assumptions, preparation_for
from vitreous.particles import ParticleSet, judged
from vitreous.require import settings_with
from vitreous.words import counted

__all__ = ["MSARun", "MSAState", "msa", "prepare_msa"]

FEWEST = 10  # images
POSE_COLUMNS = ("rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginX", "rlnOriginY")


@dataclass(frozen=True, kw_only=True)
class MSAState:
    """What a pass hands to the next one: moments, then factors (a basis on the way to them), then coordinates."""

    iteration: int
    seed: int
    moments: Moments | None
    basis: np.ndarray  # (p, l) of the subspace iteration; empty where the covariance is formed
    factors: Factors | None
    coordinates: np.ndarray  # (m, k); empty until the last pass


@dataclass(kw_only=True)
class MSARun:
    """An analysis that is laid out; images are read when they are needed first."""

    particles: ParticleSet
    settings: MSA
    preparation: ImagePreparation
    mask: np.ndarray
    given: Alignments  # of all particles
    used: np.ndarray  # rows of the m particles that are analysed
    memory_bytes: int
    store: Path | None
    threads: int
    notes: tuple[str, ...]  # what was chosen
    warnings: tuple[str, ...]  # what is missing: poses, classes, noise
    most_exact: int = MOST_EXACT  # pixels whose covariance is formed
    on_progress: Progress = silent

    @property
    def algorithm(self) -> Algorithm[MSAState, MSAResult]:
        """For the driver."""
        return Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)

    @property
    def exact(self) -> bool:
        """Whether the covariance is formed."""
        return int(self.mask.sum()) <= self.most_exact

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return 3 if self.exact else 2 + POWER_PASSES

    @property
    def kept_factors(self) -> int:
        """Factors that are computed: those asked for, as far as images and pixels allow."""
        return min(self.settings.factors, int(self.mask.sum()), len(self.used) - 1)

    @cached_property
    def noise(self) -> torch.Tensor | None:
        """Noise power of the background, (L // 2 + 1,)."""
        return background_power(self.particles.read, self.preparation, self.used)

    @cached_property
    def images(self) -> AlignedImages:
        """The images in their common frame."""
        whitening = self.noise if self.settings.whiten else None
        return AlignedImages(
            read=self.particles.read,
            preparation=self.preparation,
            alignments=self.given.take(self.used),
            ctf=self.particles.ctf_for(self.settings.ctf, premultiplied=True),
            mask=self.mask,
            gain=whitening_gain(whitening, self.preparation, self.settings.resolution_limit_A),
            shared=SharedError.of_mask(self.mask, self.preparation.radius_px) if self.settings.normalise else None,
        )

    @cached_property
    def rows(self) -> np.ndarray:
        """Their pixels within the mask, (m, p)."""
        return keep_rows(self.images, self.store, self.memory_bytes, self.threads, self._said("reading images"))

    def metric(self, moments: Moments) -> Metric:
        """How images are compared. ValueError for an offset that is too small."""
        return metric_of(self.settings.metric, moments, self.settings.offset)

    def _said(self, what: str) -> Callable[[int], None]:
        return lambda done: self.on_progress(done, len(self.used), what)

    def _init(self, seed: int) -> MSAState:
        none = np.zeros((0, 0))
        return MSAState(iteration=0, seed=seed, moments=None, basis=none, factors=None, coordinates=none)

    def _step(self, state: MSAState) -> tuple[MSAState, dict[str, Any]]:
        following = replace(state, iteration=state.iteration + 1)
        count = self.kept_factors
        if state.moments is None:
            moments = self._moments()
            self.metric(moments)
            basis = (
                np.zeros((0, 0)) if self.exact else random_start(self.rows.shape[1], len(self.rows), count, state.seed)
            )
            return replace(following, moments=moments, basis=basis), {"pass": "moments"}
        metric = self.metric(state.moments)
        if self.exact and state.factors is None:
            factors = exact_factors(self.rows, metric, count, self.threads, self._said("covariance"))
            return replace(following, factors=factors), {"pass": "covariance", "total": factors.total}
        if not self.exact and state.iteration <= POWER_PASSES:
            basis, factors = subspace_pass(self.rows, metric, state.basis, count, self.threads, self._said("factors"))
            return replace(following, basis=basis, factors=factors), {"pass": "subspace", "total": factors.total}
        assert state.factors is not None
        found = coordinates_of(self.rows, metric, state.factors.vectors, self.threads, self._said("coordinates"))
        return replace(following, coordinates=found), {"pass": "coordinates"}

    def _moments(self) -> Moments:
        rows, block = self.rows, 1024
        whole = Moments.of(np.asarray(rows[:block]))
        for start in range(block, len(rows), block):
            whole = whole.then(Moments.of(np.asarray(rows[start : start + block])))
        return whole

    def _done(self, state: MSAState) -> bool:
        return len(state.coordinates) > 0

    def _finalise(self, state: MSAState) -> MSAResult:
        assert state.moments is not None
        assert state.factors is not None
        return finish(
            self.images, self.rows, self.settings, state.moments, self.metric(state.moments), state.factors,
            state.coordinates, state.seed, self.given, self.threads, self.on_progress,
        )  # fmt: skip


def prepare_msa(
    particles: ParticleSet,
    settings: MSA,
    *,
    mask: np.ndarray | None = None,
    alignments: Alignments | None = None,
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    threads: int | None = None,
) -> MSARun:
    """Check settings against particles (judged, if nobody has) and lay out the work.

    mask: (L, L), pixels above 0.5 are compared; None: the circle of the particle diameter. alignments: of all
    particles; None: those of the particle table, and images as they stand where it has none. store: folder for rows
    that do not fit in a quarter of ``memory_bytes``. Raises ValueError for what does not fit: too few images, a mask
    without pixels.
    """
    found = judged(particles, ctf=settings.ctf, poses=alignments is None)
    preparation = preparation_for(found, settings)
    given, used, warnings = _chosen(found, alignments)
    notes = assumptions(found, settings, preparation)
    laid_out = MSARun(
        particles=found,
        settings=settings,
        preparation=preparation,
        mask=_mask(mask, preparation, found.path),
        given=given,
        used=used,
        memory_bytes=memory_bytes,
        store=store,
        threads=torch.get_num_threads() if threads is None else threads,
        notes=(),
        warnings=(),
    )
    _check_counts(laid_out)
    if laid_out.kept_factors < settings.factors:
        notes.append(f"{settings.factors} factors asked for; {laid_out.kept_factors} are possible with these images")
    if settings.whiten and laid_out.noise is None:
        warnings.append("the background has no noise: images are not whitened")
    return replace(laid_out, notes=tuple(notes), warnings=tuple(warnings))


def _chosen(particles: ParticleSet, alignments: Alignments | None) -> tuple[Alignments, np.ndarray, list[str]]:
    """(alignments of all, rows that are used, warnings): without images that cannot be used, or that a class lacks."""
    n, warnings = len(particles), []
    table = getattr(particles, "table", None)  # none in a set made in memory
    if alignments is not None:
        given = alignments
    elif table is None:
        given = replace(Alignments.unknown(n), origin_A=np.asarray(particles.origin_A, np.float64))
    else:
        given = Alignments.from_particles(particles)
        if not any(name in table for name in POSE_COLUMNS):
            warnings.append("no poses (rlnAnglePsi, rlnOriginXAngst): images are used as they stand")
    usable = ~particles.bad & _with_contrast(particles)
    if (given.reference >= 0).any():
        left = usable & (given.reference < 0)
        if left.any():
            warnings.append(f"{int(left.sum()):,} particles without a class are not used")
        usable &= given.reference >= 0
    usable &= np.isfinite(given.psi_rad) & np.isfinite(given.origin_A).all(1)
    return given, np.flatnonzero(usable), warnings


def _with_contrast(particles: ParticleSet) -> np.ndarray:
    """(n,) bool: not one value everywhere. A set that was read from a file has been judged, and is not read again."""
    n = len(particles)
    if hasattr(particles, "table"):
        return np.ones(n, bool)
    varied = np.zeros(n, bool)
    for start in range(0, n, 256):
        index = np.arange(start, min(start + 256, n))
        images = particles.read(index).reshape(len(index), -1)
        varied[index] = np.isfinite(images).all(1) & (np.ptp(images, axis=1) > 0)
    return varied


def _mask(given: np.ndarray | None, preparation: ImagePreparation, path: Path) -> np.ndarray:
    n = preparation.box_px
    if given is None:
        axis = np.arange(n) - n // 2
        return np.asarray(np.hypot(axis[:, None], axis[None, :]) <= preparation.radius_px)
    if given.shape != (n, n):
        raise ValueError(f"mask: expected {n} x {n} pixels as the particles of {path} have, found {given.shape}")
    inside = np.asarray(given > 0.5)
    if inside.sum() < 2:
        raise ValueError(
            f"mask: covers nothing: {counted(int(inside.sum()), 'pixel')} above 0.5 (its values go from "
            f"{given.min():g} to {given.max():g}); expected 1 where the particle is and 0 elsewhere"
        )
    return inside


def _check_counts(laid_out: MSARun) -> None:
    count, settings, path = len(laid_out.used), laid_out.settings, laid_out.particles.path
    if count < FEWEST:
        words = f"{usable_words(laid_out.particles, count)} {'is' if count == 1 else 'are'}"
        raise ValueError(f"{path}: {words} too few to analyse; expected at least {FEWEST}")
    if count <= settings.factors:
        raise ValueError(
            f"{path}: factors: {settings.factors} factors need more than {settings.factors} images, found {count}; "
            "ask for fewer"
        )
    if settings.classes is not None and settings.classes > count:
        raise ValueError(f"{path}: classes: expected at most {count}, the number of images, found {settings.classes}")


def msa(
    particles: ParticleSet,
    settings: MSA | None = None,
    *,
    mask: np.ndarray | None = None,
    alignments: Alignments | None = None,
    memory_bytes: int = 4 << 30,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> MSAResult:
    """Multivariate statistical analysis of aligned particles (see :class:`MSA`; keywords override the settings).

    mask: (L, L), pixels above 0.5 are compared; alignments: of all particles, None: those of the particle table.
    ``on_step`` receives what is worth knowing of every pass. Raises ValueError for settings that do not fit.
    """
    chosen = settings_with(MSA, settings, overrides)
    prepared = prepare_msa(particles, chosen, mask=mask, alignments=alignments, memory_bytes=memory_bytes)
    return to_the_end(prepared.algorithm, chosen.seed, on_step)
