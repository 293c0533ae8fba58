"""A refinement that is ready to run: particles, reference or poses, and settings in; an algorithm out."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.iterate import Algorithm, run
from vitreous.matching import (
    PreparedParticles,
    deal,
    padded,
    preparation_for,
    prepare_particles,
    ring_limit,
)
from vitreous.matching.workers import one_thread
from vitreous.particles import ParticleSet, Volume, require_particles
from vitreous.particles.scratch import release_free
from vitreous.processes import ALONE, Processes
from vitreous.require import settings_with
from vitreous.rotations import symmetry_matrices
from vitreous.structures.poses import Poses
from vitreous.structures.refine.em import inserted, one_pass
from vitreous.structures.refine.final import finish
from vitreous.structures.refine.imaging import Imaging
from vitreous.structures.refine.memory import RINGS_AT_START, Room
from vitreous.structures.refine.methods import method_of
from vitreous.structures.refine.requirements import require_defocus, require_in_sphere
from vitreous.structures.refine.result import RefineResult
from vitreous.structures.refine.settings import Refine
from vitreous.structures.refine.start import Start, for_halves, from_poses, from_reference, initial_rings
from vitreous.structures.refine.state import Pass, RefineState
from vitreous.volumes import VolumeSums, resample

__all__ = ["RefineRun", "prepare_refinement", "refine"]

DEFAULT_OFFSET = 0.06  # of the box
RING_GROWTH = 1.5
IMAGED_FROM = 2  # passes, before which the map says little about how particles were imaged
SAMPLE = 400  # particles that try whether a search of all views is worth its time
FEWEST_PER_FOLD = 5


def _silent(done: int, total: int, what: str) -> None:
    """Progress for nobody."""


class RefineRun:
    """A refinement that is ready to run: ``algorithm`` for the driver.

    What is kept between steps (prepared images, sums of the folds) is a cache that is rebuilt from the state, with the
    same bits, so a state alone determines what follows.
    """

    def __init__(
        self,
        particles: ParticleSet,
        settings: Refine,
        *,
        reference: Volume | None,
        poses: Poses | None,
        mask: Volume | None,
        memory_bytes: int,
        store: Path | None,
        threads: int,
        processes: Processes,
    ):
        self.particles, self.settings = particles, settings
        self.reference, self.poses, self.mask = reference, poses, mask
        self.memory_bytes, self.store, self.threads, self.processes = memory_bytes, store, threads, processes
        self.on_progress: Callable[[int, int, str], None] = _silent
        self.preparation = preparation_for(particles, settings)
        self.ctf = particles.ctf_for(settings.ctf)
        require_defocus(particles, self.ctf, settings)
        if mask is not None:
            require_in_sphere(mask, self.preparation)
        self.group = symmetry_matrices(settings.symmetry).float()
        self.room = Room(
            particles=len(particles),
            preparation=self.preparation,
            memory_bytes=memory_bytes,
            stored=store is not None,
        )
        self.most_rings, self.fold_count = self.room.planned(settings.folds, settings.resolution_limit_A)
        self.offset_range_A = settings.offset_range_A or DEFAULT_OFFSET * particles.box_px * particles.pixel_size_A
        self.algorithm = Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)
        self._data: PreparedParticles | None = None
        self._parts: tuple[RefineState, tuple[VolumeSums, ...]] | None = None
        self._start: Start | None = None

    @property
    def memory_limit_A(self) -> float | None:
        """The resolution that the memory ends at; None where it does not."""
        return None if self.most_rings == self.room.rings else self.window_A / self.most_rings

    @property
    def window_A(self) -> float:
        """Field of the rings: ring r has the resolution window / r."""
        return self.room.window_A

    def data(self, rings: int) -> PreparedParticles:
        """The prepared particles with room for so many rings."""
        if self._data is None or self._data.basis.rings != self.preparation.working_basis(rings).rings:
            self._data = None  # those on fewer rings are not there beside them
            self._data = prepare_particles(
                self.particles.read,
                len(self.particles),
                self.preparation,
                rings=rings,
                ctf=self.ctf,
                noise_group=self.particles.optics_group,
                store=None if self.room.in_memory(rings) else self._file(rings),
                threads=self.threads,
                memory_bytes=self.memory_bytes,
                processes=self.processes,
                progress=lambda done: self.on_progress(done, len(self.particles), "reading particles"),
            )
        return self._data

    def _file(self, rings: int) -> Path | None:
        return None if self.store is None else self.store / f"rings{rings}_{self.processes.rank}.dat"

    def used(self, data: PreparedParticles) -> np.ndarray:
        """Particles that take part: those with a usable image."""
        index = np.flatnonzero(~data.bad)
        if len(index) < FEWEST_PER_FOLD * self.fold_count:
            raise ValueError(
                f"{self.particles.path}: {len(index)} usable particles are too few for {self.fold_count} folds; "
                f"expected at least {FEWEST_PER_FOLD * self.fold_count}"
            )
        return index

    def folds(self, data: PreparedParticles, seed: int) -> tuple[np.ndarray, ...]:
        """Even ones are the first half, odd ones the second."""
        return deal(self.used(data), self.fold_count, seed).folds

    def start(self, data: PreparedParticles, seed: int) -> Start:
        """The map that the halves start from."""
        if self._start is None:
            rings = initial_rings(data, self.settings.initial_lowpass_A)
            index = self.used(data)
            if self.poses is not None:
                index = index[self.poses.known[index]]
                if len(index) < FEWEST_PER_FOLD:
                    raise ValueError(
                        f"{self.particles.path}: {len(index)} particles have a pose: there are no poses and no "
                        "reference to start from"
                    )
            if self.reference is None:
                assert self.poses is not None
                self._start = from_poses(data, self.poses, index, rings, group=self.group, processes=self.processes)
            else:
                self._start = from_reference(
                    data,
                    self.reference,
                    self.poses,
                    index,
                    rings,
                    group=self.group,
                    offset_range_A=self.offset_range_A,
                    seed=seed,
                    processes=self.processes,
                )
        return self._start

    def _init(self, seed: int) -> RefineState:
        data = self.data(min(RINGS_AT_START, self.most_rings))
        n, start = len(data), self.start(data, seed)
        poses = self.poses or Poses.unknown(n)
        rings = initial_rings(data, self.settings.initial_lowpass_A)
        return RefineState(
            iteration=0,
            seed=seed,
            rings=rings,
            room=data.basis.rings,
            rotation=poses.rotation,
            origin_A=poses.origin_A,
            gain=np.zeros(n),
            information=np.zeros((n, 5, 5)),
            noise_power=start.noise_power,
            inserted_noise=start.noise_power,
            inserted_rings=0,
            fsc=torch.zeros(rings),
            resolved=0,
            best_resolved=0,
            offset_sd_A=self.offset_range_A / 2,
            search="none" if self.poses is not None else "all",
            looked=False,
            spread=False,
            inserted_spread=False,
            still=0,
            converged=False,
            imaging=Imaging.as_given(n, self.settings.refine_defocus, self.settings.refine_scale),
        )

    def _searchers(self, state: RefineState, data: PreparedParticles) -> np.ndarray:
        """Who looks at all views in the next pass."""
        n = len(data)
        if state.search == "none":
            if self.poses is None or state.iteration:
                return np.zeros(n, bool)
            return ~self.poses.known
        if state.search == "all":
            return np.ones(n, bool)
        out = np.zeros(n, bool)
        for fold in self.folds(data, state.seed)[:2]:  # folds are drawn at random, and every fold needs references
            out[fold[: SAMPLE // 2]] = True
        return out

    def work(self, state: RefineState) -> Pass:
        """What a pass from a state needs."""
        data = self.data(state.room)
        first, imaged = state.iteration == 0, state.iteration >= IMAGED_FROM
        lowpass_A = self.settings.initial_lowpass_A
        return Pass(
            data=data,
            folds=self.folds(data, state.seed),
            group=self.group,
            initial=for_halves(self.start(data, state.seed), data, lowpass_A) if first else None,
            mask=None if self.mask is None else self._window_mask,
            searchers=self._searchers(state, data),
            unknown=first and self.poses is None,
            offset_range_A=self.offset_range_A,
            method=method_of(self.settings),
            defocus=self.settings.refine_defocus if imaged else "none",
            scale=self.settings.refine_scale if imaged else "none",
            imaging_group=self._imaging_group(data, state.seed),
            processes=self.processes,
        )

    def _imaging_group(self, data: PreparedParticles, seed: int) -> np.ndarray:
        """(n,) the micrograph of every particle, apart for the two halves, which have nothing to do with each other."""
        if self.settings.refine_defocus == "none" and self.settings.refine_scale == "none":
            return np.zeros(len(data), np.int64)
        second = np.zeros(len(data), np.int64)
        for fold in self.folds(data, seed)[1::2]:
            second[fold] = 1
        return 2 * self.particles.micrograph + second

    def _window_mask(self, side: int) -> torch.Tensor:
        assert self.mask is not None
        return torch.from_numpy(resample(self.mask, side, self.window_A / side).data).clamp(0, 1)

    def parts(self, work: Pass, state: RefineState) -> tuple[VolumeSums, ...] | None:
        """Sums of the folds at the poses of a state, with room for the rings that it uses next."""
        if state.iteration == 0:
            return None
        kept, self._parts = self._parts, None  # a pass overwrites them; others are of no use, and are not there twice
        if kept is not None and kept[0] is state and state.inserted_rings == state.rings:
            return kept[1]
        del kept
        return inserted(work, state, state.rings)

    def forget(self) -> None:
        """Images and sums that are kept between steps; they are made again where they are needed."""
        self._data = self._parts = self._start = None
        release_free()

    def _step(self, state: RefineState) -> tuple[RefineState, dict[str, Any]]:
        work = self.work(state)
        of = sum(len(fold) for fold in work.folds)
        following, parts, info = one_pass(
            work, state, self.parts(work, state), lambda done: self.on_progress(done, of, "poses")
        )
        del work
        following = self._with_room(self._with_search(following))
        self._parts = following, parts
        release_free()
        return following, info

    def _with_search(self, state: RefineState) -> RefineState:
        """What the user said about searches."""
        if self.settings.search == "never" and state.search != "none":
            return replace(state, search="none", looked=True)
        if self.settings.search == "always" and state.search == "sample":
            return replace(state, search="all")
        return state

    def _with_room(self, state: RefineState) -> RefineState:
        """With more rings prepared where those that there are do not suffice."""
        most = ring_limit(self.data(state.room), self.settings.resolution_limit_A)
        if state.rings < state.room or state.room >= most:
            return replace(state, rings=min(state.rings, most))
        room = min(math.ceil(RING_GROWTH * state.room), self.most_rings)
        grown = self.data(room).group_power
        groups = len(grown)

        def wider(noise: torch.Tensor) -> torch.Tensor:
            out = padded(noise, (groups, room)).clone()
            out[:, state.room :] = grown[:, state.room :]
            return out

        return replace(
            state,
            room=room,
            inserted_rings=0,
            noise_power=wider(state.noise_power),
            inserted_noise=wider(state.inserted_noise),
        )

    def _done(self, state: RefineState) -> bool:
        return state.converged or state.iteration >= self.settings.iterations

    def _finalise(self, state: RefineState) -> RefineResult:
        return finish(self, state)


def prepare_refinement(
    particles: ParticleSet,
    settings: Refine,
    *,
    reference: Volume | None = None,
    poses: Poses | None = None,
    mask: Volume | None = None,
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    threads: int | None = None,
    processes: Processes = ALONE,
) -> RefineRun:
    """Check settings against particles and lay out the work; nothing is read from the images yet.

    reference: a map that both halves start from, on any grid; poses: of all particles, those that are not known are
    sought for in the first pass. One of them is needed. store: folder for prepared images; None keeps them in memory.
    Raises ValueError for settings that do not fit the particles.
    """
    if reference is None and poses is None:
        raise ValueError("refinement: expected a reference map or poses to start from, found neither")
    threads = torch.get_num_threads() if threads is None else threads
    return RefineRun(
        particles,
        settings,
        reference=reference,
        poses=poses,
        mask=mask,
        memory_bytes=memory_bytes,
        store=store,
        threads=threads,
        processes=processes,
    )


def refine(
    particles: ParticleSet,
    settings: Refine | None = None,
    *,
    reference: Volume | None = None,
    poses: Poses | None = None,
    mask: Volume | None = None,
    memory_bytes: int = 4 << 30,
    threads: int | None = None,
    processes: Processes = ALONE,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> RefineResult:
    """Refine poses and map (see :class:`Refine` for the settings; keywords override them).

    reference: where both halves start, low-pass; poses: where the particles start (:class:`vitreous.structures.Poses`);
    one of them is needed, and without poses all views are searched first. ``on_step`` receives what is worth knowing of
    every pass. Raises ValueError for settings that do not fit.
    """
    chosen = settings_with(Refine, settings, overrides)
    prepared_run = prepare_refinement(
        require_particles(particles),
        chosen,
        reference=reference,
        poses=poses,
        mask=mask,
        memory_bytes=memory_bytes,
        threads=threads,
        processes=processes,
    )
    with torch.no_grad(), one_thread():
        result, _ = run(prepared_run.algorithm, seed=chosen.seed, on_step=on_step)
    return result
