"""Density from atoms and maps."""

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from vitreous.simulate import (
    Atoms,
    SimulateSettings,
    gaussian_density,
    load_volumes,
    read_atoms,
    resample_volume,
    volume_from_atoms,
)

MODELS = Path(__file__).parents[3] / "shared" / "data" / "models"
PDB = """\
ATOM      1  N   ALA A   1      11.000   0.000   0.000  1.00 20.00           N
ATOM      2  CA  ALA A   1      12.000   3.000   1.000  0.50 20.00           C
ATOM      3  H   ALA A   1      13.000   3.000   1.000  1.00 20.00           H
ATOM      4  CA  ALA B   1      -5.000   3.000   1.000  1.00 20.00           C
HETATM    5  O   HOH B   2       0.000   0.000   0.000  1.00 20.00           O
END
"""


def test_density_is_the_sum_of_gaussians():
    positions = np.array([[3.0, -7.0, 4.5], [-6.2, 0.0, 1.0]])
    weights = np.array([6.0, 8.0])
    n, pixel, sigma = 24, 2.0, 3.0
    axis = (np.arange(n) - n // 2) * pixel
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    expected = sum(
        w * np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2) / (2 * sigma**2))
        for p, w in zip(positions, weights / (2 * np.pi * sigma**2) ** 1.5, strict=True)
    )
    found = gaussian_density(positions, weights, sigma, n, pixel).numpy()
    assert np.abs(found - expected).max() < 1e-3 * expected.max()
    assert found.sum() * pixel**3 == pytest.approx(14.0, rel=1e-3)


def test_atoms_beyond_the_border_are_lost_without_an_error():
    found = gaussian_density(np.array([[0.0, 0.0, 0.0], [100.0, 0.0, 0.0]]), np.ones(2), 2.0, 16, 2.0)
    assert torch.equal(found, gaussian_density(np.zeros((1, 3)), np.ones(1), 2.0, 16, 2.0))


@pytest.mark.parametrize("zipped", [False, True])
def test_reading_a_model(tmp_path, zipped):
    path = tmp_path / ("model.pdb.gz" if zipped else "model.pdb")
    path.write_bytes(gzip.compress(PDB.encode()) if zipped else PDB.encode())
    atoms = read_atoms(path)
    assert atoms.positions_A.tolist() == [[11, 0, 0], [12, 3, 1], [-5, 3, 1]]  # no hydrogen, no water
    assert atoms.weights.tolist() == [7.0, 3.0, 6.0]
    assert len(read_atoms(path, exclude_chains=("A",)).weights) == 1


def test_models_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_atoms(tmp_path / "absent.pdb")
    empty = tmp_path / "empty.pdb"
    empty.write_text("END\n")
    with pytest.raises(ValueError, match="no atoms"):
        read_atoms(empty)
    broken = tmp_path / "broken.cif"
    broken.write_text("data_x\nloop_\n_a\n_b\n1\n")
    with pytest.raises(ValueError, match="cannot be read"):
        read_atoms(broken)


def test_volume_is_centred_on_the_centre_of_mass_and_blurred_to_the_resolution():
    atoms = Atoms(positions_A=np.array([[100.0, 50.0, -20.0], [110.0, 50.0, -20.0]]), weights=np.array([3.0, 1.0]))
    volume = volume_from_atoms(atoms, 32, 2.0, 8.0).double()
    axis = torch.arange(32, dtype=torch.float64) - 16
    assert (volume.sum((0, 1)) @ axis).item() == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(ValueError, match="resolution"):
        volume_from_atoms(atoms, 32, 2.0, 0.0)


@pytest.mark.parametrize(("m", "n"), [(20, 20), (21, 16), (16, 21)])
def test_cropping_and_padding_a_map_keep_the_centre(m, n):
    volume = torch.zeros(m, m, m)
    volume[m // 2, m // 2, m // 2 + 1] = 1.0
    found = resample_volume(volume, 3.0, n, 3.0)
    assert found.shape == (n, n, n)
    assert found[n // 2, n // 2, n // 2 + 1] == 1.0


def test_resampling_keeps_the_object():
    coarse = gaussian_density(np.array([[9.0, -6.0, 3.0]]), np.ones(1), 6.0, 32, 3.0)
    fine = gaussian_density(np.array([[9.0, -6.0, 3.0]]), np.ones(1), 6.0, 40, 2.0)
    assert (resample_volume(coarse, 3.0, 40, 2.0) - fine).abs().max() < 0.01 * fine.max()


def test_maps_as_sources(tmp_path):
    volume = gaussian_density(np.array([[9.0, -6.0, 3.0]]), np.ones(1), 6.0, 32, 3.0)
    with mrcfile.new(tmp_path / "map.mrc") as file:
        file.set_data(volume.numpy())
        file.voxel_size = 3.0
    with mrcfile.new(tmp_path / "flat.mrc") as file:
        file.set_data(np.zeros((4, 8, 8), dtype=np.float32))
    settings = SimulateSettings(source=(str(tmp_path / "map.mrc"),), box_px=32, pixel_size_A=3.0)
    assert torch.equal(load_volumes(settings)[0], volume)
    with pytest.raises(ValueError, match=r"flat\.mrc: expected a cubic map"):
        load_volumes(SimulateSettings(source=(str(tmp_path / "flat.mrc"),)))
    with pytest.raises(FileNotFoundError, match="neither a file nor one of the phantoms"):
        load_volumes(SimulateSettings(source=("nothing",)))


@pytest.mark.data
def test_a_real_model_has_its_size():
    path = MODELS / "5a1a.pdb.gz"
    if not path.is_file():
        pytest.skip("the folder shared/data/models is not beside the project")
    volume = volume_from_atoms(read_atoms(path), 64, 4.0, 10.0)
    atoms = read_atoms(path)
    assert len(atoms.weights) > 30000
    assert volume.sum().item() * 4.0**3 == pytest.approx(atoms.weights.sum(), rel=1e-3)
