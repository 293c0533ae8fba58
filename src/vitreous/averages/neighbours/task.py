"""The search for neighbours as a task: settings and particles in, an algorithm or a result out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.averages.covariance import (
    ImagePrior,
    MatchedImages,
    PrincipalBasis,
    SteerablePlan,
    estimate_covariance,
    estimate_mean,
    from_principal,
    prepare_matched,
    principal_basis,
    principal_blocks,
    steerable_plan,
)
from vitreous.averages.neighbours.averaging import average_neighbours, refine_rotations
from vitreous.averages.neighbours.candidates import NeighbourLists
from vitreous.averages.neighbours.chain import exhaustive_neighbours, mahalanobis_neighbours
from vitreous.averages.neighbours.classes import (
    ClassState,
    ClassSums,
    class_members,
    deal_folds,
    first_pass,
    next_pass,
)
from vitreous.averages.neighbours.halves import half_correlation
from vitreous.averages.neighbours.pairs import relative_rotations
from vitreous.averages.neighbours.principal import PrincipalImages, image_posteriors_of, posterior_references
from vitreous.averages.neighbours.profiles import Profiles, log_evidence, profile_features, profile_images
from vitreous.averages.neighbours.result import LITTLE_EVIDENCE, NeighboursResult
from vitreous.averages.neighbours.search import nearest_profiles
from vitreous.averages.neighbours.settings import Neighbours
from vitreous.averages.neighbours.subset import diverse_subset
from vitreous.iterate import Algorithm, run
from vitreous.matching import assumptions, preparation_for, total, wrapped_deg
from vitreous.matching.workers import one_thread
from vitreous.particles import ParticleSet, judged
from vitreous.processes import ALONE, Processes
from vitreous.require import settings_with

__all__ = ["NeighboursPlan", "NeighboursRun", "NeighboursState", "neighbours", "prepare_neighbours"]

MOST_DIAMETER_PX = 64  # across the particle, in working pixels
PER_CLASS, FEWEST_CLASSES, MOST_CLASSES = 12, 16, 200
PASS_SECONDS = 4e-9  # of one core per particle, class and component in a pass
READ_SECONDS = 5e-7  # per particle and coefficient
CANDIDATES = 50  # of every image, in the chains of image with image
SETTLED = 0.05  # share of images that change class in a pass below which a classification ends


@dataclass(frozen=True, kw_only=True)
class NeighboursPlan:
    """What a run will do, before it does it."""

    n_particles: int
    box_px: int
    pixel_size_A: float
    working_box_px: int
    working_pixel_A: float
    particle_diameter_A: float
    classes: int
    has_ctf: bool
    centred: bool
    coefficients: int
    matched_bytes: int
    seconds_estimate: float
    memory_bytes: int
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class NeighboursState:
    """Everything that an iteration (a pass of one classification) hands to the next one."""

    iteration: int
    seed: int
    finished: tuple[tuple[ClassSums, ...], ...]  # by classification, by fold
    current: ClassState | None


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """Images in the principal basis; good: (m,) rows of the particle table that they are."""

    matched: MatchedImages
    prior: ImagePrior
    principal: PrincipalBasis
    images: PrincipalImages
    good: np.ndarray


class NeighboursRun:
    """A search that is ready to run: ``algorithm`` for the driver. Prepared images are a cache, rebuilt on resuming."""

    def __init__(
        self,
        particles: ParticleSet,
        settings: Neighbours,
        *,
        memory_bytes: int,
        store: Path | None,
        threads: int,
        processes: Processes,
    ):
        self.processes = processes
        self.particles = particles
        self.settings = settings
        self.store = store
        self.threads = threads
        self.on_progress: Callable[[int, int, str], None] = lambda done, total, what: None
        self.ctf = particles.ctf_for(settings.ctf)
        self._steerable = steerable_plan(
            preparation_for(particles, settings),
            resolution_limit_A=settings.resolution_limit_A,
            most_diameter_px=MOST_DIAMETER_PX,
        )
        self.plan = _plan(particles, settings, self._steerable, self.ctf is not None, memory_bytes, threads)
        self.algorithm = Algorithm(init=self._init, step=self._step, done=self._done, finalise=self._finalise)
        self._data: _Prepared | None = None

    def data(self) -> _Prepared:
        """The prepared images, made at the first call."""
        if self._data is None:
            matched = prepare_matched(
                self.particles,
                self._steerable,
                ctf=self.ctf,
                memory_bytes=self.plan.memory_bytes,
                store=self._file(),
                threads=self.threads,
                processes=self.processes,
                progress=self.on_progress,
            )
            self._data = _principal_images(self.particles.path, matched, self.settings.components, self.processes)
            _check_enough(self.particles.path, len(self._data.good), "usable ", self.settings, self.plan.classes)
        return self._data

    def _file(self) -> Path | None:
        """Where coefficients are kept that do not fit into memory; every process has its own."""
        if self.store is None or self.processes.size == 1:
            return self.store
        return self.store.with_name(f"{self.store.name}{self.processes.rank}")

    def _folds(self, seed: int, run_number: int) -> list[np.ndarray]:
        return deal_folds(len(self.data().images), self.settings.folds, seed, run_number)

    @property
    def _work(self) -> dict[str, Any]:
        """By whom passes are done."""
        return {"threads": self.threads, "processes": self.processes}

    def _init(self, seed: int) -> NeighboursState:
        self.data()
        return NeighboursState(iteration=0, seed=seed, finished=(), current=None)

    def _step(self, state: NeighboursState) -> tuple[NeighboursState, dict[str, Any]]:
        images, number = self.data().images, len(state.finished)
        folds = self._folds(state.seed, number)

        def tell(done: int) -> None:
            self.on_progress(done, len(images), "matching")

        if state.current is None:
            current = first_pass(
                images, folds, self.plan.classes, seed=state.seed, run=number, progress=tell, **self._work
            )
        else:
            current = next_pass(images, folds, state.current, progress=tell, **self._work)
        ended = current.passes >= self.settings.passes or current.changed < SETTLED
        members = class_members(current.parts)
        info = {
            "run": number + 1,
            "pass": current.passes,
            "score": current.score,
            "changed_fraction": current.changed,
            "smallest_class": float(members.min()),
            "largest_class": float(members.max()),
        }
        following = replace(
            state,
            iteration=state.iteration + 1,
            finished=(*state.finished, current.parts) if ended else state.finished,
            current=None if ended else current,
        )
        return following, info

    def _done(self, state: NeighboursState) -> bool:
        return len(state.finished) >= self.settings.runs

    def _finalise(self, state: NeighboursState) -> NeighboursResult:
        data = self.data()
        profiles = []
        for number, parts in enumerate(state.finished):
            self.on_progress(number, len(state.finished), "profiles")
            profiles.append(profile_images(data.images, self._folds(state.seed, number), parts, **self._work))
        features = profile_features(profiles)
        angles = data.images.grid.angles
        evidence = torch.stack(
            [log_evidence(profile, parts, angles) for profile, parts in zip(profiles, state.finished, strict=True)]
        ).mean(0)
        self.on_progress(0, 1, "neighbours")
        lists = self._lists(profiles, features, state.seed)
        self.on_progress(0, 1, "averages")
        with one_thread():
            lists = refine_rotations(data.images, lists)
            chosen = diverse_subset(features, evidence, min(self.settings.averages, len(features)))
            return _result(self, state, lists, chosen, evidence)

    def _lists(self, profiles: list[Profiles], features: torch.Tensor, seed: int) -> NeighbourLists:
        """By the method asked for; classes give the evidence and the choice of averages in any case."""
        k = self.settings.neighbours
        if self.settings.method == "profiles":
            lists = nearest_profiles(features, k, **self._work)
            return relative_rotations(profiles, features, lists)
        chain = exhaustive_neighbours if self.settings.method == "exhaustive" else mahalanobis_neighbours
        posteriors = image_posteriors_of(self.data().images)
        candidates = min(max(CANDIDATES, k), len(features) - 1)
        return chain(posteriors, k, candidates=candidates, seed=seed)

    def picture(self, components: torch.Tensor) -> torch.Tensor:
        """Images (m, L, L) of principal components (m, M), at the working pixel size, the mean image added."""
        data = self.data()
        basis = data.matched.plan.basis
        return basis.evaluate(from_principal(data.principal, basis, components))


@dataclass(frozen=True, kw_only=True)
class _Natural:
    natural: np.ndarray


def _principal_images(path: Path, matched: MatchedImages, components: int, processes: Processes) -> _Prepared:
    """Mean, covariance and principal components of the matched images, and the images in terms of these."""
    mean = estimate_mean(matched.moments, matched.information)
    prior = estimate_covariance(matched.moments, matched.information, mean)
    if not any(bool((block.diagonal() > 0).any()) for block in prior.covariance):
        raise ValueError(
            f"{path}: nothing that the particles share rises above the noise; check contrast, CTF, particle diameter "
            "and centring"
        )
    basis = matched.plan.basis
    principal = principal_basis(prior, components)
    good = np.flatnonzero(~matched.bad)
    places = [np.flatnonzero(good % processes.size == rank) for rank in range(processes.size)]  # of every process
    mine = places[processes.rank]
    own = np.empty((len(mine), len(principal.orders)), np.complex64)
    expected = torch.einsum("gkl,l->gk", matched.information[0].double(), prior.mean)  # K mu, order 0 only
    for rows in np.array_split(np.arange(len(mine)), max(1, len(mine) // 4096)):
        these = good[mine[rows]]
        z = torch.from_numpy(np.array(matched.matched[these]))
        z[:, basis.blocks[0]] -= expected[torch.from_numpy(matched.group[these])].to(z.dtype)
        parts = [z[:, b] @ v.to(z.dtype) for b, v in zip(basis.blocks, principal.vectors, strict=True)]
        own[rows] = torch.cat(parts, 1).numpy()
    natural = np.empty((len(good), own.shape[1]), np.complex64)
    natural[np.concatenate(places)] = processes.gather(_Natural(natural=own)).natural
    precision = principal_blocks(principal, matched.information)
    images = PrincipalImages(
        natural=torch.from_numpy(natural),
        orders=principal.orders,
        precision=tuple(p.float() for p in precision if p.shape[1]),
        variance=principal.variances.float(),
        group=torch.from_numpy(matched.group[good]),
    )
    return _Prepared(matched=matched, prior=prior, principal=principal, images=images, good=good)


def _result(
    job: NeighboursRun,
    state: NeighboursState,
    lists: NeighbourLists,
    chosen: torch.Tensor,
    evidence: torch.Tensor,
) -> NeighboursResult:
    data, n, k = job.data(), len(job.particles), job.settings.neighbours
    good = data.good
    found = {
        "neighbours": np.full((n, k), -1, np.int64),
        "mirrored": np.zeros((n, k), bool),
        "psi_deg": np.zeros((n, k), np.float32),
        "affinity": np.zeros((n, k), np.float32),
        "log_evidence": np.zeros(n, np.float32),
        "weight": np.zeros(n, np.float32),
    }
    found["neighbours"][good] = good[lists.index.numpy()]
    found["mirrored"][good] = lists.mirrored.numpy()
    found["psi_deg"][good] = wrapped_deg(np.rad2deg(lists.psi_rad.numpy()))
    found["affinity"][good] = lists.affinity.numpy()
    found["log_evidence"][good] = evidence.numpy()
    found["weight"][good] = 1
    averages = average_neighbours(data.images, lists, chosen)
    frc = half_correlation(data.matched.matched, data.matched.plan.basis, lists, chosen, good, job.processes)
    first = total(state.finished[0])
    groups = data.matched.groups
    return NeighboursResult(
        pixel_size_A=data.matched.plan.pixel_size_A,
        particle_diameter_A=job.plan.particle_diameter_A,
        **found,
        average_of=good[chosen.numpy()],
        averages=job.picture(averages.components).numpy(),
        frc=frc.numpy(),
        classes=job.picture(posterior_references(data.images, first.signal, first.weight)).numpy(),
        class_members=class_members(state.finished[0]).numpy(),
        orders=data.principal.orders.numpy(),
        variances=data.principal.variances.numpy(),
        evidence=float(evidence.mean()),
        noise_power=data.matched.noise_power.numpy(),
        defocus_groups=0 if groups is None else len(groups),
        defocus_phase_error_rad=0.0 if groups is None else groups.phase_error_rad,
        messages=_messages(job, float(evidence.mean())),
    )


def _plan(
    particles: ParticleSet,
    settings: Neighbours,
    steerable: SteerablePlan,
    has_ctf: bool,
    memory_bytes: int,
    threads: int,
) -> NeighboursPlan:
    n = len(particles)
    classes = settings.classes or min(MOST_CLASSES, max(FEWEST_CLASSES, n // PER_CLASS))
    usable = int(np.count_nonzero(~particles.bad))
    _check_enough(particles.path, usable, "" if usable == n else "usable ", settings, classes)
    diameter = steerable.preparation.particle_diameter_A
    centred = bool(np.any(particles.origin_A))
    passes = n * classes * settings.components * settings.runs * (settings.passes + 1)
    notes = assumptions(particles, settings, steerable.preparation)
    if not centred:
        notes.append(
            "no shifts in the file: particles are taken to be centred in their boxes; otherwise run class2d first "
            "and give its run_data.star"
        )
    return NeighboursPlan(
        n_particles=n,
        box_px=particles.box_px,
        pixel_size_A=particles.pixel_size_A,
        working_box_px=steerable.box_px,
        working_pixel_A=steerable.pixel_size_A,
        particle_diameter_A=diameter,
        classes=classes,
        has_ctf=has_ctf,
        centred=centred,
        coefficients=steerable.basis.size,
        matched_bytes=8 * n * steerable.basis.size,
        seconds_estimate=5 + n * steerable.basis.size * READ_SECONDS + passes * PASS_SECONDS / threads,
        memory_bytes=memory_bytes,
        notes=notes,
    )


def _check_enough(path: Path, particles: int, kind: str, settings: Neighbours, classes: int) -> None:
    if particles < max(classes, settings.neighbours + 1, 2 * settings.folds):
        raise ValueError(
            f"{path}: {particles} {kind}particles are too few for {settings.neighbours} neighbours, {classes} classes "
            f"and {settings.folds} folds"
        )


def _messages(job: NeighboursRun, evidence: float) -> list[str]:
    bad = job.data().matched.bad
    messages = []
    if bad.any():
        messages.append(f"{int(bad.sum())} particles with NaN or constant images were left out; their weight is 0")
    if evidence < LITTLE_EVIDENCE:
        messages.append(
            f"averages explain particles hardly better than the mean image does ({evidence:.1f} nats per "
            "particle): neighbours are close to random; check contrast, CTF, particle diameter and centring"
        )
    return messages


def prepare_neighbours(
    particles: ParticleSet,
    settings: Neighbours,
    *,
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    threads: int | None = None,
    processes: Processes = ALONE,
) -> NeighboursRun:
    """Check settings against particles and lay out the work.

    Particles that nobody has judged are (:func:`vitreous.particles.judged`): their images are looked at once.

    store: file for coefficients that do not fit in a quarter of ``memory_bytes``; threads: None for as many as PyTorch
    uses. Raises ValueError for settings that do not fit the particles.
    """
    threads = torch.get_num_threads() if threads is None else threads
    particles = judged(particles, ctf=settings.ctf)
    return NeighboursRun(
        particles, settings, memory_bytes=memory_bytes, store=store, threads=threads, processes=processes
    )


def neighbours(
    particles: ParticleSet,
    settings: Neighbours | None = None,
    *,
    memory_bytes: int = 4 << 30,
    processes: Processes = ALONE,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    **overrides: Any,
) -> NeighboursResult:
    """Nearest neighbours of every particle, and averages (see :class:`Neighbours`; keywords override the settings).

    Particles are centred by their origin columns; a search over shifts is not made. ``on_step`` receives what is worth
    knowing of every pass. Raises ValueError for settings that do not fit.
    """
    chosen = settings_with(Neighbours, settings, overrides)
    prepared = prepare_neighbours(particles, chosen, memory_bytes=memory_bytes, processes=processes)
    with torch.no_grad():
        result, _ = run(prepared.algorithm, seed=chosen.seed, on_step=on_step)
    return result
