"""Central slices: projections of known objects, adjointness."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.fourier import (
    central_slices,
    centred_irfft2,
    empty_volume_ft,
    insert_slices,
    prepare_volume,
)
from vitreous.rotations import random_rotations


def blob_volume(n: int, centres: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussians at (x, y, z) from the centre, in pixels."""
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    parts = torch.exp(-((axis - centres[..., None]) ** 2) / (2 * sigma**2))  # (m, 3, n)
    return torch.einsum("mz,my,mx->zyx", parts[:, 2], parts[:, 1], parts[:, 0])


def blob_projection(n: int, centres: torch.Tensor, sigma: float, matrix: torch.Tensor) -> torch.Tensor:
    """V(r_vol) projected: a blob at c sits at G^T c in the image frame."""
    seen = centres @ matrix
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    x = torch.exp(-((axis - seen[:, 0, None]) ** 2) / (2 * sigma**2))
    y = torch.exp(-((axis - seen[:, 1, None]) ** 2) / (2 * sigma**2))
    return torch.einsum("my,mx->yx", y, x) * sigma * (2 * torch.pi) ** 0.5


CENTRES = torch.tensor([[6.0, 1.0, -3.0], [-4.0, 5.0, 2.0], [0.0, -6.0, 4.0], [1.0, 2.0, 7.0]], dtype=torch.float64)


@pytest.mark.parametrize("n", [32, 33])
def test_slices_are_the_transforms_of_projections(n):
    matrices = random_rotations(6, seed=3)
    slices = central_slices(prepare_volume(blob_volume(n, CENTRES, 2.0)), matrices, n)
    for ft, matrix in zip(slices, matrices, strict=True):
        expected = blob_projection(n, CENTRES, 2.0, matrix)
        found = centred_irfft2(ft, n)
        assert (found - expected).abs().max() < 0.025 * expected.max()  # trilinear, padding 2


def test_more_padding_is_more_accurate():
    n = 24
    matrices = random_rotations(4, seed=5)
    volume = blob_volume(n, CENTRES, 1.5)
    expected = torch.stack([blob_projection(n, CENTRES, 1.5, m) for m in matrices])
    errors = [
        (centred_irfft2(central_slices(prepare_volume(volume, p), matrices, n), n) - expected).norm() for p in (1, 2, 4)
    ]
    assert errors[0] > 4 * errors[1] > 4 * errors[2]


@settings(max_examples=15)
@given(n=st.integers(6, 13), padding=st.integers(1, 2), seed=st.integers(0, 1000))
def test_insert_is_the_adjoint_of_extract(n, padding, seed):
    generator = torch.Generator().manual_seed(seed)
    matrices = random_rotations(5, seed=seed)
    template = empty_volume_ft(n, padding, dtype=torch.complex128)
    v = torch.randn(template.shape, generator=generator, dtype=torch.complex128)
    y = torch.randn(5, n, n // 2 + 1, generator=generator, dtype=torch.complex128)
    forward = (central_slices(v, matrices, n).conj() * y).sum().real
    insert_slices(template, y, matrices)
    backward = (v.conj() * template).sum().real
    assert torch.allclose(forward, backward)


def test_result_does_not_depend_on_the_batch():
    n = 16
    prepared = prepare_volume(blob_volume(n, CENTRES / 2, 1.5).float())
    matrices = random_rotations(700, seed=1)
    together = central_slices(prepared, matrices, n)
    assert together.dtype == torch.complex64
    assert torch.equal(together[650:], central_slices(prepared, matrices[650:], n))


def test_wrong_volumes_are_refused():
    with pytest.raises(ValueError, match="cubic"):
        prepare_volume(torch.zeros(4, 4, 5))
    with pytest.raises(ValueError, match="does not belong"):
        central_slices(empty_volume_ft(16), torch.eye(3)[None], 20)
