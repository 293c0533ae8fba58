"""2D classification as a task: settings and particles in, an algorithm or a result out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.averages.class2d.em import FIRST_RINGS, Members, State, deal, initial_state, one_pass
from vitreous.averages.class2d.final import finish
from vitreous.averages.class2d.model import signal_power, wiener
from vitreous.averages.class2d.restore import Poses, aligned_images
from vitreous.averages.class2d.settings import Class2D
from vitreous.averages.result import Class2DResult
from vitreous.iterate import Algorithm, run
from vitreous.matching import ImagePreparation, PreparedParticles, prepare_particles
from vitreous.particles import ParticleSet

__all__ = ["Class2DPlan", "Class2DRun", "class2d", "prepare_run"]

DEFAULT_OFFSET = 0.06  # of the box
RINGS_AT_START = 16  # prepared for the first passes; more are prepared when the resolution asks for them
RING_GROWTH = 1.5
CORE_FLOPS = 3e10  # per thread and second, what the matching core reaches on a common core


def _silent(done: int, total: int, what: str) -> None:
    """Progress for nobody."""


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
        particles: ParticleSet,
        settings: Class2D,
        *,
        device: str,
        memory_bytes: int,
        store: Path | None,
        threads: int,
    ):
        self.particles = particles
        self.settings = settings
        self.device = device
        self.store = store
        self.threads = threads
        self.on_progress: Callable[[int, int, str], None] = _silent
        self.preparation = ImagePreparation.for_box(
            particles.box_px,
            particles.pixel_size_A,
            settings.particle_diameter_A,
            invert_contrast=settings.invert_contrast,
            normalise=settings.normalise,
        )
        self.ctf = particles.ctf if settings.ctf and particles.has_ctf else None
        self.plan = _plan(particles, settings, self.preparation, self.ctf is not None, memory_bytes)
        self.algorithm = Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)
        self.history: list[dict[str, Any]] = []
        self._data: PreparedParticles | None = None
        self._members = Members(folds=[], jury=np.zeros(0, np.int64))

    def data(self, rings: int) -> PreparedParticles:
        """The prepared particles with room for at least so many rings."""
        if self._data is None or self._data.basis.rings < min(rings, self._most_rings):
            wanted = min(max(rings, RINGS_AT_START), self._most_rings)
            self._data = prepare_particles(
                self.particles.read,
                len(self.particles),
                self.preparation,
                rings=wanted,
                ctf=self.ctf,
                noise_group=self.particles.optics_group,
                store=None if self.plan.prepared_in_memory or self.store is None else self.store / f"rings{wanted}.dat",
                device=self.device,
                threads=self.threads,
                memory_bytes=self.plan.memory_bytes,
                progress=lambda done: self.on_progress(done, len(self.particles), "reading particles"),
            )
            good = np.flatnonzero(~self._data.bad)
            if len(good) < max(2 * self.settings.folds, self.settings.classes):
                raise ValueError(
                    f"{self.particles.path}: {len(good)} usable particles are too few for {self.settings.classes} "
                    f"classes and {self.settings.folds} folds; ask for fewer classes"
                )
            self._members = deal(good, self.settings.folds, self.settings.seed)
        return self._data

    @property
    def _most_rings(self) -> int:
        return self.preparation.working_basis(1 << 20).rings

    def _init(self, seed: int) -> State:
        data = self.data(RINGS_AT_START)
        return initial_state(data, replace(self.settings, seed=seed), self._members.folds, seed)

    def _step(self, state: State) -> tuple[State, dict[str, Any]]:
        room = state.sums.rings
        if state.rings > room:
            room = min(math.ceil(RING_GROWTH * room), self._most_rings)
        data = self.data(room)
        state = _with_room(state, data)
        following, info = one_pass(
            state,
            data,
            replace(self.settings, seed=state.seed),
            self._members.folds,
            self.plan.offset_range_A,
            lambda done, total: self.on_progress(done, total, "matching"),
        )
        self.history.append({"iteration": following.iteration, **info})
        return following, info

    def _done(self, state: State) -> bool:
        return state.converged or state.iteration >= self.settings.iterations

    def _finalise(self, state: State) -> Class2DResult:
        data = self.data(state.sums.rings)
        return finish(
            _with_room(state, data),
            data,
            replace(self.settings, seed=state.seed),
            self._members,
            self.plan.offset_range_A,
            self.particles.read,
            self.history,
            self.on_progress,
        )

    def snapshot(self, state: State) -> dict[str, Any]:
        """Class averages and assignments as they are in a state, for files of an iteration.

        Keys: averages (K, L, L), distribution (K,), resolution_A (K,), class_number (n,) from 1 (0: not seen),
        psi_deg, origin_x_A, origin_y_A, max_probability, log_likelihood (n,).
        """
        data = self.data(state.sums.rings)
        sums = state.sums
        tau2 = signal_power(sums, data.basis)
        pictures = data.picture(wiener(sums.signal.sum(0), sums.power.sum(0), tau2))
        members = sums.members.sum(0).cpu().numpy()
        ssnr = tau2[None] * sums.power.sum(0)
        resolved = (ssnr >= 1).int().cumprod(1).sum(1).cpu().numpy()
        window_A = data.basis.window_px * data.pixel_size_A
        c, s = np.cos(state.psi_rad), np.sin(state.psi_rad)
        x, y = state.shift_A.T
        return {
            "averages": pictures.cpu().numpy(),
            "distribution": members / max(members.sum(), 1e-12),
            "resolution_A": np.where(resolved > 0, window_A / np.maximum(resolved, 1), np.inf),
            "class_number": state.reference + 1,
            "psi_deg": (np.rad2deg(state.psi_rad) + 180) % 360 - 180,
            "origin_x_A": c * x + s * y,
            "origin_y_A": -s * x + c * y,
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
        pixel = result.pixel_size_A
        poses = Poses(
            particle=index,
            class_index=result.class_number[index] - 1,
            half=np.zeros(len(index), np.int64),
            psi_rad=np.deg2rad(result.psi_deg[index]),
            origin_px=np.stack([result.origin_x_A[index], result.origin_y_A[index]], 1) / pixel,
        )
        images = [i for _, i, _ in aligned_images(self.particles.read, self.preparation, None, poses)]
        pictures = torch.cat(images).numpy()
        return [(int(result.class_number[i]), int(i), pictures[j]) for j, i in enumerate(index)]


def _with_room(state: State, data: PreparedParticles) -> State:
    """The state with sums and noise for all rings of the prepared data (new rings are empty)."""
    rings, harmonics = data.basis.rings, data.basis.harmonics
    old = state.sums
    if old.rings == rings:
        return state
    signal = torch.zeros(*old.signal.shape[:2], rings, harmonics, dtype=old.signal.dtype, device=old.signal.device)
    signal[:, :, : old.rings, : old.signal.shape[3]] = old.signal
    power = torch.zeros(*old.power.shape[:2], rings, device=old.power.device)
    power[:, :, : old.rings] = old.power
    noise = data.group_power.clone()
    noise[:, : old.rings] = state.noise_power
    return replace(state, sums=replace(old, signal=signal, power=power), noise_power=noise)


def _plan(
    particles: ParticleSet, settings: Class2D, preparation: ImagePreparation, has_ctf: bool, memory_bytes: int
) -> Class2DPlan:
    n, box, pixel = len(particles), particles.box_px, particles.pixel_size_A
    basis = preparation.working_basis(RINGS_AT_START)
    full = preparation.working_basis(1 << 20)
    window_A = full.window_px * pixel * box / full.box_px
    prepared = n * basis.packed_size * 4
    first = settings.subset or max(5000, 100 * settings.classes)
    notes = []
    if settings.particle_diameter_A is None:
        notes.append(f"particle diameter not given: {preparation.particle_diameter_A:.0f} A, 7/8 of the box")
    if settings.ctf and not has_ctf:
        notes.append("no CTF: the file lacks " + ", ".join(particles.missing_ctf_columns))
    offset = settings.offset_range_A or DEFAULT_OFFSET * box * pixel
    flops = 25 * n * settings.classes * 30 * (8 * basis.packed_size / 2 + 2 * basis.harmonics**2)
    return Class2DPlan(
        n_particles=n,
        box_px=box,
        pixel_size_A=pixel,
        particle_diameter_A=preparation.particle_diameter_A,
        offset_range_A=offset,
        classes=settings.classes,
        folds=settings.folds,
        first_pass_particles=min(n, first),
        start_resolution_A=window_A / min(FIRST_RINGS, full.rings),
        finest_resolution_A=max(window_A / full.rings, settings.resolution_limit_A or 0.0),
        has_ctf=has_ctf,
        noise_groups=int(particles.optics_group.max(initial=0)) + 1,
        prepared_bytes=prepared,
        prepared_in_memory=prepared < memory_bytes // 4,
        memory_bytes=memory_bytes,
        seconds_estimate=5 + flops / CORE_FLOPS / max(1, torch.get_num_threads()),
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
) -> Class2DRun:
    """Check settings against particles and lay out the work; nothing is read from the images yet.

    store: folder for prepared images that do not fit in a quarter of ``memory_bytes``; threads: None for as many as
    PyTorch uses.
    Raises ValueError for settings that do not fit the particles.
    """
    threads = torch.get_num_threads() if threads is None else threads
    return Class2DRun(particles, settings, device=device, memory_bytes=memory_bytes, store=store, threads=threads)


def class2d(
    particles: ParticleSet,
    settings: Class2D | None = None,
    *,
    device: str = "cpu",
    memory_bytes: int = 4 << 30,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> Class2DResult:
    """Classify particles into class averages (see :class:`Class2D` for the settings; keywords override them).

    ``on_step`` receives what is worth knowing of every pass. Raises ValueError for settings that do not fit.
    """
    chosen = replace(settings or Class2D(), **overrides)
    prepared = prepare_run(particles, chosen, device=device, memory_bytes=memory_bytes)
    with torch.no_grad():
        result, _ = run(prepared.algorithm, seed=chosen.seed, on_step=on_step)
    return result
