from pathlib import Path

import numpy as np
import pytest

from vitreous.particles import Table, write_mrc_stack, write_star

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the shared data folder is not beside the repository")
    return SHARED


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A RELION 3.1 project of 2 stacks and 7 particles in tmp_path, which is not the current directory.

    The value of every pixel is 10 * (particle number from 0) + noise in [0, 1).
    """
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    root = tmp_path / "project"
    (root / "Extract").mkdir(parents=True)
    rng = np.random.default_rng(5)
    images = rng.random((7, 8, 8), dtype=np.float32) + 10 * np.arange(7, dtype=np.float32)[:, None, None]
    write_mrc_stack(root / "Extract" / "a.mrcs", images[:4], 2.5)
    write_mrc_stack(root / "Extract" / "b.mrcs", images[4:][::-1], 2.5)
    names = [f"{i:06d}@Extract/a.mrcs" for i in (1, 2, 3, 4)] + [f"{i:06d}@Extract/b.mrcs" for i in (3, 2, 1)]
    particles = Table.from_arrays(
        {
            "rlnImageName": names,
            "rlnMicrographName": ["m1", "m1", "m2", "m1", "m2", "m3", "m3"],
            "rlnOpticsGroup": [1, 1, 1, 2, 2, 2, 2],
            "rlnDefocusU": [10000.0, 11000, 12000, 13000, 14000, 15000, 16000],
            "rlnDefocusV": [9900.0, 11000, 12000, 13000, 14000, 15000, 16000],
            "rlnDefocusAngle": [12.5, 0, 0, 0, 0, 0, 0],
            "rlnOriginXAngst": np.arange(7) * 1.25,
            "rlnOriginYAngst": -np.arange(7) * 1.25,
            "myOwnColumn": ["two words", "", "'", '"', "#5", "_x", "data_"],
        }
    )
    optics = Table.from_arrays(
        {
            "rlnOpticsGroupName": ["one", "two"],
            "rlnOpticsGroup": [1, 2],
            "rlnVoltage": [300.0, 200.0],
            "rlnSphericalAberration": [2.7, 2.0],
            "rlnAmplitudeContrast": [0.1, 0.07],
            "rlnImagePixelSize": [2.5, 2.5],
            "rlnImageSize": [8, 8],
        }
    )
    general = Table.from_arrays({"rlnTomoSubTomosAre2DStacks": [1]}, loop=False)
    (root / "Select").mkdir()
    write_star(root / "Select" / "particles.star", {"general": general, "optics": optics, "particles": particles})
    return root, images
