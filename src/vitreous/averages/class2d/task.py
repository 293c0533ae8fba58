"""2D classification as a task: settings and particles in, an algorithm or a result out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.averages.class2d.em import Class2DState, first_pass_size, initial_state, one_pass
from vitreous.averages.class2d.final import finish
from vitreous.averages.class2d.settings import Class2D
from vitreous.averages.layout import Layout, Progress, lay_out, prepared_images, silent, to_the_end
from vitreous.averages.result import Class2DResult
from vitreous.iterate import Algorithm
from vitreous.matching import (
    FIRST_RINGS,
    Dealt,
    PoseGrid,
    PreparedParticles,
    aligned_images,
    deal,
    held_out_size,
    most_shifts,
    padded,
    shifted_bytes,
    signal_power,
    total,
    wiener,
)
from vitreous.particles import ParticleSet
from vitreous.processes import ALONE, Processes
from vitreous.require import settings_with

__all__ = ["Class2DPlan", "Class2DRun", "class2d", "prepare_run"]

RINGS_AT_START = 16  # prepared for the first passes; more are prepared when the resolution asks for them
RING_GROWTH = 1.5
CORE_FLOPS = 3e10  # per thread and second, what the matching core reaches on a common core


@dataclass(frozen=True, kw_only=True)
class Class2DPlan:
    """What a run will do, before it does it."""

    n_particles: int
    box_px: int
    pixel_size_A: float
    particle_diameter_A: float
    offset_range_A: float
    classes: int
    folds: int
    first_pass_particles: int
    start_resolution_A: float
    finest_resolution_A: float
    has_ctf: bool
    noise_groups: int
    prepared_bytes: int
    prepared_in_memory: bool
    memory_bytes: int
    seconds_estimate: float
    notes: list[str] = field(default_factory=list)


class Class2DRun:
    """A classification that is ready to run: ``algorithm`` for the driver, and views of its states.

    The prepared images are a cache that is rebuilt whenever a state needs more rings, so a state alone determines
    what follows.
    """

    def __init__(
        self,
        laid: Layout,
        settings: Class2D,
        *,
        device: str,
        processes: Processes,
    ):
        self.processes = processes
        self.laid = laid
        self.particles = laid.particles
        self.settings = settings
        self.device = device
        self.threads = laid.threads
        self.on_progress: Progress = silent
        self.preparation = laid.preparation
        self.plan = _plan(laid, settings)
        self.algorithm = Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)
        self._data: PreparedParticles | None = None

    def data(self, rings: int) -> PreparedParticles:
        """The prepared particles with room for at least so many rings."""
        if self._data is None or self._data.basis.rings < min(rings, self._most_rings):
            wanted = min(max(rings, RINGS_AT_START), self._most_rings)
            self._data = prepared_images(
                self.laid,
                wanted,
                self.on_progress,
                store=self._file(wanted),
                device=self.device,
                processes=self.processes,
            )
            _check_enough(self.particles, int((~self._data.bad).sum()), "usable ", self.settings)
        return self._data

    def dealt(self, data: PreparedParticles, seed: int) -> Dealt:
        """Who takes part in what."""
        good = np.flatnonzero(~data.bad)
        return deal(good, self.settings.folds, seed, held_out=held_out_size(len(good)))

    def _file(self, rings: int) -> Path | None:
        """Where prepared images are kept that do not fit into memory; every process has its own."""
        if self.plan.prepared_in_memory or self.laid.store is None:
            return None
        return self.laid.store / f"rings{rings}_{self.processes.rank}.dat"

    @property
    def _most_rings(self) -> int:
        return self.preparation.working_basis(1 << 20).rings

    def _init(self, seed: int) -> Class2DState:
        data = self.data(RINGS_AT_START)
        return initial_state(data, self.settings, self.dealt(data, seed).folds, seed, self.processes)

    def _step(self, state: Class2DState) -> tuple[Class2DState, dict[str, Any]]:
        room = state.room
        if state.march.rings > room:
            room = min(math.ceil(RING_GROWTH * room), self._most_rings)
        data = self.data(room)
        return one_pass(
            _with_room(state, data),
            data,
            self.settings,
            self.dealt(data, state.seed).folds,
            self.plan.offset_range_A,
            processes=self.processes,
            progress=lambda done, of: self.on_progress(done, of, "matching"),
        )

    def _done(self, state: Class2DState) -> bool:
        return state.march.converged or state.iteration >= self.settings.iterations

    def _finalise(self, state: Class2DState) -> Class2DResult:
        data = self.data(state.room)
        return finish(
            _with_room(state, data),
            data,
            self.settings,
            self.dealt(data, state.seed),
            self.plan.offset_range_A,
            self.particles.read,
            self.on_progress,
            self.processes,
        )

    def snapshot(self, state: Class2DState) -> dict[str, Any]:
        """Class averages and assignments as they are in a state, for files of an iteration.

        Keys: averages (K, L, L), distribution (K,), resolution_A (K,), class_number (n,) from 1 (0: not seen),
        psi_deg, origin_x_A, origin_y_A, max_probability, log_likelihood (n,).
        """
        data, every = self.data(state.room), total(state.parts)
        tau2 = signal_power(state.parts, data.basis)
        pictures = data.picture(wiener(every.signal, every.power, tau2))
        members = every.members.cpu().numpy()
        resolved = (tau2[None] * every.power >= 1).int().cumprod(1).sum(1).cpu().numpy()
        window_A = data.basis.window_px * data.pixel_size_A
        return {
            "averages": pictures.cpu().numpy(),
            "distribution": members / max(members.sum(), 1e-12),
            "resolution_A": np.where(resolved > 0, window_A / np.maximum(resolved, 1), np.inf),
            "class_number": state.alignments.reference + 1,
            "psi_deg": state.alignments.psi_deg,
            "origin_x_A": state.alignments.origin_A[:, 0],
            "origin_y_A": state.alignments.origin_A[:, 1],
            "max_probability": state.max_probability,
            "log_likelihood": state.log_evidence,
        }

    def examples(
        self, result: Class2DResult, *, per_class: int = 8, classes: int = 8
    ) -> list[tuple[int, int, np.ndarray]]:
        """Aligned particles of the largest classes: (class number, row from 0, image (L, L)) of the likeliest."""
        chosen = []
        for number in range(1, min(classes, len(result.population)) + 1):
            mine = np.flatnonzero(result.class_number == number)
            chosen.append(mine[np.argsort(-result.log_likelihood[mine], kind="stable")][:per_class])
        index = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
        if len(index) == 0:
            return []
        shown = result.alignments.take(index)
        images = [i for _, i, _ in aligned_images(self.particles.read, self.preparation, None, shown)]
        pictures = torch.cat(images).numpy()
        return [(int(result.class_number[i]), int(i), pictures[j]) for j, i in enumerate(index)]


def _with_room(state: Class2DState, data: PreparedParticles) -> Class2DState:
    """The state with sums and noise for all rings of the prepared data (new rings are empty)."""
    rings, harmonics = data.basis.rings, data.basis.harmonics
    if state.room == rings:
        return state
    classes = len(state.parts[0].power)
    parts = tuple(
        replace(
            part,
            signal=padded(part.signal, (classes, rings, harmonics)),
            power=padded(part.power, (classes, rings)),
        )
        for part in state.parts
    )
    noise = data.group_power.clone()
    noise[:, : state.room] = state.noise_power
    return replace(state, parts=parts, noise_power=noise)


def _check_enough(particles: ParticleSet, count: int, kind: str, settings: Class2D) -> None:
    if count < max(2 * settings.folds, settings.classes):
        raise ValueError(
            f"{particles.path}: {count} {kind}particles are too few for {settings.classes} classes and "
            f"{settings.folds} folds; ask for fewer classes"
        )


def _plan(laid: Layout, settings: Class2D) -> Class2DPlan:
    particles, preparation, memory_bytes = laid.particles, laid.preparation, laid.memory_bytes
    n, box, pixel, usable = len(particles), particles.box_px, particles.pixel_size_A, laid.usable
    _check_enough(particles, usable, "" if usable == n else "usable ", settings)
    basis = preparation.working_basis(RINGS_AT_START)
    full = preparation.working_basis(1 << 20)
    window_A = full.window_px * pixel * box / full.box_px
    prepared = n * basis.packed_size * 4
    reach_px = laid.offset_range_A / (window_A / full.window_px)
    finest = PoseGrid.for_rings(full, full.rings, reach_px, most_shifts=most_shifts(full, full.rings))
    notes = [*laid.notes, *finest.notes]
    copies = len(finest.shifts_px) * shifted_bytes(full, full.rings)
    if copies > memory_bytes // 2:
        notes.append(
            f"at the finest resolution the shifted copies of one class take {copies / 2**20:,.0f} MB; half of --memory "
            f"are {memory_bytes / 2**21:,.0f} MB, and more will be used"
        )
    flops = 25 * n * settings.classes * 30 * (8 * basis.packed_size / 2 + 2 * basis.harmonics**2)
    return Class2DPlan(
        n_particles=n,
        box_px=box,
        pixel_size_A=pixel,
        particle_diameter_A=preparation.particle_diameter_A,
        offset_range_A=laid.offset_range_A,
        classes=settings.classes,
        folds=settings.folds,
        first_pass_particles=min(n, first_pass_size(settings)),
        start_resolution_A=window_A / min(FIRST_RINGS, full.rings),
        finest_resolution_A=max(window_A / full.rings, settings.resolution_limit_A or 0.0),
        has_ctf=laid.ctf is not None,
        noise_groups=int(particles.optics_group.max(initial=0)) + 1,
        prepared_bytes=prepared,
        prepared_in_memory=prepared < memory_bytes // 4,
        memory_bytes=memory_bytes,
        seconds_estimate=5 + flops / CORE_FLOPS / laid.threads,
        notes=notes,
    )


def prepare_run(
    particles: ParticleSet,
    settings: Class2D,
    *,
    device: str = "cpu",
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    threads: int | None = None,
    processes: Processes = ALONE,
) -> Class2DRun:
    """Check settings against particles and lay out the work.

    Particles that nobody has judged are (:func:`vitreous.particles.judged`): their images are looked at once.

    store: folder for prepared images that do not fit in a quarter of ``memory_bytes``; threads: None for as many as
    PyTorch uses.
    Raises ValueError for settings that do not fit the particles.
    """
    laid = lay_out(particles, settings, memory_bytes=memory_bytes, threads=threads, store=store)
    return Class2DRun(laid, settings, device=device, processes=processes)


def class2d(
    particles: ParticleSet,
    settings: Class2D | None = None,
    *,
    device: str = "cpu",
    memory_bytes: int = 4 << 30,
    processes: Processes = ALONE,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> Class2DResult:
    """Classify particles into class averages (see :class:`Class2D` for the settings; keywords override them).

    ``on_step`` receives what is worth knowing of every pass. Raises ValueError for settings that do not fit.
    """
    chosen = settings_with(Class2D, settings, overrides)
    prepared = prepare_run(particles, chosen, device=device, memory_bytes=memory_bytes, processes=processes)
    return to_the_end(prepared.algorithm, chosen.seed, on_step)
