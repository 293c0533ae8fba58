"""Small mixtures and data for the tests of this room."""

from pathlib import Path

import numpy as np
import pytest

from vitreous.mixtures import Mixture

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def require_shared(name: str) -> Path:
    """A file of real data beside the repository; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip("the shared data folder is not beside the repository")
    return path


def random_mixture(components: int, *, dimension: int = 3, seed: int = 0, spread_A: float = 20.0, sigma_A: float = 6.0):
    rng = np.random.default_rng(seed)
    return Mixture(
        means_A=rng.normal(size=(components, dimension)) * spread_A,
        weights=rng.dirichlet(np.full(components, 5.0)),
        precision_per_A2=sigma_A**-2,
    )
