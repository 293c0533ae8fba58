"""Poses and maps against the truth that they were simulated with.

The frame of a structure that was found from particles alone is arbitrary, and so is its hand. One rotation M and one
shift d take the true poses (G, o) to those that were found: ``G' = M G`` and ``o' = o + (G'^T d)_xy``, for the truth or
its mirror image; thousands of poses say both far more exactly than maps do. The true map, which is free of noise and
interpolated well (Fourier zero-padding by 2, cubic splines), is then brought into the frame of the map that was found.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import map_coordinates, spline_filter

from vitreous.particles import Volume
from vitreous.quality import resolution_at, shell_correlation, soft_ball
from vitreous.rotations import compare_poses
from vitreous.structures import Poses

__all__ = ["Frame", "frame_of", "fsc_figures", "pose_figures", "rotation_errors"]

FLIP = np.diag([1.0, 1.0, -1.0])
SAMPLE = 400  # poses that propose the rotation
NEAR_DEG = 10.0
UPSAMPLED = 2
BALL_PX, EDGE_PX = 28.0, 4.0  # the mask of metrics.py


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """mirrored: of the truth; rotation: (3, 3) M; shift_A: (3,) d."""

    mirrored: bool
    rotation: np.ndarray
    shift_A: np.ndarray


def frame_of(found: Poses, truth: Poses) -> Frame:
    """The frame of what was found; least squares over the poses within 10 degrees of it."""
    some = np.linspace(0, len(found.rotation) - 1, min(SAMPLE, len(found.rotation))).astype(int)
    same = compare_poses(truth.rotation[some], found.rotation[some], group=np.eye(3)[None], within_deg=NEAR_DEG)
    frame = Frame(mirrored=same.other_hand, rotation=same.rotation, shift_A=np.zeros(3))
    for _ in range(3):
        near = np.rad2deg(np.linalg.norm(rotation_errors(found, truth, frame), axis=1)) < NEAR_DEG
        true = _true_rotations(truth, frame)
        u, _, vt = np.linalg.svd((found.rotation[near] @ true[near].swapaxes(1, 2)).sum(0))
        rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
        axes = found.rotation[near].swapaxes(1, 2)[:, :2]
        shift = np.linalg.lstsq(axes.reshape(-1, 3), (found.origin_A - truth.origin_A)[near].ravel(), rcond=None)[0]
        frame = Frame(mirrored=frame.mirrored, rotation=rotation, shift_A=shift)
    return frame


def _true_rotations(truth: Poses, frame: Frame) -> np.ndarray:
    return np.asarray(FLIP @ truth.rotation @ FLIP if frame.mirrored else truth.rotation)


def rotation_errors(found: Poses, truth: Poses, frame: Frame) -> np.ndarray:
    """(n, 3) rotation vectors in radians, about the axes of the image."""
    turn = (frame.rotation @ _true_rotations(truth, frame)).swapaxes(1, 2) @ found.rotation
    axis = np.stack([turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], 1)
    sine, cosine = np.linalg.norm(axis, axis=1) / 2, (np.trace(turn, axis1=1, axis2=2) - 1) / 2
    return np.asarray(axis * (np.arctan2(sine, cosine) / np.maximum(2 * sine, 1e-12))[:, None])


def pose_figures(found: Poses, truth: Poses, frame: Frame) -> dict[str, float]:
    """Median error, share within 10 degrees, and the median error of origins of these."""
    angle = np.rad2deg(np.linalg.norm(rotation_errors(found, truth, frame), axis=1))
    near = angle < NEAR_DEG
    axes = found.rotation[near].swapaxes(1, 2)[:, :2]
    origin = (found.origin_A - truth.origin_A)[near] - axes @ frame.shift_A
    return {
        "median_deg": round(float(np.median(angle)), 3),
        "within_10_deg": round(float(near.mean()), 4),
        "origin_A": round(float(np.median(np.linalg.norm(origin, axis=1))), 2) if near.any() else float("nan"),
    }


def fsc_figures(found: Volume, true: Volume, frame: Frame, ball_px: float = BALL_PX) -> dict[str, float | None]:
    """Resolution in Angstrom at which the FSC with the truth falls below 0.5 and 0.143, within a ball."""
    n, pixel = true.box_px, true.pixel_size_A
    ball = soft_ball(n, ball_px, EDGE_PX)
    maps = (np.asarray(found.data, np.float32), _brought(np.asarray(true.data, np.float32), frame, pixel))
    curve = shell_correlation(*(torch.from_numpy(np.ascontiguousarray(m)) * ball for m in maps))
    at = {level: float(resolution_at(curve, level, n, pixel)) for level in (0.5, 0.143)}
    return {f"fsc_{level}_A": round(value, 2) if np.isfinite(value) else None for level, value in at.items()}


def _brought(true: np.ndarray, frame: Frame, pixel_size_A: float) -> np.ndarray:
    """``V'(x) = V(M^T (x - d))``: the truth, or its mirror image in z, in a frame."""
    n = len(true)
    if frame.mirrored:
        true = np.roll(true[::-1], 1 - n % 2, axis=0)
    x = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij"), -1)[..., ::-1]  # x, y, z of voxels
    at = (x - frame.shift_A / pixel_size_A) @ frame.rotation
    fine = spline_filter(_finer(true), order=3)
    index = [UPSAMPLED * (at[..., axis] + n // 2) for axis in (2, 1, 0)]
    return np.asarray(map_coordinates(fine, index, order=3, prefilter=False, mode="constant"), np.float32)


def _finer(volume: np.ndarray) -> np.ndarray:
    """Sampled more finely by zero-padding of its Fourier transform; voxel i becomes voxel 2 i."""
    n, m = len(volume), UPSAMPLED * len(volume)
    padded = np.zeros((m, m, m), complex)
    low = m // 2 - n // 2
    padded[low : low + n, low : low + n, low : low + n] = np.fft.fftshift(np.fft.fftn(volume))
    return np.fft.ifftn(np.fft.ifftshift(padded)).real * UPSAMPLED**3
