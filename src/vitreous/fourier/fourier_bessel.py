"""A steerable basis on the disc: Fourier-Bessel functions, in which a rotation is a phase and a mirror a conjugate.

On a disc of radius R pixels, with lambda_qk the k-th positive zero of the Bessel function J_q,

    psi_kq(r, phi) = N_kq J_q(lambda_qk r / R) exp(i q phi),      N_kq = 1 / (sqrt(pi) R |J_{q+1}(lambda_qk)|)

are orthonormal, vanish at the edge, and oscillate at lambda_qk / (2 pi R) cycles per pixel. An image is real, so the
coefficients of -q are the conjugates of those of q and only q >= 0 is kept:

    image = sum_m multiplicity_m Re( a_m psi_m ),      <a, b> = sum_m multiplicity_m Re( conj(a_m) b_m ),

multiplicity 1 for q = 0 (whose coefficients are real) and 2 otherwise. White noise of variance s^2 in the pixels
gives E|a_m|^2 = s^2 for every coefficient (for q > 0 half of it in each part).

The pixel lattice is symmetric in x and in y. R_kq(r) cos(q phi) is even in y and has the parity of q in x,
R_kq(r) sin(q phi) is odd in y and has the other parity in x. So an image folded into its four parity parts (a quarter
of the pixels each) meets four small real matrices, each with half of the real columns at most: a quarter of the
arithmetic of the plain product.

In Fourier space psi_kq becomes ``(-i)^q exp(i q theta) Psi_kq(xi)`` with the Hankel transform

    Psi_kq(xi) = 2 sqrt(pi) R lambda sgn(J_{q+1}(lambda)) J_q(x) / (lambda^2 - x^2),     x = 2 pi R xi,

and a filter C(xi), such as an isotropic CTF, acts on every q by a small symmetric matrix (:func:`radial_blocks`).

Sources: SCIENCE.md section 6; Zhao, Singer, J. Struct. Biol. 186, 153 (2014); the integral is Abramowitz and Stegun
11.3.29.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from scipy.special import jn_zeros, jv

__all__ = ["FourierBessel", "mirror_coefficients", "radial_blocks", "rotate_coefficients"]

_MOST_BYTES = 2**31  # of the four matrices in single precision
_CHUNK = 512  # images per product: the matrices stay in the cache, the temporaries small
_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}  # of the residual of a least-squares expansion
_MOST_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class FourierBessel:
    """Fourier-Bessel functions with frequencies in ``[lowest_per_px, cutoff_per_px)`` on a disc about pixel n // 2.

    box_px: side n of the images; radius_px: R, by default n // 2 and at most (n + 1) // 2, so that every pixel of the
    disc has its mirror images in the box; frequencies in cycles per pixel.

    The matrices are made at the first product and kept: about ``6.2 R^4`` bytes at the Nyquist cutoff in single
    precision (8 MB for R = 32, 125 MB for R = 64), twice that once images are float64. Raises ValueError for a radius
    or cutoff out of range and where they would exceed 2 GiB (R = 136): reduce the images or the cutoff then.
    """

    box_px: int
    radius_px: float | None = None
    cutoff_per_px: float = 0.5
    lowest_per_px: float = 0.0

    def __post_init__(self) -> None:
        radius = float(self.box_px // 2) if self.radius_px is None else float(self.radius_px)
        object.__setattr__(self, "radius_px", radius)
        if not 1.0 < radius <= (self.box_px + 1) // 2:
            raise ValueError(
                f"radius_px: a disc in a box of {self.box_px} px has a radius above 1 and at most "
                f"{(self.box_px + 1) // 2} px, found {radius:g}"
            )
        if not 0.0 <= self.lowest_per_px < self.cutoff_per_px <= 0.5:
            raise ValueError(
                "cutoff: expected 0 <= lowest_per_px < cutoff_per_px <= 0.5 cycles per pixel, "
                f"found {self.lowest_per_px:g} and {self.cutoff_per_px:g}"
            )
        if sum(len(z) for z in self._zeros) == 0:
            raise ValueError(f"no function on a disc of radius {radius:g} px has a frequency in the band asked for")
        needed = 2 * len(self._quadrants[0]) * 4 * self.size
        if needed > _MOST_BYTES:
            raise ValueError(
                f"a basis of {self.size} functions on a disc of radius {radius:g} px needs {needed / 2**30:.1f} GiB "
                f"of matrices, more than {_MOST_BYTES / 2**30:g}: reduce the images or the cutoff"
            )

    @cached_property
    def _radius(self) -> float:
        assert self.radius_px is not None
        return self.radius_px

    @cached_property
    def _zeros(self) -> list[np.ndarray]:
        """Zeros lambda_qk of the functions in the band, for q = 0 .. Q."""
        low, high = 2 * np.pi * self._radius * self.lowest_per_px, 2 * np.pi * self._radius * self.cutoff_per_px
        return [zeros[zeros >= low] for zeros in _bessel_zeros(high)]

    @cached_property
    def _lambda(self) -> np.ndarray:
        return np.concatenate(self._zeros)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.repeat(np.arange(len(self._zeros)), [len(z) for z in self._zeros])

    @cached_property
    def orders(self) -> torch.Tensor:
        """Angular order q of every function, int64 (M,), ascending; within an order the frequency ascends."""
        return torch.from_numpy(self._order)

    @cached_property
    def frequencies(self) -> torch.Tensor:
        """Radial frequency of every function in cycles per pixel, float64 (M,)."""
        return torch.from_numpy(self._lambda / (2 * np.pi * self._radius))

    @cached_property
    def blocks(self) -> tuple[slice, ...]:
        """Where the functions of q = 0 .. Q are, one slice per order."""
        ends = np.cumsum([0, *(len(z) for z in self._zeros)]).tolist()
        return tuple(slice(a, b) for a, b in pairwise(ends))

    @cached_property
    def multiplicity(self) -> torch.Tensor:
        """1 for q = 0, 2 for q > 0, float32 (M,): a coefficient stands for -q too."""
        return torch.where(self.orders == 0, 1.0, 2.0)

    @property
    def size(self) -> int:
        """Number of functions M with q >= 0."""
        return len(self._lambda)

    @cached_property
    def radial_nodes(self) -> torch.Tensor:
        """Gauss-Legendre nodes on 0 .. 0.5 cycles per pixel, float64 (nodes,): sample a radial filter here."""
        return torch.from_numpy(self._quadrature[0])

    @cached_property
    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and weights: enough for two radial functions and a filter that spreads by a diameter."""
        x, w = np.polynomial.legendre.leggauss(4 * int(np.ceil(self._radius)) + 32)
        return 0.25 * (x + 1), 0.25 * w

    def evaluate(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Images of coefficients: complex (n, M) -> real (n, L, L), zero outside the disc."""
        if coefficients.ndim != 2 or coefficients.shape[1] != self.size:
            raise ValueError(f"coefficients: expected (n, {self.size}), found {tuple(coefficients.shape)}")
        if len(coefficients) > _CHUNK:
            return torch.cat([self.evaluate(part) for part in coefficients.split(_CHUNK)])
        device, dtype = coefficients.device, coefficients.real.dtype
        weighted = torch.view_as_real(coefficients) * self.multiplicity.to(device, dtype)[:, None]
        ee, oe, eo, oo = (
            (weighted[:, columns, part] * sign) @ matrix.T
            for columns, part, sign, matrix in self._parity_classes(device, dtype)
        )
        a, b, c, d = ee + eo, oe + oo, ee - eo, oe - oo
        images = torch.zeros(len(coefficients), self.box_px**2, dtype=dtype, device=device)
        for pixels, value in zip(self._quadrants.to(device), (a + b, a - b, c + d, c - d), strict=True):
            images[:, pixels] = value
        return images.reshape(-1, self.box_px, self.box_px)

    def project(self, images: torch.Tensor) -> torch.Tensor:
        """Inner products of images with the functions, the adjoint of :meth:`evaluate`: (n, L, L) -> complex (n, M).

        float64 images give complex128, all others complex64. Pixels outside the disc do not matter.
        """
        if images.ndim != 3 or images.shape[1:] != (self.box_px, self.box_px):
            raise ValueError(f"images: expected (n, {self.box_px}, {self.box_px}), found {tuple(images.shape)}")
        if len(images) > _CHUNK:
            return torch.cat([self.project(part) for part in images.split(_CHUNK)])
        dtype = images.dtype if images.dtype == torch.float64 else torch.float32
        flat = images.to(dtype).reshape(len(images), -1)
        pp, mp, pm, mm = (flat[:, pixels] for pixels in self._quadrants.to(images.device))
        share = self._share.to(images.device, dtype)
        a, b, c, d = (pp + mp) * share, (pp - mp) * share, (pm + mm) * share, (pm - mm) * share
        out = torch.zeros(len(flat), self.size, 2, dtype=dtype, device=images.device)
        classes = self._parity_classes(images.device, dtype)
        for folded, (columns, part, sign, matrix) in zip((a + c, b + d, a - c, b - d), classes, strict=True):
            out[:, columns, part] = sign * (folded @ matrix)
        return torch.view_as_complex(out)

    def expand(self, images: torch.Tensor) -> torch.Tensor:
        """Coefficients of the least-squares fit to images inside the disc: (n, L, L) -> complex (n, M).

        Conjugate gradients on project(evaluate(.)) until every residual is below 1e-5 of its right-hand side (1e-10
        for float64 images). Raises RuntimeError where 100 steps do not reach that.
        """
        residual = self.project(images)
        weight = self.multiplicity.to(images.device, residual.real.dtype)
        target = _TOLERANCE[weight.dtype] ** 2 * _square_norm(residual, weight)
        solution, direction = torch.zeros_like(residual), residual.clone()
        square = _square_norm(residual, weight)
        for _ in range(_MOST_STEPS):
            if bool((square <= target).all()):
                return solution
            image = self.evaluate(direction)
            step = square / image.square().sum((1, 2)).clamp(min=torch.finfo(weight.dtype).tiny)
            solution += step[:, None] * direction
            residual = residual - step[:, None] * self.project(image)
            before, square = square, _square_norm(residual, weight)
            direction = residual + (square / before.clamp(min=torch.finfo(weight.dtype).tiny))[:, None] * direction
        raise RuntimeError(f"the expansion did not converge in {_MOST_STEPS} steps: are there NaN pixels?")

    @cached_property
    def _lattice(self) -> tuple[np.ndarray, np.ndarray]:
        """x >= 0 and y >= 0 of the pixels of a quarter of the disc, (p,) each."""
        axis = np.arange(int(np.ceil(self._radius)))
        y, x = (part.ravel() for part in np.meshgrid(axis, axis, indexing="ij"))
        inside = x**2 + y**2 < self._radius**2
        return x[inside], y[inside]

    @cached_property
    def _quadrants(self) -> torch.Tensor:
        """Flat pixel indices (4, p) of (x, y), (-x, y), (x, -y), (-x, -y)."""
        (x, y), c, n = self._lattice, self.box_px // 2, self.box_px
        return torch.from_numpy(np.stack([(c + v) * n + c + u for v in (y, -y) for u in (x, -x)]))

    @cached_property
    def _share(self) -> torch.Tensor:
        """(p,) 1, or 1/2 for each axis that the pixel is on: it is its own mirror image and must count once."""
        x, y = self._lattice
        return torch.from_numpy(np.where(x == 0, 0.5, 1.0) * np.where(y == 0, 0.5, 1.0))

    def _parity_classes(
        self, device: torch.device, dtype: torch.dtype
    ) -> list[tuple[torch.Tensor, int, float, torch.Tensor]]:
        """(columns, part, sign, matrix (p, columns)) for parity even-even, odd-even, even-odd, odd-odd in (x, y).

        A product with the matrix gives ``sign`` times the real (part 0) or imaginary (1) part of the coefficients.
        """
        matrices = self._double if dtype == torch.float64 else self._single
        even, odd, even_above_0 = (
            torch.from_numpy(np.flatnonzero(which)).to(device)
            for which in (self._order % 2 == 0, self._order % 2 == 1, (self._order % 2 == 0) & (self._order > 0))
        )
        kinds = ((even, 0, 1.0), (odd, 0, 1.0), (odd, 1, -1.0), (even_above_0, 1, -1.0))
        return [(*kind, matrix.to(device)) for kind, matrix in zip(kinds, matrices, strict=True)]

    @cached_property
    def _single(self) -> list[torch.Tensor]:
        return self._matrices(np.float32)

    @cached_property
    def _double(self) -> list[torch.Tensor]:
        return self._matrices(np.float64)

    def _matrices(self, dtype: type) -> list[torch.Tensor]:
        """R_kq cos(q phi) for even and odd q, R_kq sin(q phi) for odd q and even q > 0."""
        x, y = self._lattice
        # Many pixels share a radius, and Bessel functions are expensive: interpolated once per distinct radius.
        squares, which = np.unique(x**2 + y**2, return_inverse=True)
        nodes, to_radii = _interpolation(self._lambda.max(), np.sqrt(squares) / self._radius)
        phi = np.arctan2(y, x)
        columns: list[list[np.ndarray]] = [[], [], [], []]
        for q, zeros in enumerate(self._zeros):
            norm = 1.0 / (np.sqrt(np.pi) * self._radius * np.abs(jv(q + 1, zeros)))
            radial = (to_radii[q % 2] @ (jv(q, nodes[:, None] * zeros) * norm))[which]
            columns[q % 2].append((radial * np.cos(q * phi)[:, None]).astype(dtype))
            if q > 0:
                columns[2 if q % 2 else 3].append((radial * np.sin(q * phi)[:, None]).astype(dtype))
        return [torch.from_numpy(np.concatenate(c, 1) if c else np.zeros((len(x), 0), dtype)) for c in columns]


def rotate_coefficients(
    coefficients: torch.Tensor, orders: torch.Tensor, psi_deg: torch.Tensor | float
) -> torch.Tensor:
    """Coefficients of ``X(r, theta) = A(r, theta + psi)``: ``a_q exp(i q psi)``, (n, M) -> (n, M).

    psi_deg: one angle or (n,) angles in degrees, the pose of :mod:`vitreous.conventions`. orders: (M,) of the basis.
    """
    psi = torch.deg2rad(torch.as_tensor(psi_deg, dtype=torch.float64, device=coefficients.device))
    angle = psi[..., None] * orders.to(coefficients.device)
    return coefficients * torch.polar(torch.ones_like(angle), angle).to(coefficients.dtype)


def mirror_coefficients(coefficients: torch.Tensor) -> torch.Tensor:
    """Coefficients of the image mirrored by y -> -y."""
    return coefficients.conj().resolve_conj()


def radial_blocks(basis: FourierBessel, values: torch.Tensor) -> list[torch.Tensor]:
    """Matrices of radial filters: values (G, nodes) at ``basis.radial_nodes`` -> per order q a real (G, k_q, k_q).

    ``A^q_kk' = int Psi_kq(xi) C(xi) Psi_k'q(xi) 2 pi xi dxi``: filter an image of the basis, then project it. The
    filtered image leaks out of the disc and what leaves is lost. The functions are not band-limited: beyond the Nyquist
    frequency the filter is taken to be constant, its mean over the band with weight xi^9 dxi (the outermost tenth
    or so), so that C = 1 gives the identity exactly. Symmetric; dtype of ``values``. Memory: 4 G sum
    of k_q^2 bytes in single precision.
    """
    nodes, weights = basis._quadrature
    if values.ndim != 2 or values.shape[1] != len(nodes):
        raise ValueError(f"values: expected (G, {len(nodes)}), found {tuple(values.shape)}")
    measure = torch.from_numpy(2 * np.pi * nodes * weights).to(values.device)
    rim = torch.from_numpy(weights * (2 * nodes) ** 9).to(values.device)
    beyond = (values.double() @ rim / rim.sum())[:, None]
    weighted = (values.double() - beyond) * measure
    blocks = []
    for q, zeros in enumerate(basis._zeros):
        hankel = torch.from_numpy(_hankel(q, zeros, 2 * np.pi * basis._radius * nodes, basis._radius))
        hankel = hankel.to(values.device)
        block = torch.einsum("kx,gx,lx->gkl", hankel, weighted, hankel)
        block += beyond[:, :, None] * torch.eye(len(zeros), dtype=block.dtype, device=block.device)
        blocks.append((0.5 * (block + block.mT)).to(values.dtype))
    return blocks


def _hankel(q: int, zeros: np.ndarray, x: np.ndarray, radius: float) -> np.ndarray:
    """Psi_kq at x = 2 pi R xi: (k, x). Near x = lambda a Taylor series takes the place of 0 / 0."""
    edge = jv(q + 1, zeros)[:, None]
    z = zeros[:, None]
    d = x[None, :] - z
    near = np.abs(d) < 1e-4
    # J(z + d) / d = J'(z) (1 - d / 2z + (q^2 + 2 - z^2) d^2 / 6z^2 + ...), from Bessel's equation; J'(z) = -edge.
    series = edge * (1 - d / (2 * z) + (q * q + 2 - z * z) * d * d / (6 * z * z))
    slope = np.where(near, series, -jv(q, x)[None, :] / np.where(near, 1.0, d))
    return 2 * np.sqrt(np.pi) * radius * z * np.sign(edge) * slope / (z + x)


def _interpolation(largest: float, targets: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Chebyshev nodes (m,) on 0 .. 1, and matrices (targets, m) that interpolate even and odd functions from them.

    Exact to about 1e-12 for J_q(lambda s) with lambda up to ``largest``, whose Chebyshev series ends soon after the
    degree lambda.
    """
    half = int(np.ceil(0.5 * largest + 5 * np.cbrt(largest) + 10))
    angle = np.pi * (np.arange(half) + 0.5) / (2 * half)
    matrices = []
    for parity in (0, 1):
        degree = np.arange(parity, 2 * half, 2)
        analysis = np.cos(np.outer(degree, angle)) * np.where(degree == 0, 1, 2)[:, None] / half
        matrices.append(np.cos(np.outer(np.arccos(targets), degree)) @ analysis)
    return np.cos(angle), matrices


def _bessel_zeros(largest: float) -> list[np.ndarray]:
    """Positive zeros below ``largest`` of J_0, J_1, ... until an order has none.

    The zeros of J_{q+1} lie one by one between those of J_q: brackets for a bisection.
    """
    zeros = jn_zeros(0, max(1, int(np.ceil(largest / np.pi)) + 1))
    found = [zeros[zeros < largest]]
    while len(found[-1]):
        q = len(found)
        edges = np.append(found[-1], largest)
        low, high = edges[:-1], edges[1:]
        changes = jv(q, low) * jv(q, high) < 0
        low, high = low[changes], high[changes]
        sign = np.sign(jv(q, low))
        for _ in range(20):
            middle = 0.5 * (low + high)
            left = np.sign(jv(q, middle)) == sign
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        root = 0.5 * (low + high)
        for _ in range(3):  # Newton, with J_q' = J_{q-1} - (q / x) J_q
            value = jv(q, root)
            root = root - value / (jv(q - 1, root) - q / root * value)
        found.append(root)
    return found[:-1]


def _square_norm(coefficients: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (torch.view_as_real(coefficients).square().sum(2) * weight).sum(1)
