"""Poses: the frame of slices and columns of tables."""

import numpy as np
import torch

from vitreous.matching import Alignments
from vitreous.rotations import euler_to_matrix, random_rotations
from vitreous.structures import Poses


def test_a_turned_slice_is_a_pose():
    """The point r of an image lies in the slice at R(psi)(r + o), and there in the volume."""
    rng = np.random.default_rng(0)
    slices, psi = random_rotations(4, seed=1).numpy(), rng.uniform(0, 6, 7)
    alignments = Alignments(
        particle=np.arange(7), reference=rng.integers(0, 4, 7), psi_rad=psi, origin_A=rng.normal(size=(7, 2)),
        mirror=np.zeros(7, bool),
    )  # fmt: skip
    poses = Poses.from_alignments(alignments, slices, np.array([0, 1, 0, 1]))
    r = rng.normal(size=(7, 2))
    in_slice = np.c_[alignments.points(r), np.zeros(7)]
    expected = np.einsum("nij,nj->ni", slices[alignments.reference], in_slice)
    found = np.einsum("nij,nj->ni", poses.rotation, np.c_[r + poses.origin_A, np.zeros(7)])
    assert np.allclose(found, expected)
    assert (poses.volume == alignments.reference % 2).all()


def test_columns_say_the_same():
    poses = Poses.unknown(5).put(
        Poses(
            particle=np.array([3, 1]), volume=np.zeros(2, np.int64), rotation=random_rotations(2, seed=2).numpy(),
            origin_A=np.array([[1.0, -2.0], [3.0, 0.5]]),
        )
    )  # fmt: skip
    assert poses.known.tolist() == [False, True, False, True, False]
    columns = poses.columns()
    angles = np.stack([columns[f"rlnAngle{name}"] for name in ("Rot", "Tilt", "Psi")], 1)
    assert np.allclose(euler_to_matrix(torch.from_numpy(angles)).numpy(), poses.rotation)
    assert columns["rlnOriginYAngst"].tolist() == [0, 0.5, 0, -2.0, 0]
