"""A test of stability as a task: classified particles in, figures of every class out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from vitreous.alignment import (
    FEWEST_MEMBERS,
    Groups,
    Matching,
    Stability,
    StabilityState,
    begin_stability,
    measure_stability,
    stability_pass,
)
from vitreous.averages.layout import Layout, Progress, lay_out, prepared_images, silent, to_the_end
from vitreous.averages.stability.result import StabilityResult
from vitreous.averages.stability.settings import StabilityTest
from vitreous.iterate import Algorithm
from vitreous.matching import (
    CONVERGED,
    FIRST_RINGS,
    Alignments,
    PreparedParticles,
    accumulate_at,
    residual_noise,
    resolved_rings,
    restore,
    ring_limit,
    signal_power,
)
from vitreous.particles import ParticleSet
from vitreous.randomness import uniforms
from vitreous.require import settings_with
from vitreous.words import counted

__all__ = ["StabilityRun", "StabilityRunState", "prepare_stability", "stability"]

MOST_RINGS = 24  # that images are expanded in


@dataclass(frozen=True, kw_only=True)
class StabilityRunState:
    """What a pass hands to the next one, and with it the noise and the rings that all passes work at."""

    iteration: int
    seed: int
    rings: int
    noise_power: torch.Tensor  # (G, R)
    ends: StabilityState


@dataclass(kw_only=True)
class StabilityRun:
    """A test that is ready to run; images are read when they are needed first."""

    laid: Layout
    settings: StabilityTest
    given: Alignments  # classes and poses of all particles
    notes: tuple[str, ...]
    on_progress: Progress = silent

    @property
    def algorithm(self) -> Algorithm[StabilityRunState, StabilityResult]:
        """For the driver."""
        return Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)

    @property
    def matching(self) -> Matching:
        """How images are compared with averages."""
        return Matching(offset_range_A=self.laid.offset_range_A, mirror=self.settings.mirror)

    @cached_property
    def data(self) -> PreparedParticles:
        """The prepared images."""
        return prepared_images(self.laid, self.laid.most_rings(MOST_RINGS), self.on_progress)

    @property
    def classes(self) -> int:
        """Number of classes in the file."""
        return int(self.given.reference.max()) + 1

    def _tested(self, seed: int) -> np.ndarray:
        """Class (n,) of the particles that are tested, -1 for all others."""
        label = np.where(self.data.bad | ~self.given.known, -1, self.given.reference)
        key = uniforms(seed, "tested members", ids=np.arange(len(label)))[:, 0]
        for k in range(self.classes):
            mine = np.flatnonzero(label == k)
            if len(mine) < FEWEST_MEMBERS:
                label[mine] = -1
            elif len(mine) > self.settings.members:
                label[mine[np.argsort(key[mine])[self.settings.members :]]] = -1
        return label

    def _groups(self, seed: int) -> Groups:
        # The last classes may have no member that is tested, and still have their places.
        return replace(Groups.of_labels(self._tested(seed)), count=self.classes).repeated(self.settings.starts)

    def _init(self, seed: int) -> StabilityRunState:
        data, groups = self.data, self._groups(seed)
        noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
        rings, noise = self._resolved(noise)
        ends = begin_stability(data, groups, noise, self.matching, seed)
        return StabilityRunState(iteration=0, seed=seed, rings=rings, noise_power=noise, ends=ends)

    def _resolved(self, noise: torch.Tensor) -> tuple[int, torch.Tensor]:
        """Rings that the averages of the classes, as they were given, resolve; and the noise that is left then."""
        data = self.data
        used = self.given.take(np.flatnonzero(self.given.known & ~data.bad))
        halves = tuple(accumulate_at(data, used.take(slice(h, None, 2)), self.classes, noise) for h in (0, 1))
        tau2 = signal_power(halves, data.basis)
        most = min(ring_limit(data, self.settings.resolution_limit_A), data.basis.rings)
        rings = min(max(resolved_rings(halves, tau2), FIRST_RINGS), most)
        return rings, residual_noise(noise, data, tau2, rings)

    def _step(self, state: StabilityRunState) -> tuple[StabilityRunState, dict[str, Any]]:
        groups = self._groups(state.seed)
        ends = stability_pass(
            state.ends, self.data, groups, state.noise_power, self.matching, state.rings, state.seed,
            progress=lambda done: self.on_progress(done, len(groups), "aligning"),
        )  # fmt: skip
        following = replace(state, iteration=state.iteration + 1, ends=ends)
        return following, {"moved_fraction": ends.moved, "rings": state.rings}

    def _done(self, state: StabilityRunState) -> bool:
        return state.iteration >= self.settings.iterations or state.ends.moved < CONVERGED

    def _finalise(self, state: StabilityRunState) -> StabilityResult:
        groups, starts = self._groups(state.seed), self.settings.starts
        found = measure_stability(state.ends, self.data, groups, starts, state.noise_power, self.matching, state.rings)
        return self._result(state, found)

    def _result(self, state: StabilityRunState, found: Stability) -> StabilityResult:
        data, particles, preparation = self.data, self.laid.particles, self.laid.preparation
        n, own = len(particles), found.alignments
        averages = restore(
            particles.read, preparation, data.ctf, own, np.arange(len(own)) % 2, self.classes,
            threads=self.laid.threads, progress=lambda done, of: self.on_progress(done, of, "averages"),
        )  # fmt: skip
        error, stable = np.full(n, np.nan), np.zeros(n, bool)
        error[own.particle], stable[own.particle] = found.member_error_A, found.mirror_stable
        return StabilityResult(
            pixel_size_A=particles.pixel_size_A,
            particle_diameter_A=preparation.particle_diameter_A,
            resolution_A=data.basis.window_px * data.pixel_size_A / state.rings,
            population=np.bincount(self.given.reference[self.given.reference >= 0], minlength=self.classes),
            tested=np.bincount(own.reference, minlength=self.classes),
            error_A=found.error_A,
            mirror_share=found.mirror_share,
            stable=found.stable(self.settings.threshold_px * particles.pixel_size_A),
            averages=averages.full.cpu().numpy(),
            particle_error_A=error,
            mirror_stable=stable,
            alignments=Alignments.unknown(n).put(own),
        )


def prepare_stability(
    particles: ParticleSet,
    settings: StabilityTest,
    *,
    alignments: Alignments | None = None,
    memory_bytes: int = 4 << 30,
    threads: int | None = None,
) -> StabilityRun:
    """Check settings against classified particles (judged, if nobody has) and lay out the work.

    alignments: of all particles to their classes; None: those of the particle table. Raises ValueError for particles
    without classes, and where no class has enough members.
    """
    laid = lay_out(particles, settings, memory_bytes=memory_bytes, threads=threads, poses=alignments is None)
    found = laid.particles
    given = Alignments.from_particles(found) if alignments is None else alignments
    sizes = np.bincount(given.reference[given.known & ~found.bad], minlength=1)
    if not given.known.any():
        raise ValueError(
            f"{found.path}: no particle has a class (rlnClassNumber), or the classification accepted "
            "nothing; give the particles of a 2D classification"
        )
    if sizes.max() < FEWEST_MEMBERS:
        largest = counted(int(sizes.max()), "usable particle")
        raise ValueError(f"{found.path}: the largest class has {largest}; expected at least {FEWEST_MEMBERS}")
    small = int(((sizes > 0) & (sizes < FEWEST_MEMBERS)).sum())
    notes = (f"{counted(small, 'class')} with fewer than {FEWEST_MEMBERS} particles: not tested",) if small else ()
    return StabilityRun(laid=laid, settings=settings, given=given, notes=notes)


def stability(
    particles: ParticleSet,
    settings: StabilityTest | None = None,
    *,
    alignments: Alignments | None = None,
    memory_bytes: int = 4 << 30,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> StabilityResult:
    """How stable the classes of classified particles are (see :class:`StabilityTest`; keywords override settings).

    alignments: of all particles to their classes, as a classification returns them; None: those of the particle table.
    ``on_step`` receives what is worth knowing of every pass. Raises ValueError for settings that do not fit.
    """
    chosen = settings_with(StabilityTest, settings, overrides)
    prepared = prepare_stability(particles, chosen, alignments=alignments, memory_bytes=memory_bytes)
    return to_the_end(prepared.algorithm, chosen.seed, on_step)
