"""Class averages made ready for all methods of this room: centred, on rings, of one energy, with an error model.

An average is ``X = S(o) P(G) V + E``. Its error has two parts: white noise of power ``N(r)``, which is measured beside
the particle, and what a model at low resolution cannot explain of the average itself (blurred alignment, flexible
parts, neighbouring views), a share ``MISFIT`` of the power ``S(r)`` of the signal on every ring:

    sigma^2(r) = N(r) + MISFIT S(r),       tau^2(r) = S(r)

So clean averages are compared with all rings alike (whitened), and noisy ones as a matched filter has it. With these,
a squared difference on rings is a log likelihood (:mod:`vitreous.volumes.ring_points`), and the agreement of two images
is the correlation under the same weights. Averages of one set may be scaled each by itself (8-bit files are), so every
one is brought to the same variance before powers are measured, and to the same energy then.

The rings end where averages hold no signal beyond their noise, and at ``MOST_RINGS``: an initial model needs no more.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from vitreous.fourier import centred_irfft2, centred_rfft2, shift_phase
from vitreous.matching import ImagePreparation, PreparedParticles, offset_within_box, prepare_particles
from vitreous.quality import bright_part, centres_of_mass
from vitreous.randomness import uniforms
from vitreous.rotations import symmetry_matrices
from vitreous.structures.abinitio.directions import direction_step_deg
from vitreous.structures.refine.images import PointImages, point_images, window_A
from vitreous.volumes import RingPoints

__all__ = ["FIRST_RINGS", "Views", "prepare_views"]

MISFIT = 0.2
FIRST_RINGS, MOST_RINGS = 4, 16
SIGNAL_LEFT = 0.02  # of the noise power: a ring with less signal says nothing
CENTRED_FROM = 1.0  # variance of the averages over that of their border: noisier ones stay where they are
SEEN, SEEN_NOISE = 0.0025, 0.05  # of the highest power and of the border's: what is less is beside the particle
MARGIN = 1.25  # that is added to the radius
LARGEST, SMALLEST = 0.95, 0.3  # of the box
LEAST_POWER = 1e-5  # of the strongest ring: what interpolation leaves, whatever the averages


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """n averages at R rings.

    data: their ring harmonics; sigma2, tau2: (R,) error and signal power; moved_A: (n, 2) shift that has centred each;
    group: (g, 3, 3) of the particle; offset_range_A: farthest distance from that centre which is searched.
    """

    data: PreparedParticles
    sigma2: torch.Tensor
    tau2: torch.Tensor
    moved_A: np.ndarray
    symmetry: str
    offset_range_A: float

    def __len__(self) -> int:
        return len(self.data)

    @property
    def rings(self) -> int:
        """R."""
        return self.data.basis.rings

    @cached_property
    def group(self) -> torch.Tensor:
        """(g, 3, 3) rotations of the particle onto itself."""
        return symmetry_matrices(self.symmetry)

    @property
    def window_A(self) -> float:
        """Ring r has the resolution window / r."""
        return window_A(self.data)

    @property
    def noise_power(self) -> torch.Tensor:
        """sigma2 as the matching core takes it, (1, R)."""
        return self.sigma2[None]

    @cached_property
    def harmonics(self) -> torch.Tensor:
        """(n, R, Q) complex."""
        packed = torch.from_numpy(np.ascontiguousarray(self.data.packed[np.arange(len(self))]))
        return self.data.basis.unpack(packed)

    @cached_property
    def images(self) -> PointImages:
        """All averages at the points of all rings."""
        return self.images_at(self.rings)

    def images_at(self, rings: int) -> PointImages:
        """All averages at the points of the first rings."""
        points = RingPoints(basis=self.data.basis.truncated(rings))
        return point_images(self.data, np.arange(len(self)), points, self.noise_power)

    def step_deg(self, rings: int) -> float:
        """Distance of directions that so many rings can tell apart."""
        return direction_step_deg(self.window_A / rings, self.data.preparation.particle_diameter_A)

    def take(self, index: np.ndarray) -> "Views":
        """Some of the averages."""
        data = replace(
            self.data,
            packed=self.data.packed[index],
            noise_group=self.data.noise_group[index],
            bad=self.data.bad[index],
        )
        return replace(self, data=data, moved_A=self.moved_A[index])

    def scrambled(self, seed: int) -> "Views":
        """Averages of nothing with the same power on every ring: each ring of each average turned by its own angle.

        What a model is made of is how rings lie to each other, and that alone is lost.
        """
        turns = 2 * np.pi * uniforms(seed, "scrambled rings", ids=np.arange(len(self)), count=self.rings)
        q = torch.arange(self.harmonics.shape[2])
        angle = torch.from_numpy(turns).float()[:, :, None] * q
        packed = self.data.basis.pack(self.harmonics * torch.polar(torch.ones_like(angle), angle))
        return replace(self, data=replace(self.data, packed=packed.numpy()))


def prepare_views(
    images: np.ndarray,
    pixel_size_A: float,
    *,
    symmetry: str = "C1",
    particle_diameter_A: float | None = None,
    offset_range_A: float | None = None,
    rings: int | None = None,
) -> Views:
    """Averages (n, L, L), particles white, background 0. None means: chosen from the averages.

    Raises ValueError for averages that are not finite or all of one value, naming the first (from 1), for a diameter
    or a range that the box does not hold, and for a diameter of too few pixels for four rings.
    """
    _check(images, pixel_size_A)
    images = images / images.std(axis=(1, 2), keepdims=True)
    noise = _border_variance(images)
    centred, moved = _centred(images, pixel_size_A, noise)
    preparation = ImagePreparation.for_box(
        images.shape[1],
        pixel_size_A,
        particle_diameter_A or _diameter_A(centred, pixel_size_A),
        normalise=False,
    )
    wanted = rings or MOST_RINGS
    data = prepare_particles(lambda index: centred[index], len(images), preparation, rings=wanted, ctf=None)
    if data.basis.rings < FIRST_RINGS:
        raise ValueError(
            f"particle_diameter_A: {preparation.particle_diameter_A:.0f} A are so few pixels of {pixel_size_A:g} A "
            f"that they have {data.basis.rings} rings of Fourier space, and a first map takes {FIRST_RINGS}; give a "
            "larger diameter, or averages that are not reduced so far"
        )
    return _weighted(data, noise, moved, symmetry, offset_within_box(offset_range_A, preparation), chosen=rings is None)


def _check(images: np.ndarray, pixel_size_A: float) -> None:
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"averages: expected square images (n, L, L) of one box, found shape {images.shape}")
    if not (math.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise ValueError(f"pixel_size_A: expected a positive number, found {pixel_size_A}")
    for i, image in enumerate(images, start=1):
        if not np.isfinite(image).all():
            raise ValueError(f"average {i}: has {np.count_nonzero(~np.isfinite(image))} values that are no numbers")
        if np.ptp(image) == 0:
            raise ValueError(f"average {i}: all pixels have the value {image.flat[0]:g}; leave it out")


def _border_variance(images: np.ndarray) -> float:
    """Variance of the pixels outside of the circle in the box: no part of a particle."""
    c = images.shape[1] // 2
    y, x = np.indices(images.shape[1:]) - c
    return float(images[:, np.hypot(x, y) > c].var(axis=1).mean())


def _centred(images: np.ndarray, pixel_size_A: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Averages with their centre of mass in the middle, and the shift of each in Angstrom; noisy ones stay."""
    if images.var() < (1 + CENTRED_FROM) * noise:
        return images.astype(np.float32), np.zeros((len(images), 2))
    centre_px = centres_of_mass(bright_part(images.astype(np.float64)), 1.0)
    transforms = centred_rfft2(torch.from_numpy(images.astype(np.float32)))
    moved = centred_irfft2(
        transforms * shift_phase(torch.from_numpy(-centre_px).float(), images.shape[1]), images.shape[1]
    )
    return moved.numpy(), -centre_px * pixel_size_A


def _diameter_A(images: np.ndarray, pixel_size_A: float) -> float:
    """Of the sphere beyond which the averages have little more power than their border."""
    side = images.shape[1]
    y, x = np.indices((side, side)) - side // 2
    ring = np.hypot(x, y).round().astype(int).ravel()
    power = np.square(images).mean(axis=0).ravel()
    profile = np.bincount(ring, power)[: side // 2] / np.bincount(ring)[: side // 2]
    border = profile[-max(2, side // 16) :].mean()
    seen = np.flatnonzero(profile - border > SEEN * (profile.max() - border) + SEEN_NOISE * border)
    share = 2 * MARGIN * (seen[-1] + 1) / side if len(seen) else LARGEST
    return min(max(share, SMALLEST), LARGEST) * side * pixel_size_A


def _weighted(
    data: PreparedParticles, noise: float, moved: np.ndarray, symmetry: str, offset_range_A: float, *, chosen: bool
) -> Views:
    """Rings that hold signal, of one energy, with the powers of signal and error."""
    total = data.group_power[0]
    floor = torch.full_like(total, max(noise * data.white_noise_power, LEAST_POWER * float(total.max())))
    empty = torch.nonzero(total - floor <= SIGNAL_LEFT * floor).ravel() if chosen else torch.zeros(0)
    rings = max(FIRST_RINGS, int(empty[0])) if len(empty) else data.basis.rings
    signal = (total - floor).clamp_min(LEAST_POWER * float(total.max()))
    signal, sigma2 = signal[:rings], (floor + MISFIT * signal)[:rings]
    basis = data.basis.truncated(rings)
    harmonics = data.basis.unpack(torch.from_numpy(np.ascontiguousarray(data.packed[np.arange(len(data))])), rings)
    energy = ((harmonics.abs().square() * basis.multiplicity).sum(2) * (basis.ring_weight / sigma2)).sum(1)
    scaled = harmonics * (energy.mean() / energy.clamp_min(1e-30)).sqrt()[:, None, None]
    return Views(
        data=replace(data, basis=basis, packed=basis.pack(scaled).numpy(), group_power=total[None, :rings]),
        sigma2=sigma2,
        tau2=signal,
        moved_A=moved,
        symmetry=symmetry,
        offset_range_A=offset_range_A,
    )
