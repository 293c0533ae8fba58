"""A density as a mixture of K isotropic Gaussians of one size, and what can be done with it exactly.

    h(r) = sum_k w_k (s / 2 pi)^(d/2) exp(-s/2 |r - mu_k|^2),     d = 2 or 3

Coordinates are x, y(, z) in Angstrom from the centre of the box. Rotating, projecting and shifting a mixture gives a
mixture, so that nothing here interpolates. On a grid a Gaussian is a product of one factor per axis; a projection
image is then the matrix product ``Gy^T diag(w) Gx``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitreous.conventions import centre_index
from vitreous.words import brief

__all__ = [
    "Mixture",
    "evaluate",
    "finer",
    "log_density",
    "mirror",
    "project",
    "rotate",
    "sample_points",
    "symmetrise",
    "translate",
]

_CHUNK_VALUES = 2**22


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """``means_A`` (K, 2) or (K, 3) x, y(, z); ``weights`` (K,); ``precision_per_A2`` = 1 / sigma^2 of every component.

    The integral of the density is the sum of the weights (1 in everything that this package fits).
    """

    __repr__ = brief

    means_A: np.ndarray
    weights: np.ndarray
    precision_per_A2: float

    def __post_init__(self) -> None:
        means = np.asarray(self.means_A, dtype=np.float64)
        weights = np.asarray(self.weights, dtype=np.float64)
        if means.ndim != 2 or means.shape[1] not in (2, 3) or len(means) == 0 or not np.isfinite(means).all():
            raise ValueError(f"Mixture.means_A: expected finite (K, 2) or (K, 3), found shape {means.shape}")
        if weights.shape != means.shape[:1] or not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(f"Mixture.weights: expected ({len(means)},), none negative, found shape {weights.shape}")
        if not (np.isfinite(self.precision_per_A2) and self.precision_per_A2 > 0):
            raise ValueError(f"Mixture.precision_per_A2: expected a positive number, found {self.precision_per_A2}")
        object.__setattr__(self, "means_A", means)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "precision_per_A2", float(self.precision_per_A2))

    def __len__(self) -> int:
        return len(self.means_A)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.means_A.shape[1]

    @property
    def sigma_A(self) -> float:
        """Standard deviation of every component, per axis."""
        return self.precision_per_A2**-0.5


def evaluate(mixture: Mixture, box_px: int | Sequence[int], pixel_size_A: float) -> np.ndarray:
    """The density (per A^d) at the grid points: float32 [y, x] or [z, y, x], the origin at index n // 2 of every axis.

    ``box_px`` is the side of a square or cube, or the shape (ny, nx) or (nz, ny, nx).
    """
    shape = grid_shape(box_px, mixture.dimension)
    factors = [
        _axis_factors(mixture.means_A[:, axis], mixture.precision_per_A2, length, pixel_size_A)
        for axis, length in enumerate(reversed(shape))
    ]
    amplitude = mixture.weights * (mixture.precision_per_A2 / (2 * np.pi)) ** (mixture.dimension / 2)
    gx, gy = factors[0], factors[1] * amplitude[:, None].astype(np.float32)
    if mixture.dimension == 2:
        return gy.T @ gx
    section = shape[1] * shape[2]
    out = np.zeros((shape[0], section), np.float32)
    for part in _chunks(len(mixture), section):
        sections = (gy[part, :, None] * gx[part, None, :]).reshape(-1, section)
        out += factors[2][part].T @ sections
    return out.reshape(shape)


def grid_shape(box_px: int | Sequence[int], dimension: int) -> tuple[int, ...]:
    """The shape (ny, nx) or (nz, ny, nx) that a side or a shape stands for; ValueError for another number of axes."""
    shape = (int(box_px),) * dimension if isinstance(box_px, int | np.integer) else tuple(int(n) for n in box_px)
    if len(shape) != dimension or min(shape) < 1:
        raise ValueError(f"a grid of a {dimension}D mixture has {dimension} positive sides, found {shape}")
    return shape


def project(
    mixture: Mixture,
    rotations: np.ndarray,
    box_px: int,
    pixel_size_A: float,
    *,
    offsets_A: np.ndarray | None = None,
) -> np.ndarray:
    """Projection images under many poses: float32 (n, box_px, box_px) [image, y, x], per A^2.

    ``rotations`` (n, 3, 3) are the G of :mod:`vitreous.conventions`: an image is the integral of ``V(G (x, y, z))``
    over z. ``offsets_A`` (n, 2) is where the particle sits, x and y from the centre: minus ``rlnOriginXAngst/Y``.
    """
    require_dimension(mixture, 3)
    rotations = require_rotations(rotations)
    centres = image_centres(mixture.means_A, rotations, offsets_A)
    amplitude = (mixture.weights * mixture.precision_per_A2 / (2 * np.pi)).astype(np.float32)
    out = np.empty((len(rotations), box_px, box_px), np.float32)
    for part in _chunks(len(rotations), 2 * box_px * len(mixture)):
        axes = _axis_factors(centres[part], mixture.precision_per_A2, box_px, pixel_size_A)
        np.matmul((axes[:, :, 1] * amplitude[:, None]).swapaxes(1, 2), axes[:, :, 0], out=out[part])
    return out


def image_centres(means_A: np.ndarray, rotations: np.ndarray, offsets_A: np.ndarray | None = None) -> np.ndarray:
    """Where components appear in images: x, y of ``G^T mu`` plus the offset, (n, K, 2) for n poses."""
    centres = means_A @ rotations[:, :, :2]
    return centres if offsets_A is None else centres + np.asarray(offsets_A, dtype=np.float64)[:, None, :]


def rotate(mixture: Mixture, rotation: np.ndarray) -> Mixture:
    """Every mean mu becomes ``rotation @ mu``. Poses G of its images become ``rotation @ G``."""
    return replace(mixture, means_A=mixture.means_A @ np.asarray(rotation, dtype=np.float64).T)


def translate(mixture: Mixture, by_A: np.ndarray) -> Mixture:
    """Every mean moves by ``by_A``, x, y(, z)."""
    return replace(mixture, means_A=mixture.means_A + np.asarray(by_A, dtype=np.float64))


def mirror(mixture: Mixture) -> Mixture:
    """The other hand: the last coordinate changes its sign.

    With F = diag(1, 1, -1), poses G of the images of a 3D mixture become ``F G F`` and give the same images.
    """
    signs = np.ones(mixture.dimension)
    signs[-1] = -1.0
    return replace(mixture, means_A=mixture.means_A * signs)


def symmetrise(mixture: Mixture, matrices: np.ndarray) -> Mixture:
    """All copies of an asymmetric unit: component g K + k is ``S_g mu_k`` with weight w_k / g_n; matrices (g_n, 3, 3).

    The group comes from :func:`vitreous.rotations.symmetry_matrices`.
    """
    require_dimension(mixture, 3)
    matrices = np.asarray(matrices, dtype=np.float64)
    means = np.einsum("gab,kb->gka", matrices, mixture.means_A).reshape(-1, 3)
    return replace(mixture, means_A=means, weights=np.tile(mixture.weights / len(matrices), len(matrices)))


def log_density(mixture: Mixture, points_A: np.ndarray) -> np.ndarray:
    """log h at points (n, d): float64 (n,), also where h itself is too small for a floating-point number."""
    points = np.asarray(points_A, dtype=np.float64)
    s, d = mixture.precision_per_A2, mixture.dimension
    with np.errstate(divide="ignore"):
        log_amplitude = np.log(mixture.weights) + 0.5 * d * np.log(s / (2 * np.pi))
    out = np.empty(len(points))
    for part in _chunks(len(points), len(mixture) * d):
        square = ((points[part, None, :] - mixture.means_A) ** 2).sum(axis=2)
        exponent = log_amplitude - 0.5 * s * square
        top = exponent.max(axis=1)
        out[part] = top + np.log(np.exp(exponent - top[:, None]).sum(axis=1))
    return out


def sample_points(mixture: Mixture, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` independent points from the density: float64 (count, d)."""
    component = rng.choice(len(mixture), size=count, p=mixture.weights / mixture.weights.sum())
    return mixture.means_A[component] + rng.standard_normal((count, mixture.dimension)) * mixture.sigma_A


def finer(mixture: Mixture, components: int, rng: np.random.Generator) -> Mixture:
    """A mixture of as many components of equal weight at points of this one, as large as fills the same volume."""
    return replace(
        mixture,
        means_A=sample_points(mixture, components, rng),
        weights=np.full(components, 1.0 / components),
        precision_per_A2=mixture.precision_per_A2 * (components / len(mixture)) ** (2.0 / 3.0),
    )


def require_dimension(mixture: Mixture, dimension: int) -> None:
    """Refuse a mixture of the other dimension with a ValueError."""
    if mixture.dimension != dimension:
        raise ValueError(f"expected a {dimension}D mixture, found one in {mixture.dimension} dimensions")


def require_rotations(rotations: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) as float64, or a ValueError that says what is wrong with them."""
    found = np.asarray(rotations, dtype=np.float64)
    if found.ndim != 3 or found.shape[1:] != (3, 3):
        raise ValueError(f"rotations: expected (n, 3, 3), found shape {found.shape}")
    if not np.allclose(found @ found.swapaxes(1, 2), np.eye(3), atol=1e-4) or (np.linalg.det(found) < 0).any():
        raise ValueError("rotations: expected orthogonal matrices of determinant 1")
    return found


def _axis_factors(centres_A: np.ndarray, precision: float, length: int, pixel_size_A: float) -> np.ndarray:
    """exp(-s/2 (x_j - mu)^2) for every coordinate mu and grid point j of an axis: float32, (...) -> (..., length)."""
    grid = (np.arange(length) - centre_index(length)) * pixel_size_A
    scaled = (grid - centres_A[..., None]) * np.sqrt(0.5 * precision)
    return np.exp(-np.square(scaled, out=scaled).astype(np.float32))


def _chunks(count: int, values_each: int) -> Iterator[slice]:
    step = max(1, _CHUNK_VALUES // max(1, values_each))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))
