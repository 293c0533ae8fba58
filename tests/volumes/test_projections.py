"""Projections: against RELION's own, sums along axes, grids and CTF."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.optics import CTFParameters
from vitreous.particles import Volume, read_particles, read_stack, read_volume
from vitreous.quality import image_correlations
from vitreous.rotations import euler_to_matrix, random_rotations
from vitreous.simulate import phantom
from vitreous.volumes import apply_b_factor, project_map, projector

CONVENTIONS = Path(__file__).resolve().parents[3] / "shared" / "data" / "conventions"


def particle(n: int = 24, pixel: float = 6.0) -> Volume:
    return Volume(data=phantom(n, pixel, "small").numpy(), pixel_size_A=pixel)


@pytest.mark.data
@pytest.mark.skipif(not CONVENTIONS.is_dir(), reason="the shared data folder is not beside the repository")
@pytest.mark.parametrize("with_ctf", [False, True])
def test_relion_project_makes_the_same_images(with_ctf):
    """Angles, shifts, astigmatic defocus and phase plates of 24 poses: every sign, and the scale."""
    volume, posed = read_volume(CONVENTIONS / "map_64_5A.mrc"), read_particles(CONVENTIONS / "poses.star")
    angles = np.stack([posed.table.numbers(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")], axis=1)
    rotations = euler_to_matrix(torch.from_numpy(angles)).numpy()
    ours = project_map(volume, rotations, posed.origin_A, ctf=posed.ctf_for(True) if with_ctf else None)
    theirs = read_stack(CONVENTIONS / ("ctf.mrcs" if with_ctf else "noctf.mrcs"))
    assert image_correlations(ours, theirs).min() > 0.99999
    scale = (ours * theirs).sum(axis=(1, 2)) / (theirs**2).sum(axis=(1, 2))
    assert scale == pytest.approx(np.full(24, 5.0), rel=3e-4)  # RELION sums voxels, we integrate over Angstrom


def test_along_the_axes_a_projection_is_a_sum():
    volume = apply_b_factor(particle(), 600.0)  # nothing in the corners, which slices do not have
    views = torch.tensor([[0.0, 0.0, 0.0], [0.0, 90.0, 0.0], [90.0, 90.0, 0.0]])
    found = project_map(volume, euler_to_matrix(views).numpy())
    data = volume.data
    expected = data.sum(axis=0) * 6.0  # along z
    # Along the axes nothing is interpolated, so that what makes up for it shows at some distance from the centre.
    assert np.abs(found[0] - expected).max() < 0.04 * expected.max()
    along_x = data.sum(axis=2) * 6.0  # [z, y]: seen along +x, image x is -z of the volume, image y its y
    assert np.corrcoef(found[1, :, 1:].ravel(), along_x.T[:, ::-1][:, :-1].ravel())[0, 1] > 0.999
    assert found.sum(axis=(1, 2)) == pytest.approx(np.full(3, data.sum() * 6.0), rel=0.04)  # mass; see above


def test_images_of_other_pixels_show_the_same():
    volume, rotations = particle(), random_rotations(3, seed=1).numpy()
    origins = np.array([[6.0, -12.0], [0.0, 0.0], [3.0, 4.0]])
    fine, coarse = project_map(volume, rotations, origins), project_map(volume, rotations, origins, 16, 9.0)
    assert fine.sum(axis=(1, 2)) * 36 == pytest.approx(coarse.sum(axis=(1, 2)) * 81, rel=1e-3)
    with pytest.raises(ValueError, match=r"144.0 A wide and the images 96.0 A"):
        projector(volume, 16, 6.0)
    with pytest.raises(ValueError, match="cubic"):
        projector(Volume(data=volume.data[:12], pixel_size_A=6.0))


def test_an_origin_moves_the_particle_against_it():
    volume, turn = particle(), np.eye(3)[None]
    still, moved = project_map(volume, turn), project_map(volume, turn, np.array([[12.0, -6.0]]))
    assert np.abs(moved - np.roll(still, (1, -2), axis=(1, 2))).max() < 1e-3 * still.max()  # y + 1, x - 2 pixels


def test_many_images_are_those_of_the_single_poses():
    rotations = random_rotations(70, seed=2).numpy()
    ones = np.ones(70)
    ctf = CTFParameters(
        defocus_u_A=np.linspace(1e4, 2e4, 70), defocus_v_A=np.linspace(1e4, 2e4, 70), defocus_angle_deg=0 * ones,
        voltage_kV=300 * ones, cs_mm=2.7 * ones, amplitude_contrast=0.1 * ones, phase_shift_deg=0 * ones,
        b_factor_A2=0 * ones,
    )  # fmt: skip
    ready = projector(particle())
    together = ready(rotations, ctf=ctf)
    assert np.abs(together[66:67] - ready(rotations[66:67], ctf=ctf.take(np.array([66])))).max() < 1e-5
    with pytest.raises(ValueError, match=r"found \(70, 3, 3\), \(2, 2\) and 70"):
        ready(rotations, np.zeros((2, 2)), ctf=ctf)
