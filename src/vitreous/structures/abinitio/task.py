"""Ab initio structures as a task: settings and particles in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.iterate import Algorithm, run
from vitreous.matching import (
    Dealt,
    ImagePreparation,
    PreparedParticles,
    assumptions,
    deal,
    held_out_size,
    preparation_for,
    prepare_particles,
)
from vitreous.matching.workers import one_thread
from vitreous.particles import ParticleSet, require_particles
from vitreous.processes import ALONE, Processes
from vitreous.require import settings_with
from vitreous.structures.abinitio.em import StartState, new_start, one_pass, with_symmetry
from vitreous.structures.abinitio.final import finish
from vitreous.structures.abinitio.result import AbinitioResult
from vitreous.structures.abinitio.schedule import FIRST_RINGS, Schedule
from vitreous.structures.abinitio.settings import Abinitio
from vitreous.structures.abinitio.sgd import gradient_pass

__all__ = ["AbinitioPlan", "AbinitioRun", "AbinitioState", "abinitio", "prepare_run"]

DEFAULT_OFFSET = 0.04  # of the box
FIRST_PER_VOLUME, FEWEST_PER_VOLUME = 1000, 300  # particles in the first pass: half of them within these limits
ELEMENTS_ACROSS = 8  # resolution elements across the diameter at which it ends, where no resolution is given
RINGS_PREPARED = 16  # at least: a mask on images that are cropped to fewer rings folds frequencies over the outer ones
START_SEEDS = 1_000_003  # between the seeds of two jobs with successive seeds lie those of all their starts


def _silent(done: int, total: int, what: str) -> None:
    """Progress for nobody."""


@dataclass(frozen=True, kw_only=True)
class AbinitioState:
    """Everything that an iteration hands to the next one: the starts so far, of which the last one may be running."""

    iteration: int
    seed: int
    starts: tuple[StartState, ...]


@dataclass(frozen=True, kw_only=True)
class AbinitioPlan:
    """What a run will do, before it does it."""

    n_particles: int
    box_px: int
    pixel_size_A: float
    particle_diameter_A: float
    offset_range_A: float
    volumes: int
    symmetry: str
    starts: int
    folds: int
    first_pass_particles: int
    held_out: int
    rings: int
    start_resolution_A: float
    finest_resolution_A: float
    has_ctf: bool
    prepared_bytes: int
    prepared_in_memory: bool
    memory_bytes: int
    notes: list[str] = field(default_factory=list)


class AbinitioRun:
    """An ab initio job that is ready to run: ``algorithm`` for the driver.

    A step is one pass of one start; starts follow each other. The prepared images are a cache.
    """

    def __init__(
        self,
        particles: ParticleSet,
        settings: Abinitio,
        *,
        device: str,
        memory_bytes: int,
        store: Path | None,
        threads: int,
        processes: Processes,
    ):
        self.particles = particles
        self.settings = settings
        self.device = device
        self.store = store
        self.threads = threads
        self.processes = processes
        self.on_progress: Callable[[int, int, str], None] = _silent
        self.preparation = preparation_for(particles, settings)
        self.ctf = particles.ctf_for(settings.ctf)
        self.plan = _plan(particles, settings, self.preparation, self.ctf is not None, memory_bytes)
        self.algorithm = Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)
        self._data: PreparedParticles | None = None

    def data(self) -> PreparedParticles:
        """The prepared particles."""
        if self._data is None:
            own = f"rings{_rings_prepared(self.plan.rings)}_{self.processes.rank}.dat"
            on_disk = self.store is not None and not self.plan.prepared_in_memory
            self._data = prepare_particles(
                self.particles.read,
                len(self.particles),
                self.preparation,
                rings=_rings_prepared(self.plan.rings),
                ctf=self.ctf,
                noise_group=self.particles.optics_group,
                store=self.store / own if on_disk and self.store is not None else None,
                device=self.device,
                threads=self.threads,
                memory_bytes=self.plan.memory_bytes,
                processes=self.processes,
                progress=lambda done: self.on_progress(done, len(self.particles), "reading particles"),
            )
            _check_enough(self.particles, int((~self._data.bad).sum()), "usable ", self.settings)
        return self._data

    def dealt(self, seed: int) -> Dealt:
        """Who takes part in what, alike in all starts."""
        good = np.flatnonzero(~self.data().bad)
        return deal(good, self.settings.folds, seed, held_out=held_out_size(len(good)))

    def _init(self, seed: int) -> AbinitioState:
        return AbinitioState(iteration=0, seed=seed, starts=(self._new_start(seed, 0),))

    def _new_start(self, seed: int, number: int) -> StartState:
        dealt = self.dealt(seed)
        schedule = Schedule.start(self.plan.rings, self.plan.first_pass_particles)
        own, room = START_SEEDS * seed + number, min(self.plan.rings + 1, self.data().basis.rings)
        return new_start(self.data(), self.settings, dealt.folds, own, schedule, room, self.processes)

    def _step(self, state: AbinitioState) -> tuple[AbinitioState, dict[str, Any]]:
        starts = state.starts
        if starts[-1].ended:
            starts = (*starts, self._new_start(state.seed, len(starts)))
        a_pass = gradient_pass if self.settings.method == "sgd" else one_pass
        following, info = a_pass(
            starts[-1],
            self.data(),
            self.settings,
            self.dealt(state.seed).folds,
            self.plan.offset_range_A,
            self.plan.rings,
            processes=self.processes,
            progress=lambda done, of: self.on_progress(done, of, f"start {len(starts)}"),
        )
        following = with_symmetry(following, self.data(), self.settings, self.plan.rings)
        return (
            replace(state, iteration=state.iteration + 1, starts=(*starts[:-1], following)),
            {"start": len(starts), "pass": following.passes, "symmetry": following.symmetry, **info},
        )

    def _done(self, state: AbinitioState) -> bool:
        return len(state.starts) == self.settings.starts and state.starts[-1].ended

    def _finalise(self, state: AbinitioState) -> AbinitioResult:
        return finish(
            state.starts,
            self.data(),
            self.settings,
            self.dealt(state.seed),
            self.plan.offset_range_A,
            self.on_progress,
            self.processes,
        )


def _rings_prepared(rings: int) -> int:
    return max(RINGS_PREPARED, rings + 1)


def _check_enough(particles: ParticleSet, count: int, kind: str, settings: Abinitio) -> None:
    fewest = max(2 * settings.folds, 20 * settings.volumes)
    if count < fewest:
        raise ValueError(
            f"{particles.path}: {count} {kind}particles are too few for {settings.volumes} "
            f"volume{'s' * (settings.volumes > 1)} and {settings.folds} folds; at least {fewest} are needed"
        )


def _plan(
    particles: ParticleSet, settings: Abinitio, preparation: ImagePreparation, has_ctf: bool, memory_bytes: int
) -> AbinitioPlan:
    n, box, pixel = len(particles), particles.box_px, particles.pixel_size_A
    _check_enough(particles, n, "", settings)
    full = preparation.working_basis(1 << 20)
    window_A = full.window_px * pixel * box / full.box_px
    finest = settings.resolution_limit_A or preparation.particle_diameter_A / ELEMENTS_ACROSS
    rings = max(1, min(full.rings, int(window_A / finest)))
    prepared = n * preparation.working_basis(_rings_prepared(rings)).packed_size * 4
    notes = assumptions(particles, settings, preparation)
    held_out = held_out_size(n)
    half = min(max(FEWEST_PER_VOLUME * settings.volumes, (n - held_out) // 2), FIRST_PER_VOLUME * settings.volumes)
    first = settings.subset if settings.subset is not None else half
    return AbinitioPlan(
        n_particles=n,
        box_px=box,
        pixel_size_A=pixel,
        particle_diameter_A=preparation.particle_diameter_A,
        offset_range_A=settings.offset_range_A or DEFAULT_OFFSET * box * pixel,
        volumes=settings.volumes,
        symmetry=settings.symmetry,
        starts=settings.starts,
        folds=settings.folds,
        first_pass_particles=min(first, n - held_out),
        held_out=held_out,
        rings=rings,
        start_resolution_A=window_A / min(FIRST_RINGS, rings),
        finest_resolution_A=window_A / rings,
        has_ctf=has_ctf,
        prepared_bytes=prepared,
        prepared_in_memory=prepared < memory_bytes // 4,
        memory_bytes=memory_bytes,
        notes=notes,
    )


def prepare_run(
    particles: ParticleSet,
    settings: Abinitio,
    *,
    device: str = "cpu",
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    threads: int | None = None,
    processes: Processes = ALONE,
) -> AbinitioRun:
    """Check settings against particles and lay out the work; nothing is read from the images yet.

    store: folder for prepared images that do not fit in a quarter of ``memory_bytes``; threads: None for as many as
    PyTorch uses.
    Raises ValueError for settings that do not fit the particles.
    """
    threads = torch.get_num_threads() if threads is None else threads
    return AbinitioRun(
        particles,
        settings,
        device=device,
        memory_bytes=memory_bytes,
        store=store,
        threads=threads,
        processes=processes,
    )


def abinitio(
    particles: ParticleSet,
    settings: Abinitio | None = None,
    *,
    device: str = "cpu",
    memory_bytes: int = 4 << 30,
    processes: Processes = ALONE,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> AbinitioResult:
    """Volumes from particles of unknown pose (see :class:`Abinitio` for the settings; keywords override them).

    ``on_step`` receives what is worth knowing of every pass. Raises ValueError for settings that do not fit.
    """
    chosen = settings_with(Abinitio, settings, overrides)
    prepared = prepare_run(
        require_particles(particles), chosen, device=device, memory_bytes=memory_bytes, processes=processes
    )
    with torch.no_grad(), one_thread():
        result, _ = run(prepared.algorithm, seed=chosen.seed, on_step=on_step)
    return result
