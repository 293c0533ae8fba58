"""Sums of particles at known alignments: the M-step alone."""

import numpy as np
import torch

from vitreous.matching.accumulate import Accumulator, DenseSums, Sums, TileSums
from vitreous.matching.alignments import Alignments
from vitreous.matching.prepare import PreparedParticles
from vitreous.matching.rings import RingBasis, from_angles, to_angles
from vitreous.matching.score import ImageTile

__all__ = ["accumulate_at", "accumulate_into", "reflected_rings", "rows_at"]

TILE = 512  # particles at a time
SHIFT_BYTES = 64 << 20  # of images on angles while they are shifted


def accumulate_at(
    particles: PreparedParticles,
    alignments: Alignments,
    n_references: int,
    noise_power: torch.Tensor,
    *,
    rings: int | None = None,
) -> Sums:
    """Statistics of particles at their alignments, at the first ``rings`` rings (None: all).

    Particles are those that ``alignments.particle`` names; reference, rotation, origin and reflection are taken as
    they are. Raises ValueError for a reference that is not there.
    """
    basis = particles.basis if rings is None else particles.basis.truncated(rings)
    sums = DenseSums(n_references, basis.rings, basis.harmonics, particles.device)
    wrong = np.flatnonzero((alignments.reference < 0) | (alignments.reference >= n_references))
    if len(wrong):
        raise ValueError(
            f"alignments: expected references from 0 to {n_references - 1}, found {alignments.reference[wrong[0]]} "
            f"for particle {alignments.particle[wrong[0]]}; take only particles that have one"
        )
    accumulate_into(sums, particles, alignments, noise_power, rings=basis.rings)
    return sums.sums


def accumulate_into(
    sums: Accumulator,
    particles: PreparedParticles,
    alignments: Alignments,
    noise_power: torch.Tensor,
    *,
    rings: int,
) -> None:
    """As :func:`accumulate_at`, added to ``sums``: one row for every particle."""
    basis = particles.basis.truncated(rings)
    for start in range(0, len(alignments), TILE):
        sums.add(rows_at(particles, alignments.take(slice(start, start + TILE)), noise_power, basis)[1])


def rows_at(
    particles: PreparedParticles, alignments: Alignments, noise_power: torch.Tensor, basis: RingBasis
) -> tuple[ImageTile, TileSums]:
    """The images of a few alignments as they are, and what each gives to its reference: a row of sums for each."""
    device = particles.device
    images = particles.tile(alignments.particle, basis.rings, noise_power)
    angle = torch.from_numpy(np.asarray(alignments.psi_rad, np.float64)).to(device)[:, None]
    angle = angle * torch.arange(basis.harmonics, device=device)
    turn = torch.polar(torch.ones_like(angle), -angle).to(torch.complex64)
    shift_px = alignments.shift_A / particles.pixel_size_A
    data = images.data * turn[:, None, :]
    if shift_px.any():
        data = _shifted_back(data, torch.from_numpy(shift_px).float().to(device), basis)
    if alignments.mirror.any():
        data = torch.where(torch.from_numpy(alignments.mirror).to(device)[:, None, None], reflected_rings(data), data)
    ones = torch.ones(len(data), device=device)
    sums = Sums(
        signal=data,
        power=images.ctf_power[:, :, 0].real.contiguous(),
        members=ones,
        square_members=ones,
        offset_square_px2=torch.from_numpy((shift_px**2).sum(1)).float().to(device),
    )
    return images, TileSums(reference=torch.from_numpy(np.asarray(alignments.reference)).to(device), sums=sums)


def _shifted_back(data: torch.Tensor, shift_px: torch.Tensor, basis: RingBasis) -> torch.Tensor:
    """Ring harmonics (n, R, Q) times exp(-2 pi i k . u): u (n, 2) in pixels."""
    n_angles = 4 * -(-basis.harmonics // 2)
    angle = torch.arange(n_angles, device=data.device) * (2 * np.pi / n_angles)
    k = torch.from_numpy(basis.k_per_px).to(data.device)
    used = basis.used.to(data.device)
    out = torch.empty_like(data)
    at_once = max(1, SHIFT_BYTES // (16 * basis.rings * n_angles))
    for i in range(0, len(data), at_once):
        u = shift_px[i : i + at_once]
        along = u[:, :1] * torch.cos(angle) + u[:, 1:] * torch.sin(angle)
        turns = along.double()[:, None, :] * k[None, :, None]
        phase = torch.exp(-2j * np.pi * turns).to(torch.complex64)
        out[i : i + at_once] = from_angles(to_angles(data[i : i + at_once], n_angles) * phase, data.shape[2]) * used
    return out


def reflected_rings(data: torch.Tensor) -> torch.Tensor:
    """Ring harmonics (n, R, Q) of the mirror images, x -> -x: theta -> pi - theta takes g_q to (-1)^q conj(g_q)."""
    sign = 1 - 2 * (torch.arange(data.shape[2], device=data.device) % 2)
    return data.conj() * sign
