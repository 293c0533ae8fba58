"""Point groups are groups, of the right order, with their axes where RELION has them."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from vitreous.rotations import symmetry_matrices

ORDERS = {"C1": 1, "c2": 2, "C7": 7, "C12": 12, "D1": 2, "D2": 4, "d7": 14, "T": 12, "O": 24, "I": 60, "I1": 60}


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_it_is_a_group_of_rotations_of_the_right_order(name, order):
    g = symmetry_matrices(name)
    assert g.shape == (order, 3, 3)
    assert torch.equal(g[0], torch.eye(3, dtype=g.dtype))
    assert torch.allclose(g @ g.mT, torch.eye(3, dtype=g.dtype).expand_as(g), atol=1e-9)
    assert torch.allclose(torch.linalg.det(g), torch.ones(order, dtype=g.dtype))
    product = (g[:, None] @ g).reshape(-1, 1, 3, 3)
    distance = (product - g).abs().amax(dim=(2, 3))
    assert distance.min(dim=1).values.max() < 1e-8  # closed
    assert torch.equal((distance < 1e-8).sum(dim=1), torch.ones(order**2, dtype=torch.int64))  # no element twice


@pytest.mark.parametrize("name", ["T", "O", "I"])
def test_polyhedral_groups_are_scipys_up_to_their_setting(name):
    ours = Rotation.from_matrix(symmetry_matrices(name).numpy()).magnitude()
    assert np.allclose(np.sort(ours), np.sort(Rotation.create_group(name).magnitude()), atol=1e-8)


@pytest.mark.parametrize(
    ("name", "fold", "axis"),
    [("C5", 5, "z"), ("D3", 3, "z"), ("D3", 2, "x"), ("T", 3, "z"), ("O", 4, "x"), ("I", 2, "y"), ("I1", 2, "z")],
)
def test_axes(name, fold, axis):
    wanted = torch.from_numpy(Rotation.from_euler(axis, 360.0 / fold, degrees=True).as_matrix())
    assert (symmetry_matrices(name) - wanted).abs().amax(dim=(1, 2)).min() < 1e-8


@pytest.mark.parametrize("name", ["", "C0", "C", "D0", "X", "C-1", "C1.5", "I9", "C100000"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="symmetry group"):
        symmetry_matrices(name)
