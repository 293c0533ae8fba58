"""Defocus groups: particles whose CTFs are the same, or as good as the same, share their matrices."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.fourier import FourierBessel, centred_irfft2, centred_rfft2, radial_blocks
from vitreous.optics import CTFParameters, ctf_2d, ctf_at, electron_wavelength_A

__all__ = ["DefocusGroups", "defocus_groups", "information_blocks"]

_ANGLES = 32  # directions over half a turn that C^2 is averaged over


@dataclass(frozen=True, kw_only=True)
class DefocusGroups:
    """index: (n,) group of every particle; ctf: one row per group; phase_error_rad: largest error of chi it causes."""

    index: np.ndarray
    ctf: CTFParameters
    phase_error_rad: float

    def __len__(self) -> int:
        return len(self.ctf)


def defocus_groups(
    ctf: CTFParameters,
    pixel_size_A: float,
    cutoff_per_px: float,
    *,
    phase_error_rad: float = 0.3,
    most: int = 200,
) -> DefocusGroups:
    """Bin n particles by their mean defocus (u + v) / 2, separately where any other optics differ.

    Bins are as wide as keeps the phase error ``pi lambda |dz| k^2`` at ``cutoff_per_px`` below ``phase_error_rad``;
    wider where there would be more than ``most`` groups. The error that results is reported. Defoci that are no more
    than ``most`` distinct values stay exactly what they are. A group has the defocus halfway between its extremes and
    the mean astigmatism |u - v| of its members; the direction of the astigmatism is without meaning for a group.
    Where every micrograph has a phase shift or a B factor of its own, these are binned too: phase shifts to within
    half of ``phase_error_rad``, which counts into the error, B factors to within a tenth of the envelope.

    Raises ValueError where voltage, Cs, amplitude contrast and what remains of these alone make more than ``most``
    groups, and for no particles.
    """
    if len(ctf) == 0:
        raise ValueError("defocus groups of no particles were asked for")
    mean = 0.5 * (ctf.defocus_u_A + ctf.defocus_v_A)
    phase_deg, b_factor = ctf.phase_shift_deg, ctf.b_factor_A2
    kinds, kind = _kinds(ctf, phase_deg, b_factor)
    if 2 * len(kinds) > most:  # or nothing would be left for the defocus
        phase_deg = _rounded(phase_deg, np.rad2deg(phase_error_rad))
        b_factor = _rounded(b_factor, 0.8 * (pixel_size_A / cutoff_per_px) ** 2)
        kinds, kind = _kinds(ctf, phase_deg, b_factor)
    if len(kinds) > most:
        raise ValueError(
            f"{len(kinds)} combinations of voltage, Cs, amplitude contrast, phase shift and B factor are more than "
            f"{most} groups: round the phase shifts or B factors, or allow more groups"
        )
    rad_per_A = np.pi * electron_wavelength_A(ctf.voltage_kV) * (cutoff_per_px / pixel_size_A) ** 2
    index = np.unique(np.stack([kind, mean], 1), axis=0, return_inverse=True)[1].ravel()
    width = 2.0 * phase_error_rad / rad_per_A.max()
    while index.max() >= most:
        low = np.array([mean[kind == k].min() for k in range(len(kinds))])
        bins = np.floor((mean - low[kind]) / width)
        index = np.unique(np.stack([kind, bins], 1), axis=0, return_inverse=True)[1].ravel()
        width *= 1.1
    count = np.bincount(index)
    lowest, highest = np.full(len(count), np.inf), np.full(len(count), -np.inf)
    np.minimum.at(lowest, index, mean)
    np.maximum.at(highest, index, mean)
    group_mean = 0.5 * (lowest + highest)
    half = 0.5 * np.bincount(index, np.abs(ctf.defocus_u_A - ctf.defocus_v_A)) / count
    first = ctf.take(np.unique(index, return_index=True)[1])
    centres = replace(
        first,
        defocus_u_A=group_mean + half,
        defocus_v_A=group_mean - half,
        defocus_angle_deg=np.zeros(len(first)),
        phase_shift_deg=np.bincount(index, ctf.phase_shift_deg) / count,
        b_factor_A2=np.bincount(index, ctf.b_factor_A2) / count,
    )
    of_phase = np.deg2rad(np.abs(ctf.phase_shift_deg - centres.phase_shift_deg[index]))
    error = float((rad_per_A * np.abs(mean - group_mean[index]) + of_phase).max())
    return DefocusGroups(index=index, ctf=centres, phase_error_rad=error)


def _kinds(ctf: CTFParameters, phase_deg: np.ndarray, b_factor_A2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The combinations of all but the defocus, and which one every particle has (n,)."""
    others = np.stack([ctf.voltage_kV, ctf.cs_mm, ctf.amplitude_contrast, phase_deg, b_factor_A2, ctf.phase_flipped], 1)
    kinds, kind = np.unique(others, axis=0, return_inverse=True)
    return kinds, kind.ravel()


def _rounded(values: np.ndarray, width: float) -> np.ndarray:
    """Values in bins of a width that begin at the smallest one; the centres of the bins."""
    low = values.min()
    centres: np.ndarray = low + (np.floor((values - low) / width) + 0.5) * width
    return centres


def information_blocks(
    basis: FourierBessel,
    ctf: CTFParameters | None,
    pixel_size_A: float,
    noise_power: torch.Tensor | float,
    plane: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """K of the package docstring for every group: per order q float64 (G, k_q, k_q). ctf None: no CTF, G = 1.

    noise_power: a variance (white), or the power on the rings of the box (L // 2 + 1,); plane: as for
    :func:`matched_coefficients`.

    K is made from the mean of C^2 over directions, which is its exact isotropic part; what astigmatism adds (orders
    q and q + 2 of one image become coupled in z) is left out. At frequency k that part of C^2 has the amplitude
    J_1(d), d = ``pi lambda |u - v| k^2`` the phase difference between the two axes, beside an isotropic part of about
    one half: negligible for d << 1, as large as the isotropic part for d = 1.
    """
    nodes = basis.radial_nodes
    if ctf is None:
        power = torch.ones(1, len(nodes), dtype=torch.float64)
    else:
        angle = torch.arange(_ANGLES, dtype=torch.float64) * (torch.pi / _ANGLES)
        k = nodes[:, None] / pixel_size_A
        power = ctf_at(ctf, k * torch.cos(angle), k * torch.sin(angle)).square().mean(2)
    noise = torch.as_tensor(noise_power, dtype=torch.float64)
    if noise.ndim:
        rings = np.arange(len(noise)) / basis.box_px
        noise = torch.from_numpy(np.interp(nodes.numpy(), rings, noise.cpu().numpy()))
    blocks = radial_blocks(basis, power / noise)
    return blocks if plane is None else _without(blocks, basis, ctf, pixel_size_A, plane)


def _without(
    blocks: list[torch.Tensor],
    basis: FourierBessel,
    ctf: CTFParameters | None,
    pixel_size_A: float,
    plane: torch.Tensor,
) -> list[torch.Tensor]:
    """Blocks less what an unknown plane takes, ``E^T C d_j (E^T C d_j)^T``."""
    box = plane.shape[-1]
    filters = torch.ones(1, box, box // 2 + 1) if ctf is None else ctf_2d(ctf, box, pixel_size_A)
    lost = [basis.project(centred_irfft2(centred_rfft2(d.double()) * filters, box)) for d in plane]
    for v in lost:
        blocks = [k - (v[:, b, None] * v[:, None, b].conj()).real for k, b in zip(blocks, basis.blocks, strict=True)]
    return blocks
