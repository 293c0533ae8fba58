"""Denoising as a task: settings and particles in, a filter that makes images, or all of them, out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from vitreous.averages.covariance import (
    ImagePrior,
    MatchedImages,
    PrincipalBasis,
    SteerablePlan,
    Verdict,
    estimate_covariance,
    estimate_mean,
    from_principal,
    posterior_covariance,
    prepare_matched,
    principal_basis,
    steerable_plan,
    verdict,
    wiener_filter,
)
from vitreous.averages.denoise.result import DenoiseModel, DenoiseResult
from vitreous.averages.denoise.settings import Denoise
from vitreous.fourier import centred_irfft2, centred_rfft2, fourier_pad, shift_phase
from vitreous.iterate import Algorithm, run
from vitreous.matching import assumptions, preparation_for
from vitreous.optics import CTFParameters
from vitreous.particles import ParticleSet, judged
from vitreous.require import settings_with

__all__ = ["DenoiseRun", "DenoiseState", "Sink", "denoise", "prepare_denoising"]

BYTES_PER_R4 = 5.0  # what the matrices of the basis take, by the fourth power of the radius in pixels
WIDEST_PX = 200  # across the particle, in working pixels: matrices of 500 MB
EIGENIMAGES = 24
LARGEST_BATCH, BATCH_BYTES = 4096, 1 << 30
EVERY_COMPONENT = 1 << 40


@dataclass(frozen=True, kw_only=True)
class _Filter:
    """Prepared images and what they are filtered with."""

    matched: MatchedImages
    prior: ImagePrior
    principal: PrincipalBasis | None  # None: nothing rises above the noise
    posterior: tuple[torch.Tensor, ...]
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class DenoiseState:
    """The first iteration fits the model, each further one makes some images: the first ``done`` are made."""

    iteration: int
    done: int


class Sink(Protocol):
    """Where images go, in order: a stack on the disk, or memory."""

    @property
    def count(self) -> int:
        """How many are there."""

    def append(self, images: np.ndarray) -> None:
        """Take (m, L, L) more."""


class DenoiseRun:
    """Denoising that is ready to run. The first call of :meth:`model` or :meth:`images` reads all particles once."""

    def __init__(
        self,
        particles: ParticleSet,
        settings: Denoise,
        steerable: SteerablePlan,
        ctf: CTFParameters | None,
        notes: tuple[str, ...],
        *,
        memory_bytes: int,
        store: Path | None,
        threads: int,
    ):
        self.particles = particles
        self.settings = settings
        self.steerable = steerable
        self.ctf = ctf
        self.notes = notes
        self.memory_bytes = memory_bytes
        self.store = store
        self.threads = threads
        self.on_progress: Callable[[int, int, str], None] = lambda done, total, what: None
        self._fitted: _Filter | None = None

    @property
    def batch(self) -> int:
        """Images that are made at a time, the same whatever the memory: products of other sizes round otherwise."""
        fitting = BATCH_BYTES // (64 * 4 * self.particles.box_px**2)
        return max(16, min(LARGEST_BATCH, fitting))

    @property
    def steps(self) -> int:
        """How many steps there will be."""
        return 1 - (-len(self.particles) // self.batch)

    def algorithm(self, sink: Sink) -> Algorithm[DenoiseState, DenoiseModel]:
        """For the driver: fit, then fill the sink. One that is behind the state, in a new process, catches up first."""
        n = len(self.particles)

        def step(state: DenoiseState) -> tuple[DenoiseState, dict[str, Any]]:
            if state.iteration == 0:
                fitted = self._filter()
                components = 0 if fitted.principal is None else len(fitted.principal.orders)
                return DenoiseState(iteration=1, done=0), {"components": components}
            done = min(state.done + self.batch, n)
            self._fill(sink, done)
            return DenoiseState(iteration=state.iteration + 1, done=done), {"denoised": done}

        def finalise(state: DenoiseState) -> DenoiseModel:
            self._fill(sink, state.done)
            return self.model()

        return Algorithm(
            init=lambda seed: DenoiseState(iteration=0, done=0),
            step=step,
            done=lambda state: state.done >= n,
            finalise=finalise,
        )

    def _fill(self, sink: Sink, stop: int) -> None:
        for first in range(sink.count, stop, self.batch):
            sink.append(self.images(np.arange(first, min(first + self.batch, stop))))

    def model(self) -> DenoiseModel:
        """Mean, covariance and noise. Raises ValueError when no image can be used."""
        fitted = self._filter()
        matched, basis = fitted.matched, fitted.matched.plan.basis
        orders, variances, eigenimages = _components(fitted)
        pixel = self.steerable.pixel_size_A
        mean = torch.zeros(1, basis.size, dtype=torch.complex64)
        mean[0, basis.blocks[0]] = fitted.prior.mean.to(mean.dtype)
        return DenoiseModel(
            pixel_size_A=pixel,
            particle_diameter_A=self.steerable.preparation.particle_diameter_A,
            cutoff_A=pixel / basis.cutoff_per_px,
            mean_image=basis.evaluate(mean)[0].numpy(),
            eigenimages=eigenimages,
            orders=orders,
            variances=variances,
            noise_power=matched.noise_power.numpy(),
            background_power=matched.background_power.numpy(),
            excess_frequency=matched.excess.upper_per_px,
            excess=matched.excess.value,
            defocus_groups=0 if matched.groups is None else len(matched.groups),
            phase_error_rad=0.0 if matched.groups is None else matched.groups.phase_error_rad,
            bad=matched.bad,
            found_signal=fitted.principal is not None,
            messages=_messages(fitted),
        )

    def images(self, index: np.ndarray) -> np.ndarray:
        """Denoised images (m, L, L) float32 of particles ``index``, where they were in the raw images."""
        fitted = self._filter()
        matched = fitted.matched
        filtered = wiener_filter(
            matched.plan.basis,
            fitted.prior,
            matched.information,
            fitted.posterior,
            torch.from_numpy(np.array(matched.matched[index])),
            torch.from_numpy(matched.group[index]),
        )
        scale = np.where(matched.bad[index], 0, matched.scale[index]).astype(np.float32)
        images = matched.plan.basis.evaluate(filtered.coefficients) * torch.from_numpy(scale)[:, None, None]
        return _moved_back(images, self.particles.origin_A[index], self.steerable).numpy()

    def _filter(self) -> _Filter:
        if self._fitted is None:
            with torch.no_grad():
                matched = prepare_matched(
                    self.particles,
                    self.steerable,
                    ctf=self.ctf,
                    memory_bytes=self.memory_bytes,
                    store=self.store,
                    threads=self.threads,
                    progress=self.on_progress,
                )
                if matched.bad.all():
                    raise ValueError(
                        f"{self.particles.path}: no image can be used; `vitreous check` says what is wrong"
                    )
                self._fitted = _fit(matched, self.settings.components)
        return self._fitted


@dataclass
class _Kept:
    """Images in memory."""

    blocks: list[np.ndarray] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.blocks))

    def append(self, images: np.ndarray) -> None:
        self.blocks.append(images)


def _fit(matched: MatchedImages, components: int | None) -> _Filter:
    """The model; without covariance where images that it has not seen are no likelier with one."""
    mean = estimate_mean(matched.moments, matched.information)
    prior = estimate_covariance(matched.moments, matched.information, mean)
    principal, jury = None, verdict(matched)
    if not jury.found_signal:
        prior = replace(prior, covariance=tuple(torch.zeros_like(s) for s in prior.covariance))
    elif max(float(s.abs().max()) for s in prior.covariance) > 0:
        principal = principal_basis(prior, components or EVERY_COMPONENT)
        variances = principal.variances.split([v.shape[1] for v in principal.vectors])
        covariance = tuple((v * s) @ v.T for v, s in zip(principal.vectors, variances, strict=True))
        prior = replace(prior, covariance=covariance)
    posterior = posterior_covariance(prior, matched.information)
    return _Filter(matched=matched, prior=prior, principal=principal, posterior=posterior, verdict=jury)


def _components(fitted: _Filter) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orders and variances of all components, pictures of those with the largest variance."""
    basis, principal = fitted.matched.plan.basis, fitted.principal
    if principal is None:
        return np.zeros(0, np.int64), np.zeros(0), np.zeros((0, basis.box_px, basis.box_px), np.float32)
    largest = principal.variances.argsort(descending=True)[:EIGENIMAGES]
    single = torch.zeros(len(largest), len(principal.orders), dtype=torch.complex64)
    single[torch.arange(len(largest)), largest] = 1
    without_mean = replace(principal, mean=torch.zeros_like(principal.mean))
    pictures = basis.evaluate(from_principal(without_mean, basis, single))
    return principal.orders.numpy(), principal.variances.numpy(), pictures.numpy()


def _moved_back(images: torch.Tensor, origin_A: np.ndarray, plan: SteerablePlan) -> torch.Tensor:
    """Centred working images (m, w, w) at the place and in the box (m, L, L) of the raw images."""
    box, shift = plan.preparation.box_px, torch.from_numpy(-origin_A / plan.pixel_size_A).float()
    if box == plan.box_px and not bool(shift.any()):
        return images
    ft = centred_rfft2(images) * shift_phase(shift, plan.box_px)
    return centred_irfft2(fourier_pad(ft, plan.box_px, box) if box > plan.box_px else ft, box)


def _messages(fitted: _Filter) -> list[str]:
    messages, bad = [], int(fitted.matched.bad.sum())
    if bad:
        messages.append(f"{bad:,} particles could not be used and come out as zeros, with weight 0")
    if fitted.principal is None:
        messages.append(
            "Nothing was found: no component of the images rises above the noise, by images that the model has not "
            f"seen ({fitted.verdict.gain:+.2f} nats per image, {fitted.verdict.sigmas:.1f} standard errors). Every "
            "denoised image is the mean image. There are too few particles, or none of them shows anything; check "
            "contrast, CTF and centring"
        )
    return messages


def prepare_denoising(
    particles: ParticleSet,
    settings: Denoise,
    *,
    memory_bytes: int = 4 << 30,
    store: Path | None = None,
    threads: int = 1,
) -> DenoiseRun:
    """Check settings against particles, which are judged first (:func:`vitreous.particles.judged`) if they are not yet.

    store: file for coefficients that do not fit in a quarter of ``memory_bytes``. Raises ValueError for settings that
    do not fit the particles, and images that are premultiplied by their CTF.
    """
    particles = judged(particles, ctf=settings.ctf)
    preparation = preparation_for(particles, settings)
    steerable = steerable_plan(preparation, resolution_limit_A=settings.resolution_limit_A, most_diameter_px=WIDEST_PX)
    ctf = particles.ctf_for(settings.ctf)
    notes = tuple(_notes(particles, settings, steerable, memory_bytes))
    return DenoiseRun(
        particles, settings, steerable, ctf, notes, memory_bytes=memory_bytes, store=store, threads=threads
    )


def _notes(particles: ParticleSet, settings: Denoise, steerable: SteerablePlan, memory_bytes: int) -> list[str]:
    notes = assumptions(particles, settings, steerable.preparation)
    if steerable.box_px < particles.box_px:
        notes.append(f"computed at {steerable.pixel_size_A:.3g} A per pixel, written at the pixel size of the input")
    matrices = BYTES_PER_R4 * steerable.radius_px**4
    if matrices > memory_bytes / 2:
        notes.append(
            f"the matrices of the basis take {matrices / 2**20:,.0f} MB, more than half of --memory; a resolution "
            "limit makes them smaller"
        )
    return notes


def denoise(
    particles: ParticleSet,
    settings: Denoise | None = None,
    *,
    memory_bytes: int = 4 << 30,
    **overrides: Any,
) -> DenoiseResult:
    """Denoise every particle (see :class:`Denoise`; keywords override the settings); all images in memory.

    Images are centred by their origin columns for the model, and come out where they were. Raises ValueError for
    settings that do not fit.
    """
    prepared = prepare_denoising(particles, settings_with(Denoise, settings, overrides), memory_bytes=memory_bytes)
    kept = _Kept()
    model, _ = run(prepared.algorithm(kept), seed=0)
    weight = (~model.bad).astype(np.float32)
    return DenoiseResult(images=np.concatenate(kept.blocks), weight=weight, model=model)
