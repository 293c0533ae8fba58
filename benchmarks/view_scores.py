"""Scores against the truth of :mod:`benchmarks.views`: neighbour lists, rotations between neighbours, clean images."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import sticks
from benchmarks.views import Views

__all__ = ["in_plane_errors", "load_scorer", "relative_errors", "score_lists"]

NEAR_DEG = 10.0  # between viewing directions of pairs whose in-plane angle is looked at
MIRROR = np.diag([1.0, -1.0, -1.0])  # of a projection by y -> -y: the view from behind
BATCH = 500


def load_scorer(stick: Path, views: Views) -> Any:
    """The scorer of the scoring scripts for these views; what it computes first is kept beside them."""
    module = sticks.stick_module(stick, "neighbours_score")
    kept = views.folder / "scorer.pkl"
    if not kept.is_file():
        kept.write_bytes(pickle.dumps(module.Scorer(views.clean, views.rotations)))
    return pickle.loads(kept.read_bytes())


def score_lists(scorer: Any, neighbours: np.ndarray, mirrored: np.ndarray) -> dict[str, Any]:
    """Figures of the scorer: pairs (n, K) whose clean images correlate, angles between their views."""
    if (neighbours < 0).any():
        raise ValueError(f"{int((neighbours < 0).any(1).sum())} images have no neighbours; simulated ones all should")
    score = scorer.score(neighbours, mirrored)
    return {
        "pairs": score["pairs"],
        "above_0.9": score["n_gt_09"],
        "above_0.95": score["n_gt_095"],
        "above_0.8": score["n_gt_08"],
        "view_median_deg": round(score["ang_median"], 2),
        "within_10_deg": round(score["within10"], 4),
    }


def in_plane_errors(
    rotations: np.ndarray, neighbours: np.ndarray, mirrored: np.ndarray, psi_deg: np.ndarray
) -> dict[str, float]:
    """Error of the angles between pairs (n, K) whose true views are within 10 degrees, in degrees.

    Neighbour j, mirrored where it says so and then turned by psi, lies on image i: ``G_i ~ G_j M R(psi)``. What is
    left between the two is the tilt of the view, and an angle about it: the error.
    """
    n, k = neighbours.shape
    i, j, flipped = np.repeat(np.arange(n), k), neighbours.ravel(), mirrored.ravel()
    psi = np.deg2rad(psi_deg.ravel().astype(float))
    turn = np.zeros((len(psi), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(psi)
    turn[:, 1, 0] = np.sin(psi)
    turn[:, 0, 1] = -turn[:, 1, 0]
    turn[:, 2, 2] = 1
    pose = rotations[j] @ np.where(flipped[:, None, None], MIRROR, np.eye(3)) @ turn
    between = np.swapaxes(pose, 1, 2) @ rotations[i]
    near = between[:, 2, 2] > np.cos(np.deg2rad(NEAR_DEG))
    if not near.any():
        return {}
    between = between[near]
    error = np.abs(np.arctan2(between[:, 1, 0] - between[:, 0, 1], between[:, 0, 0] + between[:, 1, 1]))
    return {
        "in_plane_median_deg": round(float(np.rad2deg(np.median(error))), 2),
        "in_plane_90_deg": round(float(np.rad2deg(np.quantile(error, 0.9))), 2),
    }


def relative_errors(images: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """|images - clean| / |clean| over all pixels of all images (n, L, L), up to a sign common to all.

    ``mean_removed``: the same over |clean - mean clean image|. ``fitted``: with the one scale for all images that suits
    them best, for images in other units.
    """
    ii = ic = cc = 0.0
    total = np.zeros(clean.shape[1:])
    for start in range(0, len(clean), BATCH):
        a, b = (np.asarray(x[start : start + BATCH], np.float64) for x in (images, clean))
        ii, ic, cc = ii + float((a * a).sum()), ic + float((a * b).sum()), cc + float((b * b).sum())
        total += b.sum(0)
    varying = cc - float((total**2).sum()) / len(clean)
    as_it_is, fitted = ii - 2 * abs(ic) + cc, cc - ic**2 / ii
    return {
        "error": round(float(np.sqrt(as_it_is / cc)), 4),
        "mean_removed": round(float(np.sqrt(as_it_is / varying)), 4),
        "fitted": round(float(np.sqrt(fitted / cc)), 4),
        "fitted_mean_removed": round(float(np.sqrt(fitted / varying)), 4),
        "scale": float(f"{ic / ii:.4g}"),
    }
