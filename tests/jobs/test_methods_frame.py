"""Maps of two methods are brought together by the poses that both give to the same averages."""

import numpy as np
import pytest

from vitreous.jobs.results.methods import frame_of
from vitreous.mixtures import Mixture, evaluate
from vitreous.particles import Volume
from vitreous.quality import resample_aligned
from vitreous.rotations import random_rotations
from vitreous.structures.from_averages import MethodModel, Score

BOX, PIXEL_A, N = 32, 5.0, 9
FLIP = np.diag([1.0, 1.0, -1.0])


def model(means, rotation, origin):
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    density = evaluate(
        Mixture(means_A=means, weights=weights, precision_per_A2=8.0**-2), box_px=BOX, pixel_size_A=PIXEL_A
    )
    score = Score(score=1.0, beyond=9.0, correlation=1.0)
    return MethodModel(
        method="any",
        map=Volume(data=np.asarray(density, np.float32), pixel_size_A=PIXEL_A),
        rotation=rotation,
        origin_A=origin,
        score=score,
        scores=np.ones(1),
        best=0,
        agreements=(),
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_frame_of_poses_is_the_frame_of_maps(mirrored):
    """The particle is turned, moved and mirrored, and its images stay what they were."""
    rng = np.random.default_rng(4)
    means, rotation = rng.normal(0, 18, (4, 3)), random_rotations(N, seed=1).numpy()
    origin, turn, move = rng.normal(0, 3, (N, 2)), random_rotations(1, seed=2)[0].numpy(), np.array([6.0, -4.0, 9.0])
    flip = FLIP if mirrored else np.eye(3)
    one = model(means, rotation, origin)
    moved = (means @ turn.T + move) @ flip
    poses = flip @ (turn @ rotation) @ flip
    # X(r) = V(G (r + o, z)): where the particle goes by t, origins go by (G^T t)_xy.
    shifted = origin + np.einsum("nab,a->nb", turn @ rotation, move)[:, :2]
    other = model(moved, poses, shifted)
    where = frame_of(one, other, np.eye(3)[None])
    assert where.other_hand == mirrored
    back = resample_aligned(other.map.data, PIXEL_A, where, BOX, PIXEL_A)
    assert np.corrcoef(back.ravel(), one.map.data.ravel())[0, 1] > 0.99
