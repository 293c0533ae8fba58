"""Continuous in-plane angle and shift of a chosen hypothesis, by Newton's method on the score.

With the image turned back by psi, ``y(psi) = sum_q x_q e^{-iq psi}``, and the reference shifted by u,

    f(psi, u) = sum_r w(r) mean_theta Re[ conj(y) A e^{2 pi i k.u} ]  -  |u|^2 / (2 s^2)

is smooth; its first and second derivatives cost a few products on (ring, angle) points. The norm does not depend on
psi for a round CTF; its weak dependence for an astigmatic one is left out here.
"""

import math
from dataclasses import replace

import numpy as np
import torch

from vitreous.matching.expect import Outcome
from vitreous.matching.grid import PoseGrid
from vitreous.matching.prepare import PreparedParticles
from vitreous.matching.references import References
from vitreous.matching.rings import to_angles
from vitreous.matching.score import ImageTile

__all__ = ["refine_poses", "refined"]

TILE = 512  # particles refined at a time


def refined(
    data: PreparedParticles,
    index: np.ndarray,
    outcome: Outcome,
    references: References,
    noise_power: torch.Tensor,
    *,
    offset_sd_px: float,
) -> Outcome:
    """Outcomes of particles ``index`` (m,) with the rotation and the shift of their best hypothesis made continuous."""
    grid, parts = references.grid, []
    for start in range(0, len(index), TILE):
        piece = slice(start, start + TILE)
        label = torch.from_numpy(outcome.reference[piece]).to(data.device)
        psi, shift = refine_poses(
            data.tile(index[piece], grid.rings, noise_power),
            references.harmonics[label],
            grid,
            torch.from_numpy(outcome.psi_rad[piece]).to(data.device),
            torch.from_numpy(outcome.shift_px[piece]).to(data.device),
            offset_sd_px=offset_sd_px,
        )
        parts.append((psi.cpu().numpy(), shift.cpu().numpy()))
    if not parts:
        return outcome
    psi_rad, shift_px = (np.concatenate(values) for values in zip(*parts, strict=True))
    return replace(outcome, psi_rad=psi_rad, shift_px=shift_px)


def refine_poses(
    tile: ImageTile,
    references: torch.Tensor,
    grid: PoseGrid,
    psi: torch.Tensor,
    shift_px: torch.Tensor,
    *,
    offset_sd_px: float,
    steps: int = 4,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Refine one hypothesis per image: references (n, R, Q) unweighted, psi (n,) rad, shift_px (n, 2) class frame.

    No step leaves the grid cell that it started in by more than one cell. Returns (psi, shift_px).
    """
    data = tile.truncated(grid).data
    weight = grid.basis.ring_weight.to(data.device)[:, None] / grid.n_psi
    on_angles = to_angles(references, grid.n_psi)
    k = torch.from_numpy(grid.basis.k_per_px).float().to(data.device)[:, None]
    wave = 2 * math.pi * torch.stack([k * torch.cos(grid.psi), k * torch.sin(grid.psi)])
    cell = torch.tensor([2 * math.pi / grid.n_psi, *[_shift_step(grid)] * 2], device=data.device)
    start = torch.cat([psi[:, None], shift_px], 1)
    pose = start.clone()
    for _ in range(steps):
        gradient, hessian = _derivatives(data, on_angles, wave, weight, pose, offset_sd_px)
        curvature, axes = torch.linalg.eigh(hessian * cell[:, None] * cell)
        along = (axes.mT @ (gradient * cell)[:, :, None])[:, :, 0]
        # Newton uphill: directions of positive curvature are climbed as if they were concave.
        step = (axes @ (along / curvature.abs().clamp_min(1e-6))[:, :, None])[:, :, 0].clamp(-0.5, 0.5)
        pose = start + ((pose - start) / cell + step).clamp(-1, 1) * cell
    return torch.remainder(pose[:, 0], 2 * math.pi), pose[:, 1:]


def _shift_step(grid: PoseGrid) -> float:
    shifts = grid.shifts_px
    return float(shifts[1].norm()) if len(shifts) > 1 else 0.25


def _derivatives(
    data: torch.Tensor,
    on_angles: torch.Tensor,
    wave: torch.Tensor,
    weight: torch.Tensor,
    pose: torch.Tensor,
    offset_sd_px: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient (n, 3) and Hessian (n, 3, 3) of f with respect to (psi, u_x, u_y)."""
    q = torch.arange(data.shape[2], device=data.device)
    turned = data * torch.exp(-1j * pose[:, :1] * q)[:, None, :].to(data.dtype)
    y, y1, y2 = (to_angles(turned * (-1j * q) ** order, wave.shape[2]).conj() * weight for order in (0, 1, 2))
    phase = pose[:, 1, None, None] * wave[0] + pose[:, 2, None, None] * wave[1]
    shifted = on_angles * torch.polar(torch.ones_like(phase), phase)
    products = [p * shifted for p in (y, y1, y2)]

    def total(values: torch.Tensor) -> torch.Tensor:
        return values.sum((1, 2))

    prior = 1 / offset_sd_px**2
    value, slope, bend = products
    gradient = torch.stack(
        [
            total(slope.real),
            total(-value.imag * wave[0]) - prior * pose[:, 1],
            total(-value.imag * wave[1]) - prior * pose[:, 2],
        ],
        1,
    )
    xx, xy, yy = (total(-value.real * wave[a] * wave[b]) for a, b in ((0, 0), (0, 1), (1, 1)))
    px, py = (total(-slope.imag * wave[a]) for a in (0, 1))
    rows = [total(bend.real), px, py, px, xx - prior, xy, py, xy, yy - prior]
    return gradient, torch.stack(rows, 1).reshape(-1, 3, 3)
