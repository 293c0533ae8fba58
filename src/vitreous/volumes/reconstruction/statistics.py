"""Statistics of particles at known poses on the oversampled Fourier grid: sums that add up over particles.

With ``X = C S(o) P(G) V + noise`` of power sigma^2(k), everything linear that images say about V is

    numerator(k) = sum_i w_i C_i conj(S_i) X_i / sigma_i^2,      denominator(k) = sum_i w_i C_i^2 / sigma_i^2,

laid into the grid by the adjoint of trilinear slices (:mod:`vitreous.fourier.interpolation`). They are the right side
of the normal equations of least squares, and the spectrum of their kernel. A box of n pixels needs 12 (2 n + 3)^2 (n +
2) bytes for each half-set, 14 MB for n = 64 and 820 MB for n = 256, whatever the number of particles.

A point group is applied without interpolating sums: its elements that map the grid to itself are permutations of the
samples and are applied once, at the end; one image per coset of these is inserted (none but the image itself for C2,
C4, D2, D4 and O; 5 for I, 7 for C7 and D7).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce

import numpy as np
import torch

from vitreous.fourier import (
    centred_rfft2,
    empty_volume_ft,
    frequency_xy_rfft2,
    insert_points,
    rfft2_multiplicity,
    shell_index_rfft2,
)
from vitreous.matching.workers import ordered_map
from vitreous.optics import ctf_at
from vitreous.volumes.reconstruction.posed import PosedParticles

__all__ = [
    "PADDING",
    "DiscPoints",
    "ReconstructionSums",
    "accumulate",
    "add_sums",
    "coset_matrices",
    "empty_sums",
    "full_circle",
]

PADDING = 2  # of the Fourier grid: trilinear interpolation needs it


@dataclass(frozen=True, kw_only=True)
class ReconstructionSums:
    """What particles of a box of n pixels say about a volume; sums of disjoint sets add up.

    numerator: complex64, denominator: float32, both (2 h + 3, 2 h + 3, h + 2) with h = 2 (n // 2); weight: float64 (),
    of all particles that are in; particles: int64 (), how many they are.
    """

    numerator: torch.Tensor
    denominator: torch.Tensor
    weight: torch.Tensor
    particles: torch.Tensor


def empty_sums(box_px: int, device: torch.device | str = "cpu") -> ReconstructionSums:
    """Sums of no particles."""
    return ReconstructionSums(
        numerator=empty_volume_ft(box_px, PADDING, device=device),
        denominator=empty_volume_ft(box_px, PADDING, device=device, dtype=torch.float32),
        weight=torch.zeros((), dtype=torch.float64, device=device),
        particles=torch.zeros((), dtype=torch.int64, device=device),
    )


def add_sums(*parts: ReconstructionSums) -> ReconstructionSums:
    """The sums of all particles of all parts. Raises ValueError for boxes that differ."""
    if len({p.denominator.shape for p in parts}) != 1:
        raise ValueError(f"sums of different boxes do not add up: {[tuple(p.denominator.shape) for p in parts]}")
    names = [f.name for f in fields(ReconstructionSums)]
    return ReconstructionSums(**{name: reduce(torch.add, [getattr(p, name) for p in parts]) for name in names})


def accumulate(
    particles: PosedParticles,
    index: np.ndarray,
    into: tuple[ReconstructionSums, ReconstructionSums],
    *,
    group: torch.Tensor | None = None,
    threads: int = 1,
) -> tuple[tuple[ReconstructionSums, ReconstructionSums], np.ndarray]:
    """Add particles ``index`` to the sums of the two half-sets; also returns which of them are bad images.

    group: (g, 3, 3) matrices of the point group; :func:`full_circle` completes what it leaves to do. One batch of
    images is in memory at a time, per thread (two at most, one for each half-set, so that their number changes no bit).
    The sums that are given are not changed.
    """
    copies = coset_matrices(group)
    index = index[particles.weight[index] > 0]
    own = [index[particles.half_of[index] == half] for half in (0, 1)]

    def one(half: int) -> tuple[ReconstructionSums, np.ndarray]:
        return _accumulate(particles, own[half], into[half], copies)

    (a, bad_a), (b, bad_b) = ordered_map(one, (0, 1), min(threads, 2))
    return (a, b), np.sort(np.concatenate([bad_a, bad_b]))


def _accumulate(
    particles: PosedParticles, index: np.ndarray, sums: ReconstructionSums, copies: torch.Tensor
) -> tuple[ReconstructionSums, np.ndarray]:
    numerator, denominator = sums.numerator.clone(), sums.denominator.clone()
    device = numerator.device
    points = DiscPoints.of(particles.preparation.box_px, particles.preparation.pixel_size_A, device)
    bad, weight = [], 0.0
    batch = particles.preparation.batch
    for start in range(0, len(index), batch):
        part = index[start : start + batch]
        pixels = np.ascontiguousarray(particles.read(part), dtype=np.float32)
        images, wrong = particles.preparation.clean(torch.from_numpy(pixels).to(device))
        bad.append(part[wrong.cpu().numpy()])
        good = part[~wrong.cpu().numpy()]
        if len(good) == 0:
            continue
        rotations, origins_A = particles.poses(good)
        for j in range(rotations.shape[1]):
            values, power = points.weighted(particles, good, images[~wrong], origins_A[:, j])
            values, power = values / rotations.shape[1], power / rotations.shape[1]
            turns = torch.from_numpy(np.ascontiguousarray(rotations[:, j])).to(torch.float64)
            for copy in copies:
                insert_points(numerator, denominator, values, power, (copy @ turns).float().to(device), points.plane)
        weight += float(particles.weight[good].sum())
    unusable = np.concatenate(bad) if bad else index[:0]
    total = ReconstructionSums(
        numerator=numerator,
        denominator=denominator,
        weight=sums.weight + weight,
        particles=sums.particles + len(index) - len(unusable),
    )
    return total, unusable


@dataclass(frozen=True, kw_only=True)
class DiscPoints:
    """The P points of the half plane within the Nyquist radius."""

    inside: torch.Tensor  # (P,) flat indices into the half plane (n, n // 2 + 1)
    plane: torch.Tensor  # (2, P) x, y in samples of the padded grid
    k_per_A: torch.Tensor  # (2, P)
    shell: torch.Tensor  # (P,) nearest ring
    once: torch.Tensor  # (P,) 1/2 where the half plane has both members of a pair, else 1

    @classmethod
    def of(cls, n: int, pixel_size_A: float, device: torch.device | str) -> "DiscPoints":
        """For a box of n pixels."""
        kx, ky = (k.expand(n, n // 2 + 1).flatten() for k in frequency_xy_rfft2(n, device=device))
        inside = torch.nonzero((kx * n).round() ** 2 + (ky * n).round() ** 2 <= (n // 2) ** 2)[:, 0]
        k = torch.stack([kx[inside], ky[inside]])
        return cls(
            inside=inside,
            plane=(k * n).round() * PADDING,
            k_per_A=k / pixel_size_A,
            shell=shell_index_rfft2(n, device=device).flatten()[inside],
            once=rfft2_multiplicity(n, device=device).flatten()[inside] / 2,
        )

    def weighted(
        self, particles: PosedParticles, index: np.ndarray, images: torch.Tensor, origins_A: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(w C conj(S) X / sigma^2, w C^2 / sigma^2), both (b, P), of images (b, n, n) with origins (b, 2)."""
        device = images.device
        centred = self.centred(images, origins_A)
        weight = torch.from_numpy(particles.weight[index]).float().to(device)[:, None] * self.once
        if particles.noise_power is not None and particles.noise_group is not None:
            group = torch.from_numpy(particles.noise_group[index]).to(device)
            weight = weight / particles.noise_power.to(device).float()[group][:, self.shell]
        if particles.ctf is None and particles.scale is None:
            return centred * weight, weight
        ctf = torch.ones_like(weight) if particles.ctf is None else ctf_at(particles.ctf.take(index), *self.k_per_A)
        if particles.scale is not None:
            ctf = ctf * torch.from_numpy(particles.scale[index]).to(ctf)[:, None]
        return centred * (ctf * weight), ctf.square() * weight

    def centred(self, images: torch.Tensor, origins_A: np.ndarray) -> torch.Tensor:
        """Transforms of images (b, n, n) with their origins (b, 2) moved to the centre, (b, P)."""
        ft = centred_rfft2(images).reshape(len(images), -1)[:, self.inside]
        origin_A = torch.from_numpy(np.ascontiguousarray(origins_A)).float().to(images.device)
        turns = origin_A @ self.k_per_A
        angle = (turns - turns.round()) * (-2 * torch.pi)
        return ft * torch.complex(torch.cos(angle), torch.sin(angle))


def coset_matrices(group: torch.Tensor | None) -> torch.Tensor:
    """One element per coset of the elements of a point group (g, 3, 3) that map the grid to itself; identity first."""
    if group is None:
        return torch.eye(3, dtype=torch.float64)[None]
    permutations = _grid_elements(group)
    chosen: list[torch.Tensor] = []
    for element in group.to(torch.float64):
        same = [(p @ element - c).abs().max() < 1e-6 for p in permutations for c in chosen]
        if not any(same):
            chosen.append(element)
    return torch.stack(chosen)


def _grid_elements(group: torch.Tensor) -> torch.Tensor:
    """Elements whose entries are -1, 0 and 1."""
    whole = (group - group.round()).abs().amax((1, 2)) < 1e-6
    return group[whole].round().to(torch.float64)


def full_circle(sums: ReconstructionSums, group: torch.Tensor | None) -> ReconstructionSums:
    """The sums with all their samples, and with the rest of the point group: mean over all copies of every particle.

    Samples of the plane kx = 0 hold both members of a Friedel pair: what either has received is given to both. To be
    called once, at the end; its result is what the methods solve.
    """
    copies = 1 if group is None else len(group)
    elements = torch.eye(3, dtype=torch.float64)[None] if group is None else _grid_elements(group)
    return ReconstructionSums(
        numerator=_permuted(_friedel(sums.numerator), elements) / copies,
        denominator=_permuted(_friedel(sums.denominator), elements) / copies,
        weight=sums.weight,
        particles=sums.particles,
    )


def _friedel(half: torch.Tensor) -> torch.Tensor:
    out = half.clone()
    plane = half[1:-1, 1:-1, 0]
    out[1:-1, 1:-1, 0] = plane + plane.flip(0, 1).conj()
    return out


def _permuted(half: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
    """Sum over elements S of ``half(S k)``."""
    if len(elements) == 1:
        return half
    h = half.shape[-1] - 2
    right = half[1:-1, 1:-1, :-1]
    whole = torch.cat([right[..., 1:].flip(0, 1, 2).conj(), right], -1)  # [kz, ky, kx], all from -h to h
    total = torch.zeros_like(whole)
    for element in elements.tolist():
        total += _turned(whole, element)
    out = torch.zeros_like(half)
    out[1:-1, 1:-1, :-1] = total[..., h:]
    return out


def _turned(whole: torch.Tensor, element: Sequence[Sequence[float]]) -> torch.Tensor:
    """whole(S k) for a signed permutation S of (x, y, z), array axes being [z, y, x]."""
    # Component a of S k is sign_a k_(source_a): axis a of the array is read along axis source_a of the result.
    source = [[abs(entry) for entry in row].index(1.0) for row in element]
    flips = [2 - a for a in range(3) if element[a][source[a]] < 0]
    flipped = whole.flip(flips) if flips else whole
    order = [0, 0, 0]
    for a in range(3):
        order[2 - source[a]] = 2 - a
    return flipped.permute(order)
