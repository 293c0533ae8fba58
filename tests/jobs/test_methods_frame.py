"""Maps of two methods are brought together by the poses of the same averages; what their table says."""

from dataclasses import replace

import numpy as np
import pytest

from vitreous.jobs.report.initial_methods import methods_section
from vitreous.jobs.results.methods import frame_of, read_methods, write_methods
from vitreous.mixtures import Mixture, evaluate
from vitreous.particles import Volume
from vitreous.quality import resample_aligned
from vitreous.rotations import compare_poses, random_rotations
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


def test_a_single_restart_shares_its_poses_with_nobody(tmp_path):
    """Neither the table nor the report says that it agrees with itself."""
    rotation = random_rotations(N, seed=1).numpy()
    own = compare_poses(rotation, rotation, group=np.eye(3)[None], within_deg=20.0)
    alone = replace(model(np.eye(4, 3) * 20, rotation, np.zeros((N, 2))), agreements=(own,))
    two = replace(alone, method="other", agreements=(own, own))
    images = np.random.default_rng(0).normal(size=(N, BOX, BOX)).astype(np.float32)
    write_methods(tmp_path, (alone, two), 0, images, PIXEL_A, {}, np.eye(3)[None])
    found = read_methods(tmp_path)
    assert np.isnan(found.rows.numbers("vtrAgreementOfRestarts")).tolist() == [True, False]
    table = methods_section(tmp_path).panels[0]
    assert [dict(zip(table.head, row, strict=True))["restarts share"] for row in table.rows] == ["", "100%"]
