"""A classification that is ready to run: particles, poses or references, and settings in; an algorithm out."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.iterate import Algorithm, run
from vitreous.matching import PreparedParticles, deal, left_out, ring_limit
from vitreous.matching.workers import one_thread
from vitreous.particles import ParticleSet, Volume, require_particles
from vitreous.processes import ALONE, Processes
from vitreous.require import settings_with
from vitreous.structures.class3d.align import at_found_poses, by_references
from vitreous.structures.class3d.final import best_start, finish
from vitreous.structures.class3d.mean import mean_map
from vitreous.structures.class3d.passes import class_pass, inserted
from vitreous.structures.class3d.result import Class3DResult
from vitreous.structures.class3d.settings import Class3D
from vitreous.structures.class3d.starts import MOST_COMPONENT_PASSES, SETTLED, advance_start, first_state, moved
from vitreous.structures.class3d.state import Class3DState, Labels, Scene, StartState
from vitreous.structures.class3d.sums import ClassSums
from vitreous.structures.poses import ANGLES, Poses
from vitreous.structures.refine import Refine, RefineRun, prepare_refinement
from vitreous.structures.refine.memory import RINGS_AT_START, sums_bytes
from vitreous.structures.refine.state import RefineState
from vitreous.volumes import RingPoints, prepared

__all__ = ["Class3DRun", "class3d", "prepare_class3d"]

FEWEST_RINGS, MOST_RINGS = 6, 48  # that classes are told apart by, unless a resolution is asked for
RING_GROWTH = 1.5
FEWEST_PER_CLASS, FEWEST_PER_FOLD = 10, 5
START_SEEDS = 1_000_003  # between the seeds of two jobs with successive seeds lie those of all their starts
FEWEST_FOLDS = 8  # with fewer, half of the particles of a half are left out, and halves often miss small classes
LEAST_PASSES = 2  # of the last stage
SAME = 0.99999  # FSC of halves at all rings: noise has never been so alike
SUMS_SHARE = 1 / 2  # of the memory, for the sums of the folds
STAGES = {"components": "components", "classes": "classes in two halves", "judge": "halves judge each other"}
Parts = tuple[ClassSums, ...]


def _silent(done: int, total: int, what: str) -> None:
    """Progress for nobody."""


class Class3DRun:
    """A classification that is ready to run: ``algorithm`` for the driver.

    What is kept between steps (prepared images, sums of the folds) is a cache that is rebuilt from the state, with the
    same bits, so a state alone determines what follows. Images, folds of a refinement and groups are those of a
    :class:`RefineRun`, which also finds poses in one map where there are none.
    """

    def __init__(self, base: RefineRun, settings: Class3D, references: tuple[Volume, ...]):
        self.base, self.settings, self.references = base, settings, references
        self.particles, self.preparation, self.ctf = base.particles, base.preparation, base.ctf
        self.threads, self.processes, self.group = base.threads, base.processes, base.group
        self.on_progress: Callable[[int, int, str], None] = _silent
        base.on_progress = self._said
        self.seeks_poses = base.poses is None
        limit = settings.resolution_limit_A
        most = base.most_rings if limit is None else max(FEWEST_RINGS, int(base.window_A / limit + 1e-6))
        self.most_rings = min(base.most_rings, MOST_RINGS if limit is None else most)
        self.fold_count = self._folds_in_memory()
        self.algorithm = Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)
        self._parts: tuple[StartState, Parts] | None = None

    def _said(self, done: int, total: int, what: str) -> None:
        """Progress of the refinement, to whoever listens now."""
        self.on_progress(done, total, what)

    def _folds_in_memory(self) -> int:
        """As many folds as the user wants, or as the memory holds the sums of; ValueError for fewer than eight."""
        one = 2 * self.settings.classes * sums_bytes(self.most_rings)  # before and after a pass
        fitting = int(SUMS_SHARE * self.base.memory_bytes) // one
        if fitting < FEWEST_FOLDS:
            raise ValueError(
                f"memory: {self.settings.classes} classes at {self.base.window_A / self.most_rings:.1f} A need "
                f"{FEWEST_FOLDS * one / SUMS_SHARE / 2**30:.1f} GB, and {self.base.memory_bytes / 2**30:.1f} are "
                "allowed; allow more, or give a coarser resolution limit"
            )
        return min(self.settings.folds, fitting - fitting % 4)

    def data(self, rings: int) -> PreparedParticles:
        """The prepared particles with room for so many rings."""
        return self.base.data(rings)

    def used(self, data: PreparedParticles, known: np.ndarray) -> np.ndarray:
        """Particles that take part: those with a usable image and a pose. ValueError where they are too few."""
        index = np.flatnonzero(~data.bad & known)
        fewest = max(FEWEST_PER_FOLD * self.fold_count, FEWEST_PER_CLASS * self.settings.classes)
        if len(index) < fewest:
            raise ValueError(
                f"{self.particles.path}: {len(index)} usable particles with a pose are too few for "
                f"{self.settings.classes} classes and {self.fold_count} folds; expected at least {fewest}"
            )
        return index

    def folds(self, state: Class3DState, seed: int) -> tuple[np.ndarray, ...]:
        """Even ones are the first half, odd ones the second."""
        return deal(self.used(self.data(state.room), state.known), self.fold_count, seed).folds

    def scene(self, state: Class3DState, seed: int) -> Scene:
        """What a pass of a start needs."""
        data = self.data(state.room)
        return Scene(
            data=data,
            points=RingPoints(basis=data.basis.truncated(max(state.rings, 1))),
            noise_power=state.noise_power,
            rotation=state.rotation,
            origin_A=state.origin_A,
            mean=state.mean,
            mean_ft=prepared(state.mean),
            mean_power=state.mean_power,
            folds=self.folds(state, seed),
            group=self.group,
            fudge=self.settings.tau2_fudge,
            hard=self.settings.assignment == "hard",
            processes=self.processes,
        )

    def _init(self, seed: int) -> Class3DState:
        sought = self.base.algorithm.init(seed) if self.seeks_poses and len(self.references) == 1 else None
        room = sought.room if sought is not None else min(RINGS_AT_START, self.most_rings)
        data = self.data(room)
        poses = self.base.poses or replace(Poses.unknown(len(data)), volume=np.zeros(len(data), np.int64))
        state = Class3DState(
            iteration=0,
            seed=seed,
            refine=sought,
            room=data.basis.rings,
            rings=0,
            rotation=poses.rotation,
            origin_A=poses.origin_A,
            known=poses.known,
            mean=torch.zeros(4, 4, 4),
            mean_power=torch.zeros(1),
            noise_power=data.group_power,
            fsc=torch.zeros(1),
            resolved=0,
            gain=np.zeros(len(data)),
            given=None,
            starts=(),
            joint=None,
        )
        if len(self.references) < self.settings.classes:
            self.used(data, state.known)
            return state
        values, rotation, origin = by_references(
            self.scene(state, seed),
            self.references,
            self.base.poses,
            lowpass_A=self.settings.initial_lowpass_A,
            offset_range_A=self.base.offset_range_A,
            seed=seed,
        )
        found = replace(state, given=values, rotation=rotation, origin_A=origin)
        if not self.seeks_poses:
            return found
        self._start_refinement_at(found)
        return replace(found, refine=self.base.algorithm.init(seed))

    def _start_refinement_at(self, state: Class3DState) -> None:
        """Poses that particles have found in a reference for each class are where the one map begins."""
        self.base.reference = None
        self.base.poses = Poses(
            particle=np.arange(len(state.known)),
            volume=np.where(state.known, 0, -1),
            rotation=state.rotation,
            origin_A=state.origin_A,
        )

    def _step(self, state: Class3DState) -> tuple[Class3DState, dict[str, Any]]:
        if state.refine is not None:
            following, info = self._refined(state, state.refine)
        elif state.rings == 0:
            following, info = self._with_mean(state)
        elif state.joint is not None:
            following, info = self._joint(state, state.joint)
        elif not state.starts or (state.starts[-1].stage == "done" and len(state.starts) < self.start_count):
            following, info = self._new_start(state)
        elif state.starts[-1].stage == "done":
            following, info = self._from_best(state)
        else:
            following, info = self._start(state)
        return replace(following, iteration=state.iteration + 1), info

    @property
    def start_count(self) -> int:
        """With a reference for each class there is one beginning."""
        return 1 if len(self.references) == self.settings.classes else self.settings.starts

    @property
    def most_steps(self) -> int:
        """Of the algorithm; four make mean maps, with more rings each."""
        of_start = MOST_COMPONENT_PASSES + self.settings.iterations + 1
        of_poses = self.base.settings.iterations * self.seeks_poses
        return of_poses + 4 + self.start_count * of_start + self.settings.iterations

    def _refined(self, state: Class3DState, refine: RefineState) -> tuple[Class3DState, dict[str, Any]]:
        """A pass of the refinement of poses in one map."""
        if len(self.references) > 1 and refine.iteration == 0:
            self._start_refinement_at(state)
        if not self.base.algorithm.done(refine):
            refine, info = self.base.algorithm.step(refine)
            keep = ("rings", "resolution_A", "turned_deg", "searched")
            return replace(state, refine=refine, room=refine.room), {
                "stage": "poses", **{key: info[key] for key in keep}
            }  # fmt: skip
        room = min(refine.room, self.most_rings)
        return replace(
            state, refine=None, room=room, rotation=refine.rotation, origin_A=refine.origin_A
        ), {"stage": "poses found"}  # fmt: skip

    def _with_mean(self, state: Class3DState) -> tuple[Class3DState, dict[str, Any]]:
        """With the mean map, or with more rings prepared where its halves agree on all that there are."""
        data, folds = self.data(state.room), self.folds(state, state.seed)
        most = min(ring_limit(data, self.settings.resolution_limit_A), self.most_rings)
        first = mean_map(
            data, state.rotation, state.origin_A, folds, min(state.room, most), group=self.group,
            processes=self.processes,
        )  # fmt: skip
        if bool((first.fsc > SAME).all()):
            raise ValueError(
                f"{self.particles.path}: the two halves of the particles are the same map at every resolution, noise "
                "included: the images are copies of each other; give each particle once"
            )
        resolution = self.base.window_A / max(first.resolved, 1)
        info = {"stage": "mean map", "rings": first.rings, "resolution_A": resolution}
        room = min(math.ceil(RING_GROWTH * state.room), self.most_rings)
        if first.resolved >= state.room and room > state.room:
            return replace(state, room=room), info
        rings = max(min(FEWEST_RINGS, first.rings), first.resolved)
        cut = mean_map(
            data, state.rotation, state.origin_A, folds, rings, group=self.group, processes=self.processes
        )  # fmt: skip
        return replace(
            state,
            rings=rings,
            mean=cut.density,
            mean_power=cut.power,
            noise_power=cut.noise_power,
            fsc=first.fsc,
            resolved=first.resolved,
        ), info

    def _new_start(self, state: Class3DState) -> tuple[Class3DState, dict[str, Any]]:
        number = len(state.starts)
        seed = state.seed * START_SEEDS + number
        start = first_state(
            self.scene(state, seed), seed, self.settings.classes, self.settings.start, state.given
        )  # fmt: skip
        return self._start(replace(state, starts=(*state.starts, start)))

    def _start(self, state: Class3DState) -> tuple[Class3DState, dict[str, Any]]:
        """A pass of the start that is under way."""
        start = state.starts[-1]
        self.on_progress(0, 1, f"start {len(state.starts)}: {STAGES[start.stage]}")
        scene = self.scene(state, start.seed)
        start, parts, info = advance_start(scene, start, self._known_parts(start), self.settings.iterations)
        self._parts = None if parts is None else (start, parts)
        return replace(state, starts=(*state.starts[:-1], start)), {"start": len(state.starts), **info}

    def _known_parts(self, start: StartState) -> Parts | None:
        return self._parts[1] if self._parts is not None and self._parts[0] is start else None

    def _from_best(self, state: Class3DState) -> tuple[Class3DState, dict[str, Any]]:
        """The last stage begins with the classes of the best start, which have one name in both halves."""
        best = state.starts[best_start(state.starts)]
        joint = replace(best, stage="classes", passes=0, changed=1.0)
        return self._joint(replace(state, joint=joint), joint)

    def _joint(self, state: Class3DState, joint: StartState) -> tuple[Class3DState, dict[str, Any]]:
        """A pass in which a particle is compared with the maps of all others, and finds a better pose where asked."""
        self.on_progress(0, 1, "all particles")
        scene = self.scene(state, joint.seed)
        aligning = self.settings.alignment != "none"
        parts = self._known_parts(joint) or inserted(scene, joint.posterior, plain=aligning and joint.passes > 0)
        labeller = None
        if aligning:
            labeller = at_found_poses(
                offset_range_A=self.base.offset_range_A,
                seed=state.seed,
                turn=joint.passes,
                everywhere=self.settings.alignment == "global" and joint.passes == 0,
            )
        parts, index, found = class_pass(scene, parts, joint.posterior, against=left_out, labeller=labeller)
        following = moved(joint, index, found.values)
        self._parts = following, parts
        sizes = sorted(np.bincount(found.values.argmax(1), minlength=self.settings.classes).tolist(), reverse=True)
        info = {
            "stage": "last", "pass": following.passes, "changed_fraction": following.changed, "sizes": sizes,
            "gain": float(found.gain.mean()),
        }  # fmt: skip
        return replace(_with_found(state, index, found), joint=following), info

    def _done(self, state: Class3DState) -> bool:
        joint = state.joint
        if joint is None:
            return False
        settled = joint.changed < SETTLED and joint.passes >= LEAST_PASSES
        return settled or joint.passes >= self.settings.iterations

    def _finalise(self, state: Class3DState) -> Class3DResult:
        return finish(self, state)


def _with_found(state: Class3DState, index: np.ndarray, found: Labels) -> Class3DState:
    rotation, origin, gain = state.rotation.copy(), state.origin_A.copy(), state.gain.copy()
    rotation[index], origin[index], gain[index] = found.rotation, found.origin_A, found.gain
    return replace(state, rotation=rotation, origin_A=origin, gain=gain)


def prepare_class3d(
    particles: ParticleSet,
    settings: Class3D,
    *,
    poses: Poses | None = None,
    references: tuple[Volume, ...] = (),
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    threads: int | None = None,
    processes: Processes = ALONE,
) -> Class3DRun:
    """Check settings against particles and lay out the work; nothing is read from the images yet.

    poses: of all particles, None where there are none; references: none (then poses are needed), one map, or one for
    each class, all in one frame. store: folder for prepared images; None keeps them in memory. Raises ValueError for
    settings that do not fit the particles.
    """
    if poses is None and not references:
        raise ValueError("class3d: expected poses, or a reference map to find them with; found neither")
    if len(references) not in (0, 1, settings.classes):
        raise ValueError(
            f"class3d: expected one reference, or one for each of the {settings.classes} classes; found "
            f"{len(references)}"
        )
    base = prepare_refinement(
        particles,
        Refine(
            symmetry=settings.symmetry,
            particle_diameter_A=settings.particle_diameter_A,
            initial_lowpass_A=settings.initial_lowpass_A,
            resolution_limit_A=settings.resolution_limit_A,
            offset_range_A=settings.offset_range_A,
            seed=settings.seed,
            ctf=settings.ctf,
            invert_contrast=settings.invert_contrast,
            normalise=settings.normalise,
        ),
        reference=references[0] if references else None,
        poses=poses,
        memory_bytes=memory_bytes,
        store=store,
        threads=threads,
        processes=processes,
    )
    return Class3DRun(base, settings, references)


def class3d(
    particles: ParticleSet,
    settings: Class3D | None = None,
    *,
    poses: Poses | None = None,
    references: tuple[Volume, ...] = (),
    memory_bytes: int = 4 << 30,
    threads: int | None = None,
    processes: Processes = ALONE,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> Class3DResult:
    """Classify particles by the map that they show (see :class:`Class3D` for the settings; keywords override them).

    poses: those of the particle table where not given; references: one map that poses are found in where there are
    none, or one for each class. ``on_step`` receives what is worth knowing of every pass. Raises ValueError for
    settings that do not fit.
    """
    chosen = settings_with(Class3D, settings, overrides)
    known = poses
    found = require_particles(particles)
    if known is None and all(name in getattr(found, "table", ()) for name in ANGLES):
        known = Poses.from_particles(found)
    ready = prepare_class3d(
        found,
        chosen,
        poses=known,
        references=references,
        memory_bytes=memory_bytes,
        threads=threads,
        processes=processes,
    )
    with torch.no_grad(), one_thread():
        result, _ = run(ready.algorithm, seed=chosen.seed, on_step=on_step)
    return result
