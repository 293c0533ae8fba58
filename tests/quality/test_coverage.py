"""Which directions of Fourier space a set of views leaves out."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitreous.quality import unseen_cone
from vitreous.rotations import random_rotations, symmetry_matrices

ONE = np.eye(3)[None]


def test_unseen_cone():
    about_y = Rotation.from_euler("y", np.arange(-60, 61, 5)[:, None], degrees=True).as_matrix()
    tilts = unseen_cone(about_y, ONE)  # single-axis tilting: a wedge, whose largest cone is as wide
    assert tilts.half_angle_deg == pytest.approx(30.0, abs=2.0)
    assert abs(tilts.axis[2]) > 0.99
    conical = Rotation.from_euler("ZY", [[a, 50.0] for a in range(0, 360, 10)], degrees=True).as_matrix()
    assert unseen_cone(conical, ONE).half_angle_deg == pytest.approx(40.0, abs=2.0)
    assert unseen_cone(conical[:1], ONE).half_angle_deg == pytest.approx(90.0, abs=2.0)
    assert unseen_cone(random_rotations(500, seed=1).numpy(), ONE).half_angle_deg < 8.0
    octahedral = symmetry_matrices("O").double().numpy()
    assert unseen_cone(conical[:3], octahedral).half_angle_deg < 20.0
