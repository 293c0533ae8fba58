"""Scores of steerable coefficients at all in-plane rotations and in both mirror states.

With coefficients b of an image (already weighted by CTF and noise) and a of a reference, orders q >= 0 and
multiplicity m_q (1 for q = 0, else 2), the image is the reference turned by psi, or its mirror image turned by psi:

    score(psi, plain)    = sum_q m_q Re( C_q exp(i q psi) ),     C_q = sum_k conj(b_qk) a_qk
    score(psi, mirrored) = the same with conj(a) for a

With b = b' + i b'' and a = a' + i a'', four real products carry both mirror states at once:

    plain, mirrored = E(psi) +- F(psi)
    E = sum_q m_q [ (b'.a') cos q psi + (b''.a') sin q psi ]
    F = sum_q m_q [ (b''.a'') cos q psi - (b'.a'') sin q psi ]

and psi, psi + 180 degrees share their even and odd orders. So the mirror state costs nothing, and half of the
rotations come free. All of it is real matrix products: per order (images x k) (k x references), then one product
with a fixed matrix of cosines and sines.

Source: SCIENCE.md sections 6 and 12.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch

__all__ = ["MIRROR_STATES", "RotationGrid", "fourier_weights", "pair_scores", "rotation_scores"]

MIRROR_STATES = 2  # plain, mirrored


@dataclass(frozen=True)
class RotationGrid:
    """Equidistant rotations for coefficients of given orders.

    orders: order q of every coefficient, ascending (M,); angles: number of rotations, even and at least two.
    """

    orders: tuple[int, ...]
    angles: int

    def __post_init__(self) -> None:
        if self.angles < 2 or self.angles % 2:
            raise ValueError(f"angles: expected an even number of at least 2, found {self.angles}")
        if any(a > b for a, b in pairwise(self.orders)):
            raise ValueError("orders: expected to ascend")

    @classmethod
    def for_orders(cls, orders: torch.Tensor | Sequence[int], angles: int | None = None) -> "RotationGrid":
        """By default two rotations and a bit per period of the highest order, a multiple of 8."""
        chosen = tuple(int(q) for q in orders)
        return cls(chosen, 8 * math.ceil((2 * max(chosen, default=0) + 2) / 8) if angles is None else angles)

    @cached_property
    def psi_rad(self) -> torch.Tensor:
        """The rotations, (T,) in radians."""
        return torch.arange(self.angles) * (2 * math.pi / self.angles)

    @cached_property
    def blocks(self) -> tuple[tuple[int, slice], ...]:
        """(order, where its coefficients are) for every order that there is."""
        starts = [i for i, q in enumerate(self.orders) if i == 0 or q != self.orders[i - 1]]
        ends = [*starts[1:], len(self.orders)]
        return tuple((self.orders[a], slice(a, b)) for a, b in zip(starts, ends, strict=True))

    @cached_property
    def _waves(self) -> tuple[tuple[list[slice], torch.Tensor], ...]:
        """For even and odd orders: blocks, and (2 orders, T / 2) multiplicity times cosines, then sines."""
        parts = []
        for parity in (0, 1):
            mine = [(q, where) for q, where in self.blocks if q % 2 == parity]
            q = torch.tensor([float(q) for q, _ in mine])[:, None]
            phase = q * self.psi_rad[: self.angles // 2]
            weight = torch.where(q == 0, 1.0, 2.0)
            parts.append(([where for _, where in mine], torch.cat([weight * phase.cos(), weight * phase.sin()])))
        return tuple(parts)


def rotation_scores(images: torch.Tensor, references: torch.Tensor, grid: RotationGrid) -> torch.Tensor:
    """Scores of every image with every reference: complex (n, M), (K, M) -> real (n, K, 2, T).

    The last axes are the mirror state (plain, mirrored) and the rotation of ``grid.psi_rad``. Memory: 16 n K T bytes
    in single precision while it works; callers tile their images.
    """
    n, k, half = len(images), len(references), grid.angles // 2
    real = images.real.dtype
    b = torch.cat([images.real, images.imag])
    a = torch.cat([references.real, references.imag])
    sums = []
    for blocks, waves in grid._waves:
        products = torch.empty(len(blocks), 2 * n, 2 * k, dtype=real, device=images.device)
        for out, where in zip(products, blocks, strict=True):
            torch.mm(b[:, where], a[:, where].T, out=out)
        upper = torch.cat([products[:, :n, :k], products[:, n:, :k]]).reshape(-1, n * k)
        lower = torch.cat([products[:, n:, k:], -products[:, :n, k:]]).reshape(-1, n * k)
        turned = waves.to(images.device, real)
        sums.append((upper.T @ turned, lower.T @ turned))
    return _combine(sums, half).reshape(n, k, MIRROR_STATES, grid.angles)


def pair_scores(images: torch.Tensor, references: torch.Tensor, grid: RotationGrid) -> torch.Tensor:
    """Scores of image p with reference p: complex (P, M), (P, M) -> real (P, 2, T), as :func:`rotation_scores`."""
    real = images.real.dtype
    straight, crossed = images.real * references.real, images.imag * references.real
    mirror_straight, mirror_crossed = images.imag * references.imag, -images.real * references.imag
    sums = []
    for blocks, waves in grid._waves:
        turned = waves.to(images.device, real)

        def along_orders(x: torch.Tensor, blocks: list[slice] = blocks) -> torch.Tensor:
            return torch.stack([x[:, where].sum(1) for where in blocks], 1) if blocks else x[:, :0]

        upper = torch.cat([along_orders(straight), along_orders(crossed)], 1)
        lower = torch.cat([along_orders(mirror_straight), along_orders(mirror_crossed)], 1)
        sums.append((upper @ turned, lower @ turned))
    return _combine(sums, grid.angles // 2)


def fourier_weights(weights: torch.Tensor, grid: RotationGrid) -> torch.Tensor:
    """``sum_psi weight(psi) exp(-i q psi)`` at every coefficient: (..., T) -> complex (..., M).

    The product with an image's coefficients is the image turned back, averaged under the weights.
    """
    transform = torch.fft.fft(weights, dim=-1)
    orders = torch.tensor(grid.orders, device=weights.device) % grid.angles
    return transform[..., orders]


def _combine(sums: list[tuple[torch.Tensor, torch.Tensor]], half: int) -> torch.Tensor:
    """Even and odd sums (P, T / 2) of E and F -> (P, 2, T): E +- F, at psi even + odd, at psi + 180 even - odd."""
    (even_e, even_f), (odd_e, odd_f) = sums
    out = torch.empty(len(even_e), MIRROR_STATES, 2 * half, dtype=even_e.dtype, device=even_e.device)
    near_e, near_f, far_e, far_f = even_e + odd_e, even_f + odd_f, even_e - odd_e, even_f - odd_f
    torch.add(near_e, near_f, out=out[:, 0, :half])
    torch.add(far_e, far_f, out=out[:, 0, half:])
    torch.sub(near_e, near_f, out=out[:, 1, :half])
    torch.sub(far_e, far_f, out=out[:, 1, half:])
    return out
