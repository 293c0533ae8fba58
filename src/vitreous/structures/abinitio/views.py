"""Whether particles are seen from enough sides for a map."""

import numpy as np

from vitreous.rotations import symmetry_matrices

__all__ = ["one_view_message", "share_along_axis"]

NEAR_DEG = 30.0  # the grid of directions and noise spread the views of a single one by 10 to 20 degrees
MOST_ALONG = 0.9


def share_along_axis(rotation: np.ndarray, symmetry: str) -> float:
    """Share of the views (n, 3, 3), and their symmetric copies, within 30 degrees of the axis that most are near.

    An axis has two ends. 13 % where views are uniform.

    >>> from vitreous.rotations import random_rotations
    >>> share_along_axis(np.repeat(np.eye(3)[None], 5, axis=0), "C1")
    1.0
    >>> round(share_along_axis(random_rotations(4000, seed=0).numpy(), "C1"), 1)
    0.1
    """
    group = symmetry_matrices(symmetry).double().numpy()
    views = np.einsum("gab,nb->gna", group, rotation[:, :, 2]).reshape(-1, 3)
    axis = np.linalg.eigh(views.T @ views)[1][:, -1]
    return float((np.abs(views @ axis) > np.cos(np.deg2rad(NEAR_DEG))).mean())


def one_view_message(rotation: np.ndarray, symmetry: str) -> list[str]:
    """What is to be said of particles that nearly all show one view."""
    share = share_along_axis(rotation, symmetry)
    if share < MOST_ALONG:
        return []
    return [
        f"One view: {share:.0%} of the particles are seen within {NEAR_DEG:.0f} degrees of one axis. One view does not "
        "determine a map: what it shows along that axis is not known, however well starts agree. Tilt the grid, or "
        "find more views."
    ]
