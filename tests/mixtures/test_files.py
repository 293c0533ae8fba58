"""Mixtures survive their files; the files are what other programs expect."""

import gemmi
import numpy as np
import pytest

from mixtures import random_mixture
from vitreous.mixtures import Mixture, evaluate, read_pseudo_atoms, write_map, write_pseudo_atoms
from vitreous.particles import read_volume


@pytest.mark.parametrize(
    ("suffix", "means", "weights", "precision"), [(".cif", 1e-6, 1e-7, 1e-7), (".pdb", 6e-4, 2e-3, 1e-4)]
)
def test_pseudo_atoms_round_trip(tmp_path, suffix, means, weights, precision):
    m = random_mixture(500, sigma_A=3.3)
    write_pseudo_atoms(tmp_path / f"model{suffix}", m)
    back = read_pseudo_atoms(tmp_path / f"model{suffix}")
    assert np.allclose(back.means_A, m.means_A, atol=means)
    assert np.allclose(back.weights / m.weights.mean(), m.weights / m.weights.mean(), atol=5 * weights)
    assert back.precision_per_A2 == pytest.approx(m.precision_per_A2, rel=precision)


def test_more_atoms_than_residue_numbers(tmp_path):
    m = random_mixture(10_005)
    write_pseudo_atoms(tmp_path / "many.cif", m)
    assert np.allclose(read_pseudo_atoms(tmp_path / "many.cif").means_A, m.means_A, atol=1e-5)


def test_the_b_factor_is_the_size_and_gemmi_agrees_on_the_density(tmp_path):
    """B = 8 pi^2 sigma^2, so that the mean square displacement of an atom is that of the component."""
    write_pseudo_atoms(tmp_path / "m.cif", random_mixture(3, sigma_A=4.0))
    atoms = [site.atom for site in gemmi.read_structure(str(tmp_path / "m.cif"))[0].all()]
    assert all(a.b_iso == pytest.approx(8 * np.pi**2 * 16.0, rel=1e-6) for a in atoms)
    assert np.mean([a.occ for a in atoms]) == pytest.approx(1.0)


def test_map_round_trip(tmp_path):
    m = random_mixture(20)
    write_map(tmp_path / "m.mrc", m, box_px=24, pixel_size_A=5.0)
    volume = read_volume(tmp_path / "m.mrc")
    assert volume.pixel_size_A == pytest.approx(5.0)
    assert np.array_equal(volume.data, evaluate(m, 24, 5.0))


def test_what_pdb_cannot_hold_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"B factor.*mmCIF"):
        write_pseudo_atoms(tmp_path / "m.pdb", random_mixture(3, sigma_A=20.0))
    far = Mixture(means_A=[[1500.0, 0, 0]], weights=[1.0], precision_per_A2=1.0)
    with pytest.raises(ValueError, match=r"coordinate.*mmCIF"):
        write_pseudo_atoms(tmp_path / "m.pdb", far)
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_explained(tmp_path):
    with pytest.raises(ValueError, match=r"\.cif or \.pdb"):
        write_pseudo_atoms(tmp_path / "m.txt", random_mixture(3))
    with pytest.raises(ValueError, match="3D mixture"):
        write_pseudo_atoms(tmp_path / "m.cif", random_mixture(3, dimension=2))
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_pseudo_atoms(tmp_path / "none.cif")
    (tmp_path / "text.cif").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.cif"):
        read_pseudo_atoms(tmp_path / "text.cif")
    write_pseudo_atoms(tmp_path / "m.pdb", random_mixture(2, sigma_A=3.0))
    lines = (tmp_path / "m.pdb").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("HETATM"))
    lines[first] = lines[first][:60] + "  1.00" + lines[first][66:]
    (tmp_path / "m.pdb").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="B factor"):
        read_pseudo_atoms(tmp_path / "m.pdb")
