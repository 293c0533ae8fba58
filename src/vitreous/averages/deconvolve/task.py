"""Deconvolution as a task: classified particles and settings in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vitreous.averages.deconvolve.group_averages import GroupAverages, average_groups, defocus_groups
from vitreous.averages.deconvolve.masks import automatic_mask
from vitreous.averages.deconvolve.result import DeconvolveResult
from vitreous.averages.deconvolve.settings import Deconvolve
from vitreous.averages.deconvolve.single import single_averages
from vitreous.averages.deconvolve.solve import deconvolve_averages
from vitreous.iterate import Algorithm, run
from vitreous.matching import Alignments, ImagePreparation, preparation_for
from vitreous.optics import CTFParameters
from vitreous.particles import ParticleSet, judged, require_particles
from vitreous.require import settings_with

__all__ = ["DeconvolveRun", "DeconvolveState", "deconvolve", "prepare_deconvolution"]

DEFAULT_EDGE_PX = 3.0
CLASSES_PER_STEP, STEP_BYTES = 8, 1 << 29
NOISE_SAMPLE = 256  # images whose background is measured when they are not normalised


@dataclass(frozen=True, kw_only=True)
class DeconvolveState:
    """The first ``done`` of K classes are done; arrays as in :class:`DeconvolveResult`, zero where nothing is yet."""

    iteration: int
    done: int
    noise_sd: float
    unmasked: np.ndarray
    masks: np.ndarray
    plain: np.ndarray
    population: np.ndarray
    iterations: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True, kw_only=True)
class DeconvolveRun:
    """A deconvolution that is ready to run: K classes of members, and what their images need."""

    particles: ParticleSet
    settings: Deconvolve
    device: str
    threads: int
    preparation: ImagePreparation
    ctf: CTFParameters | None
    class_number: np.ndarray  # (K,)
    members: Alignments  # by class; references are places in class_number
    group: np.ndarray  # of every member, by defocus
    group_defocus_A: np.ndarray
    group_population: np.ndarray
    classes_per_step: int
    messages: tuple[str, ...]

    @property
    def steps(self) -> int:
        """How many steps there will be."""
        return -(-len(self.class_number) // self.classes_per_step)

    @property
    def algorithm(self) -> Algorithm[DeconvolveState, DeconvolveResult]:
        """For the driver; a step is some classes."""
        return Algorithm(
            init=self._init, step=self._step, done=lambda s: s.done >= len(self.class_number), finalise=self._finalise
        )

    def _init(self, seed: int) -> DeconvolveState:
        k, n = len(self.class_number), self.preparation.box_px
        stack = np.zeros((k, n, n), np.float32)
        whole = np.zeros(k, np.int64)
        return DeconvolveState(
            iteration=0,
            done=0,
            noise_sd=1.0 if self.settings.normalise or self.settings.single else _noise_sd(self),
            unmasked=stack,
            masks=stack,
            plain=stack,
            population=whole,
            iterations=whole,
            residual=np.zeros(k, np.float32),
        )

    def _step(self, state: DeconvolveState) -> tuple[DeconvolveState, dict[str, Any]]:
        """Group averages, deconvolution and masks of the next classes."""
        stop = min(state.done + self.classes_per_step, len(self.class_number))
        given = self._averages(state.done, stop)
        chosen = self.settings
        solution = deconvolve_averages(
            given.images / state.noise_sd,
            given.ctf,
            given.count,
            alpha=chosen.smoothness,
            tolerance=chosen.tolerance,
            max_iterations=chosen.iterations,
        )
        images = solution.images.cpu().numpy().astype(np.float32)
        count = given.count.sum(1).cpu().numpy()
        here = slice(state.done, stop)
        following = replace(
            state,
            iteration=state.iteration + 1,
            done=stop,
            unmasked=_with(state.unmasked, here, images),
            masks=_with(state.masks, here, np.stack([self._mask(image) for image in images])),
            plain=_with(state.plain, here, (given.plain / state.noise_sd).cpu().numpy()),
            population=_with(state.population, here, (count > 0) if chosen.single else count),
            iterations=_with(state.iterations, here, solution.iterations.cpu().numpy()),
            residual=_with(state.residual, here, solution.residual.cpu().numpy()),
        )
        return following, {"classes_done": stop, "inner_iterations": int(solution.iterations.max())}

    def _averages(self, first: int, stop: int) -> GroupAverages:
        read, phase_flipped = self.particles.read, self.settings.phase_flipped
        members = self.members.of_references(first, stop)
        if self.settings.single:
            rows = members.particle
            return single_averages(
                read, self.preparation, self.ctf, rows, phase_flipped=phase_flipped, device=self.device
            )
        mine = (self.members.reference >= first) & (self.members.reference < stop)
        return average_groups(
            read,
            self.preparation,
            self.ctf,
            members,
            self.group[mine],
            stop - first,
            len(self.group_population),
            phase_flipped=phase_flipped,
            device=self.device,
            threads=self.threads,
        )

    def _mask(self, image: np.ndarray) -> np.ndarray:
        pixel, edge_A = self.preparation.pixel_size_A, self.settings.mask_edge_A
        return automatic_mask(
            image,
            pixel,
            self.preparation.radius_px,
            threshold=self.settings.mask_threshold,
            edge_px=DEFAULT_EDGE_PX if edge_A is None else edge_A / pixel,
        )

    def _finalise(self, state: DeconvolveState) -> DeconvolveResult:
        keep = (state.population > 0) & (state.masks.max((1, 2)) > 0)
        if not keep.any():
            raise ValueError(
                f"{self.particles.path}: no class has an image that can be used; `vitreous check` says what is wrong"
            )
        converged = state.residual <= self.settings.tolerance
        return DeconvolveResult(
            pixel_size_A=self.preparation.pixel_size_A,
            particle_diameter_A=self.preparation.particle_diameter_A,
            class_number=self.class_number[keep],
            averages=(state.unmasked * state.masks)[keep],
            unmasked=state.unmasked[keep],
            masks=state.masks[keep],
            plain=state.plain[keep],
            population=state.population[keep],
            iterations=state.iterations[keep],
            residual=state.residual[keep],
            converged=converged[keep],
            group_defocus_A=self.group_defocus_A,
            group_population=self.group_population,
            messages=[*self.messages, *_remarks(self, state, keep, converged)],
        )


def prepare_deconvolution(
    particles: ParticleSet, settings: Deconvolve, *, device: str = "cpu", threads: int = 1
) -> DeconvolveRun:
    """Check settings against particles, choose defocus groups over all of them; images are not touched yet.

    Needs the columns rlnClassNumber, rlnAnglePsi and the shifts that 2D classification writes (class 0: not used);
    ``rlnIsFlip`` marks particles that show the mirror image of their class. ``single``: every image is a class.
    Raises ValueError for columns that are missing, no class at all, and settings that do not fit the particles.
    """
    require_particles(particles)
    if not settings.single:
        particles = judged(particles, ctf=settings.ctf)
    preparation = preparation_for(particles, settings)
    messages = []
    ctf = particles.ctf_for(settings.ctf, premultiplied=not settings.single)
    if settings.ctf and ctf is None:
        missing = ", ".join(particles.missing_ctf_columns)
        messages.append(f"no CTF: the file lacks {missing}; images are taken as undisturbed")
    numbers, members = _single(particles) if settings.single else _classes(particles)
    if members.mirror.any():
        messages.append(
            f"{int(members.mirror.sum()):,} particles have rlnIsFlip 1 and are reflected (x to -x, after the turn); "
            "RELION itself ignores this column: if your file means something else, take it out"
        )
    usable = members.known & ~particles.bad[members.particle]
    if ctf is not None:
        usable &= _finite_ctf(ctf)[members.particle]
    if not usable.all():
        messages.append(f"{int((~usable).sum()):,} particles have no usable image, pose or CTF and are left out")
        members = members.take(usable)
    if len(members) == 0:
        raise ValueError(f"{particles.path}: no particle with a class, a pose and a CTF; run class2d first")
    group, mean_defocus, sizes = np.zeros(len(members), np.int64), np.zeros(0), np.array([len(members)])
    if ctf is not None and not settings.single:
        defocus = ((ctf.defocus_u_A + ctf.defocus_v_A) / 2)[members.particle]
        group = defocus_groups(defocus, settings.groups)
        sizes = np.bincount(group)
        mean_defocus = np.bincount(group, defocus) / sizes
    return DeconvolveRun(
        particles=particles,
        settings=settings,
        device=device,
        threads=threads,
        preparation=preparation,
        ctf=ctf,
        class_number=numbers,
        members=members,
        group=group,
        group_defocus_A=mean_defocus,
        group_population=sizes,
        classes_per_step=_classes_per_step(len(sizes), preparation.box_px),
        messages=tuple(messages),
    )


def deconvolve(
    particles: ParticleSet,
    settings: Deconvolve | None = None,
    *,
    device: str = "cpu",
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> DeconvolveResult:
    """Non-negative, CTF-free, masked averages of classified particles (:class:`Deconvolve`; keywords override it).

    ``on_step`` receives what is worth knowing of every step. Raises ValueError as :func:`prepare_deconvolution`.
    """
    chosen = settings_with(Deconvolve, settings, overrides)
    prepared = prepare_deconvolution(particles, chosen, device=device)
    with torch.no_grad():
        result, _ = run(prepared.algorithm, seed=0, on_step=on_step)
    return result


def _classes(particles: ParticleSet) -> tuple[np.ndarray, Alignments]:
    """Class numbers in use (K,) and the members of these classes, by class."""
    table = particles.table
    number = table.numbers("rlnClassNumber", "averaging classes (run class2d first, or say single for averages)")
    table.numbers("rlnAnglePsi", "turning particles onto their class (run class2d first)")
    rows = np.flatnonzero(np.nan_to_num(number) > 0)
    if len(rows) == 0:
        raise ValueError(f"{particles.path}: rlnClassNumber is 0 for all particles; none of them is in a class")
    rows = rows[np.argsort(number[rows], kind="stable")]
    numbers, index = np.unique(number[rows].astype(np.int64), return_inverse=True)
    return numbers, replace(Alignments.from_particles(particles).take(rows), reference=index.reshape(-1))


def _single(particles: ParticleSet) -> tuple[np.ndarray, Alignments]:
    rows = np.arange(len(particles))
    return rows + 1, replace(Alignments.unknown(len(particles)), reference=rows)


def _finite_ctf(ctf: CTFParameters) -> np.ndarray:
    return np.isfinite(np.stack(list(vars(ctf).values()))).all(0)


def _classes_per_step(groups: int, box: int) -> int:
    """Classes whose averages (with temporaries) and images in work take half a GB, eight at most.

    Not of the memory that a job may use: classes that are solved together round otherwise than alone.
    """
    bytes_per_class = 12 * groups * box * (box + box // 2 + 1) + 64 * 4 * box**2
    return max(1, min(CLASSES_PER_STEP, STEP_BYTES // bytes_per_class))


def _noise_sd(job: DeconvolveRun) -> float:
    """Standard deviation of the background of images that are not normalised, over a sample."""
    rows = job.members.particle
    images = job.particles.read(np.unique(rows[np.linspace(0, len(rows) - 1, NOISE_SAMPLE).astype(int)]))
    images = images[np.isfinite(images).all((1, 2))]
    axis = np.arange(images.shape[-1]) - images.shape[-1] // 2
    outside = images[:, np.hypot(axis[:, None], axis) > job.preparation.radius_px]
    sd = float(np.sqrt(outside.var(1).mean())) if outside.size else 0.0
    if not sd > 0:
        raise ValueError(
            f"{job.particles.path}: images are constant beyond the particle, so their noise is unknown; if they are "
            "averages say single"
        )
    return sd


def _with(values: np.ndarray, here: slice, new: np.ndarray) -> np.ndarray:
    out = values.copy()
    out[here] = new
    return out


def _remarks(job: DeconvolveRun, state: DeconvolveState, keep: np.ndarray, converged: np.ndarray) -> list[str]:
    """What the user should know about the result."""
    remarks = []
    if not keep.all():
        gone = ", ".join(map(str, job.class_number[~keep]))
        remarks.append(f"classes without a usable image, or with nothing above their background, left out: {gone}")
    if not converged[keep].all():
        late = ", ".join(map(str, job.class_number[keep & ~converged]))
        remarks.append(f"not converged after {job.settings.iterations} iterations: classes {late}")
    inside = (state.plain * (state.masks > 0))[keep].sum((1, 2))
    if job.settings.single and (inside < 0).mean() > 0.5:
        remarks.append("most averages seem to be dark on light; invert_contrast makes their particles white")
    return remarks
