"""The grid of hypotheses: rotations x shifts of the references, at a given number of rings.

The references are shifted in their own frame, then rotated; the image is never touched:

    X(theta) = [ A(theta') exp(+2 pi i k . u) ] at theta' = theta + psi,

so with the pose of :mod:`vitreous.conventions`, ``X(r) = A(R(psi)(r + o))``, the shift in the class frame is
``u = R(psi) o``: a disc of u covers the disc of origins o for every psi, and the Gaussian prior on the origin depends
on |u| only. One expansion of each image then serves all shifts; the shifted references are few.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from vitreous.matching.rings import RingBasis, from_angles, to_angles

__all__ = ["Band", "PoseGrid", "disc_grid"]


BANDS = 3  # per parity; more would save few operations on padding and cost more calls


@dataclass(frozen=True)
class Band:
    """A run of harmonics of one parity, q = first, first + 2, .., that share their innermost ring."""

    first: int
    last: int
    ring: int

    @property
    def q(self) -> slice:
        """The harmonics of the band."""
        return slice(self.first, self.last + 1, 2)


def _bands(basis: RingBasis, parity: int) -> list[Band]:
    harmonics = list(range(parity, basis.harmonics, 2))
    size = -(-len(harmonics) // BANDS)
    chunks = [harmonics[i : i + size] for i in range(0, len(harmonics), size)]
    return [Band(c[0], c[-1], int((basis.q_max < c[0]).sum())) for c in chunks]


def disc_grid(step: float, radius: float) -> torch.Tensor:
    """Square grid points (S, 2) with the given step inside a disc, the centre first, in order of distance."""
    reach = math.floor(radius / step + 1e-6)
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64) * step
    points = torch.cartesian_prod(axis, axis)
    distance = points.square().sum(1)
    keep = distance <= radius**2 + 1e-6
    order = torch.argsort(distance[keep], stable=True)
    return points[keep][order].float()


@dataclass(frozen=True, kw_only=True)
class PoseGrid:
    """n_psi rotations x S shifts at the first ``rings`` rings of a basis.

    shifts_px: (S, 2) x, y in pixels; notes: what a user must know about the grid, such as a step that was widened.
    """

    basis: RingBasis
    n_psi: int
    shifts_px: torch.Tensor
    notes: tuple[str, ...] = ()

    @classmethod
    def for_rings(
        cls,
        basis: RingBasis,
        rings: int,
        offset_range_px: float,
        *,
        most_shifts: int | None = None,
        device: str = "cpu",
    ) -> "PoseGrid":
        """The grid that samples the score critically at a number of rings.

        The score of one reference is a trigonometric polynomial in psi whose degree is the highest harmonic, so
        2 Q - 1 rotations carry it; a shift step of a quarter of the shortest wavelength (not below 3/4 pixel) loses
        less than 5% of the power at the outermost ring. Where there would be more than ``most_shifts``, the step
        widens, and ``notes`` say so.
        """
        cut = basis.truncated(rings)
        wanted = step = max(basis.window_px / (4 * rings), 0.75)
        shifts = all_shifts = disc_grid(step, offset_range_px)
        while most_shifts is not None and len(shifts) > max(1, most_shifts):
            step *= 1.1
            shifts = disc_grid(step, offset_range_px)
        notes = () if step == wanted else (
            f"{len(shifts)} of {len(all_shifts)} shifts are searched: they are {step:.1f} px apart in place of "
            f"{wanted:.1f} px; a smaller offset range is searched finely",
        )  # fmt: skip
        return cls(basis=cut, n_psi=4 * math.ceil(cut.harmonics / 2), shifts_px=shifts.to(device), notes=notes)

    @property
    def rings(self) -> int:
        """Number of rings in use."""
        return self.basis.rings

    @property
    def harmonics(self) -> int:
        """Number of angular harmonics in use, Q."""
        return self.basis.harmonics

    @property
    def psi_step_deg(self) -> float:
        """Angular step in degrees."""
        return 360.0 / self.n_psi

    @cached_property
    def psi(self) -> torch.Tensor:
        """Rotations in radians, (n_psi,)."""
        return torch.arange(self.n_psi, device=self.shifts_px.device) * (2 * math.pi / self.n_psi)

    @cached_property
    def synthesis(self) -> torch.Tensor:
        """(n_psi, 2 Q): [m_q cos(q psi), -m_q sin(q psi)]; times (Re c, Im c) it is sum_q m_q Re c_q e^{iq psi}."""
        angle = self.psi.double()[:, None] * torch.arange(self.harmonics, device=self.psi.device)
        m = self.basis.multiplicity.to(angle.device)
        return torch.cat([m * torch.cos(angle), -m * torch.sin(angle)], 1).float()

    @cached_property
    def half_synthesis(self) -> tuple[torch.Tensor, torch.Tensor]:
        """For even and odd harmonics (n_psi / 2, q 2): the first half of the rotations from (Re c, Im c) of each."""
        even, odd = (torch.arange(parity, self.harmonics, 2, device=self.psi.device) for parity in (0, 1))
        columns = [torch.stack([q, self.harmonics + q], 1).ravel() for q in (even, odd)]
        first = self.synthesis[: self.n_psi // 2]
        return first[:, columns[0]].contiguous(), first[:, columns[1]].contiguous()

    @cached_property
    def bands(self) -> tuple[list[Band], list[Band]]:
        """The even and the odd harmonics, split into a few bands; in each the empty inner rings are left out."""
        return _bands(self.basis, 0), _bands(self.basis, 1)

    @cached_property
    def analysis(self) -> torch.Tensor:
        """(n_psi, 2 Q): [cos(q psi), -sin(q psi)]; weights (m, n_psi) times it are sum_psi gamma e^{-iq psi}."""
        angle = self.psi.double()[:, None] * torch.arange(self.harmonics, device=self.psi.device)
        return torch.cat([torch.cos(angle), -torch.sin(angle)], 1).float()

    @cached_property
    def shift_phases(self) -> torch.Tensor:
        """exp(2 pi i k . u) on (S, rings, n_psi) points, complex64."""
        device = self.shifts_px.device
        k = torch.from_numpy(self.basis.k_per_px).to(device)
        along = self.shifts_px[:, :1] * torch.cos(self.psi) + self.shifts_px[:, 1:] * torch.sin(self.psi)
        turns = along.double()[:, None, :] * k[None, :, None]
        return torch.exp(2j * math.pi * turns).to(torch.complex64)

    def shift_references(self, harmonics: torch.Tensor) -> torch.Tensor:
        """References (K, rings, Q) -> all their shifted copies (K, S, rings, Q)."""
        on_angles = to_angles(harmonics, self.n_psi)
        shifted = from_angles(on_angles[:, None] * self.shift_phases[None], self.harmonics)
        return shifted * self.basis.used.to(shifted.device)

    def shift(self, harmonics: torch.Tensor, shift_index: torch.Tensor) -> torch.Tensor:
        """Shift each of (m, rings, Q) by its own of the grid's shifts ``shift_index`` (m,)."""
        on_angles = to_angles(harmonics, self.n_psi) * self.shift_phases[shift_index]
        return from_angles(on_angles, self.harmonics) * self.basis.used.to(harmonics.device)

    def unshift(self, harmonics: torch.Tensor, shift_index: torch.Tensor) -> torch.Tensor:
        """Shift (m, rings, Q) back by the grid's shifts ``shift_index`` (m,)."""
        on_angles = to_angles(harmonics, self.n_psi) * self.shift_phases[shift_index].conj()
        return from_angles(on_angles, self.harmonics) * self.basis.used.to(harmonics.device)

    def origins_px(self, psi: torch.Tensor, shift_index: torch.Tensor) -> torch.Tensor:
        """Origins o = R(-psi) u of hypotheses, (m, 2) x, y in pixels; psi in radians (m,)."""
        u = self.shifts_px[shift_index]
        c, s = torch.cos(psi), torch.sin(psi)
        return torch.stack([c * u[:, 0] + s * u[:, 1], -s * u[:, 0] + c * u[:, 1]], 1)
