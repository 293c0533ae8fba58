"""Phantoms are deterministic, sized as stated, asymmetric and chiral."""

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.nn.functional import grid_sample

from vitreous.quality import shell_correlation
from vitreous.rotations import random_rotations, rotation_distance_deg
from vitreous.simulate import PHANTOMS, phantom, phantom_diameter_A


def correlation_after_rotation(volume: torch.Tensor, target: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Pearson correlation of the target with every rotated copy of the volume: (b,)."""
    n = volume.shape[-1]
    axis = torch.arange(n, dtype=torch.float32) - n // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    grid = ((points @ rotations.float().mT + n // 2) * (2 / (n - 1)) - 1).reshape(1, -1, 1, 1, 3)
    rotated = grid_sample(volume[None, None], grid, align_corners=True).reshape(len(rotations), -1)
    rotated = rotated - rotated.mean(dim=1, keepdim=True)
    centred = (target - target.mean()).flatten()
    return rotated @ centred / (rotated.norm(dim=1) * centred.norm())


def near(count: int, degrees: float, seed: int) -> torch.Tensor:
    """Rotations by about ``degrees`` about random axes."""
    axes = torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=1)
    return torch.from_numpy(Rotation.from_rotvec((axes * torch.deg2rad(torch.tensor(degrees))).numpy()).as_matrix())


def best_match(volume: torch.Tensor, target: torch.Tensor) -> float:
    """Highest correlation over rotations: a coarse search, then three rounds about the eight best."""
    candidates = random_rotations(1500, seed=0)
    for degrees in (12.0, 7.0, 3.0):
        best = candidates[correlation_after_rotation(volume, target, candidates).topk(8).indices]
        steps = near(25, degrees, seed=int(degrees)).to(best.dtype)
        candidates = torch.cat([best, (best[:, None] @ steps).flatten(0, 1)])
    return correlation_after_rotation(volume, target, candidates).max().item()


@pytest.fixture(params=PHANTOMS)
def small_copy(request) -> torch.Tensor:
    n = 19  # odd: turns by 90 degrees and mirrors keep the centre
    return phantom(n, 1.1 * phantom_diameter_A(request.param) / n, request.param)


def test_no_rotation_maps_a_phantom_to_itself(small_copy):
    rotations = random_rotations(1500, seed=2)
    away = rotation_distance_deg(rotations, torch.eye(3, dtype=rotations.dtype)) > 35
    assert correlation_after_rotation(small_copy, small_copy, rotations[away]).max() < 0.9


def test_a_phantom_is_not_its_mirror_image_but_is_itself_turned(small_copy):
    mirrored = torch.flip(small_copy, dims=(2,))
    turned = torch.rot90(small_copy, 1, dims=(1, 2))
    assert best_match(small_copy, turned) > 0.93
    assert best_match(small_copy, mirrored) < 0.9


@pytest.mark.parametrize("kind", PHANTOMS)
def test_determinism_and_seeds(kind):
    pixel = 1.2 * phantom_diameter_A(kind) / 24
    first = phantom(24, pixel, kind)
    assert torch.equal(first, phantom(24, pixel, kind))
    assert not torch.equal(first, phantom(24, pixel, kind, seed=1))
    assert first.dtype == torch.float32
    assert first.max() == 1.0
    assert first.min() >= 0.0


def test_the_particle_is_the_same_at_another_pixel_size():
    coarse, fine = phantom(32, 10.0), phantom(64, 5.0)
    frc = shell_correlation(coarse, fine[::2, ::2, ::2])
    assert frc[:6].min() > 0.99


@pytest.mark.parametrize("n", [48, 49])
def test_centre_of_mass_is_the_centre_of_the_box(n):
    volume = phantom(n, 6.5).double()
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    for dim in range(3):
        profile = volume.sum(dim=[d for d in range(3) if d != dim])
        assert abs((profile @ axis) / profile.sum()) < 0.02


def test_sizes_differ_and_fit():
    diameters = [phantom_diameter_A(kind) for kind in ("small", "channel", "ribosome-like")]
    assert diameters == sorted(diameters)
    assert 90 < diameters[0] < 120
    assert 240 < diameters[2] < 280


def test_unknown_kinds_and_small_boxes_are_refused():
    with pytest.raises(ValueError, match="there are: ribosome-like"):
        phantom(32, 5.0, "teapot")
    with pytest.raises(ValueError, match="at least"):
        phantom(32, 5.0, "ribosome-like")
