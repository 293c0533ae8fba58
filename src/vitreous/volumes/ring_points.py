"""Rings as points of the plane: where slices of a volume and images meet.

A ring of :class:`vitreous.matching.RingBasis` is a trigonometric polynomial of degree ``q_max(r)``, so its values at
``N_r = q_max(r) + 1`` angles of half a circle carry all of it (the other half are complex conjugates):

    theta_j = pi j / N_r,   X(r, theta_j) = sum_{q even} m_q Re(g_q e^{i q theta_j}) + i sum_{q odd} m_q Re(g_q ...)

Both ways are small real matrix products per ring, without interpolation. Sums over all Fourier coefficients of the full
plane are ``2 sum_p weight_p f_p``, with ``weight_p = ring_weight(r) / (2 N_r)``; the log likelihood of an image is
``- sum_p weight_p |X_p - C_p A_p|^2 / sigma^2(r)``.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from vitreous.matching import RingBasis

__all__ = ["PADDING", "RingPoints"]

PADDING = 2  # of the Fourier grid of volumes: trilinear interpolation needs it


@dataclass(frozen=True, kw_only=True)
class RingPoints:
    """The P points of the rings of a basis, ring after ring."""

    basis: RingBasis

    @property
    def rings(self) -> int:
        """Number of rings R."""
        return self.basis.rings

    @property
    def side(self) -> int:
        """Voxels n along a map that holds these rings: its field is the window of the rings."""
        return 2 * (self.rings + 1)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Points of every ring, N_r."""
        return tuple(int(q) + 1 for q in self.basis.q_max)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Places of the points of every ring."""
        stops = torch.tensor(self.counts).cumsum(0).tolist()
        return tuple(slice(stop - count, stop) for stop, count in zip(stops, self.counts, strict=True))

    @cached_property
    def ring(self) -> torch.Tensor:
        """(P,) the ring of every point, from 0."""
        return torch.arange(self.rings).repeat_interleave(torch.tensor(self.counts))

    @cached_property
    def angle(self) -> torch.Tensor:
        """(P,) theta in radians, float64."""
        return torch.cat([math.pi * torch.arange(n, dtype=torch.float64) / n for n in self.counts])

    @cached_property
    def plane(self) -> torch.Tensor:
        """(2, P) x, y of the points in samples of a prepared volume of ``side`` voxels, padded by ``PADDING``."""
        radius = PADDING * (self.ring + 1.0)
        return torch.stack([radius * torch.cos(self.angle), radius * torch.sin(self.angle)]).float()

    @cached_property
    def weight(self) -> torch.Tensor:
        """(P,) half of the independent Fourier coefficients of a masked image that a point stands for."""
        return (self.basis.ring_weight / (2 * torch.tensor(self.counts)))[self.ring]

    @cached_property
    def _to_points(self) -> tuple[torch.Tensor, ...]:
        """Per ring (2 Q_r, 2 N_r): (Re g, Im g) -> (Re X, Im X) at the points."""
        return tuple(self._synthesis(r).float() for r in range(self.rings))

    @cached_property
    def _to_harmonics(self) -> tuple[torch.Tensor, ...]:
        """Per ring (2 N_r, 2 Q_r): the inverse."""
        return tuple(self._analysis(r).float() for r in range(self.rings))

    def _turns(self, ring: int) -> tuple[torch.Tensor, torch.Tensor]:
        """q theta (Q_r, N_r), and whether q is odd (Q_r, 1)."""
        q = torch.arange(int(self.basis.q_max[ring]) + 1, dtype=torch.float64)
        return q[:, None] * self.angle[self.slices[ring]], (q % 2 == 1)[:, None]

    def _synthesis(self, ring: int) -> torch.Tensor:
        turns, odd = self._turns(ring)
        m = self.basis.multiplicity[: len(turns), None].double()
        both = torch.cat([m * torch.cos(turns), -m * torch.sin(turns)])
        odd = torch.cat([odd, odd])
        return torch.cat([both * ~odd, both * odd], 1)

    def _analysis(self, ring: int) -> torch.Tensor:
        turns, odd = self._turns(ring)
        both = torch.cat([torch.cos(turns), -torch.sin(turns)]).T / turns.shape[1]
        odd = torch.cat([odd, odd]).T
        return torch.cat([both * ~odd, both * odd])

    def to_points(self, harmonics: torch.Tensor) -> torch.Tensor:
        """Ring harmonics (..., R', Q) with R' >= R -> values X (..., P), complex."""
        parts = []
        for ring, matrix in enumerate(self._to_points):
            g = harmonics[..., ring, : matrix.shape[0] // 2]
            parts.append(torch.cat([g.real, g.imag], -1) @ matrix.to(harmonics.device))
        halves = [torch.cat([p[..., : p.shape[-1] // 2] for p in parts], -1)]
        halves.append(torch.cat([p[..., p.shape[-1] // 2 :] for p in parts], -1))
        return torch.complex(*halves)

    def to_harmonics(self, values: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`to_points`: complex (..., P) -> (..., R, Q), zero where a ring has no such harmonic."""
        shape = (*values.shape[:-1], self.rings, self.basis.harmonics)
        out = torch.zeros(shape, dtype=torch.complex64, device=values.device)
        for ring, (place, matrix) in enumerate(zip(self.slices, self._to_harmonics, strict=True)):
            x = values[..., place]
            g = torch.cat([x.real, x.imag], -1) @ matrix.to(values.device)
            half = g.shape[-1] // 2
            out[..., ring, :half] = torch.complex(g[..., :half].contiguous(), g[..., half:].contiguous())
        return out
