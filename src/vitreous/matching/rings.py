"""Rings: an image as angular harmonics on circles in Fourier space, where every in-plane rotation is a phase.

The Fourier transform X of a real image obeys X(k, theta + pi) = conj X(k, theta). Therefore the real function

    G(k, theta) = Re X(k, theta) + Im X(k, theta)

carries all of X (even harmonics: real part, odd harmonics: imaginary part), inner products agree,
``Re <X, Y> = <G_X, G_Y>``, and a rotation of the image is a shift of G along theta. Rings hold the angular
harmonics of G,

    g_q(r) = (1 / 2 pi) int G(k_r, theta) exp(-i q theta) dtheta,      q = 0 .. q_max(r),   k_r = r / window,

for ring radii r = 1 .. R and frequencies k in cycles per pixel. They follow from the pixels by one matrix product
(the Jacobi-Anger expansion, exact):

    X(k, theta) = sum_p x_p exp(-2 pi i k rho_p cos(theta - phi_p))
                = sum_q exp(i q theta) sum_p x_p (-i)^q J_q(2 pi k rho_p) exp(-i q phi_p)

A particle of radius rho has no harmonics above about 2 pi k rho, so rings near the centre are short. A sum over
independent Fourier coefficients is ``sum_r ring_weight(r) mean_theta``.

Sources: SCIENCE.md section 12; the expansion is Abramowitz and Stegun 9.1.44.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.special import jv

__all__ = ["RingBasis", "from_angles", "to_angles"]


@dataclass(frozen=True, kw_only=True)
class RingBasis:
    """Geometry of the rings of one data set.

    box_px: side of the images; radius_px: radius of the soft particle mask; edge_px: width of its cosine edge;
    rings: number of rings R; window_px: rings are 1 / window_px cycles per pixel apart.
    """

    box_px: int
    radius_px: float
    rings: int
    edge_px: float = 3.0

    def __post_init__(self) -> None:
        if not 1 <= self.rings <= self.max_rings:
            raise ValueError(f"rings: expected 1 to {self.max_rings} for a box of {self.box_px} px, found {self.rings}")

    @property
    def window_px(self) -> float:
        """Distance of the rings is 1 / window_px: the box, or less where the mask is much smaller than the box."""
        return min(float(self.box_px), 2 * self.radius_px * 8 / 7)

    @property
    def max_rings(self) -> int:
        """Rings up to just below the Nyquist frequency."""
        return int(np.floor((self.box_px / 2 - 1) / self.box_px * self.window_px))

    @cached_property
    def q_max(self) -> np.ndarray:
        """Highest harmonic of each ring, (R,): 2 pi k rho and three more."""
        r = np.arange(1, self.rings + 1)
        return np.floor(2 * np.pi * r * self.radius_px / self.window_px + 3).astype(int)

    @property
    def harmonics(self) -> int:
        """Number of harmonics of the outermost ring, Q = q_max(R) + 1."""
        return int(self.q_max[-1]) + 1

    def truncated(self, rings: int) -> "RingBasis":
        """The same geometry with fewer rings."""
        return RingBasis(box_px=self.box_px, radius_px=self.radius_px, rings=rings, edge_px=self.edge_px)

    @cached_property
    def k_per_px(self) -> np.ndarray:
        """Ring frequencies in cycles per pixel, (R,)."""
        return np.arange(1, self.rings + 1) / self.window_px

    @cached_property
    def used(self) -> torch.Tensor:
        """Which (ring, harmonic) pairs exist, (R, Q) bool."""
        return torch.from_numpy(np.arange(self.harmonics)[None, :] <= self.q_max[:, None])

    @cached_property
    def multiplicity(self) -> torch.Tensor:
        """(Q,) 1 for q = 0, else 2: G is real, so harmonics -q and q count together."""
        m = torch.full((self.harmonics,), 2.0)
        m[0] = 1.0
        return m

    @cached_property
    def ring_weight(self) -> torch.Tensor:
        """(R,) number of independent Fourier coefficients of a masked image in each ring.

        The area of the ring in Fourier pixels of the box, times the share of the box that the mask lets through:
        neighbouring coefficients of a masked image are correlated, and ``|X|^2 / sigma^2`` summed over all of them
        would count every degree of freedom box^2 / mask_power times.
        """
        area = 2 * np.pi * np.arange(1, self.rings + 1) * (self.box_px / self.window_px) ** 2
        return torch.from_numpy(area * self.mask_power / self.box_px**2).float()

    @cached_property
    def packed_size(self) -> int:
        """Real numbers per image in the packed form: real and imaginary parts of the used pairs."""
        return 2 * int(self.used.sum())

    @cached_property
    def mask(self) -> np.ndarray:
        """(L, L) soft disc: 1 inside, cosine edge of edge_px that ends at radius_px."""
        c = self.box_px // 2
        y, x = np.indices((self.box_px, self.box_px)) - c
        t = np.clip((np.hypot(x, y) - self.radius_px + self.edge_px) / self.edge_px, 0, 1)
        return 0.5 * (1 + np.cos(np.pi * t))

    @cached_property
    def mask_power(self) -> float:
        """Sum of the squared mask: white noise of variance v has Fourier power v * mask_power after masking."""
        return float((self.mask**2).sum())

    @cached_property
    def _analysis(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(pixels inside the mask,) flat indices and (pixels, packed_size) matrix of the module docstring."""
        c = self.box_px // 2
        inside = np.flatnonzero(self.mask.ravel() > 0)
        y, x = inside // self.box_px - c, inside % self.box_px - c
        rho, phi, weight = np.hypot(x, y), np.arctan2(y, x), self.mask.ravel()[inside]
        # Many pixels share a radius: the Bessel functions are evaluated once per distinct radius.
        radii, which = np.unique(rho, return_inverse=True)
        used = self.used.numpy()
        slot = np.cumsum(used.ravel()).reshape(used.shape) - 1
        half = self.packed_size // 2
        matrix = np.empty((len(inside), self.packed_size), np.float32)
        for q in range(self.harmonics):
            rings = np.flatnonzero(used[:, q])
            bessel = jv(q, 2 * np.pi * radii[:, None] * self.k_per_px[rings])[which] * weight[:, None]
            sign = (1, -1, -1, 1)[q % 4]  # of (-i)^q: its real part for even q, its imaginary part for odd q
            columns = slot[rings, q]
            matrix[:, columns] = sign * bessel * np.cos(q * phi)[:, None]
            matrix[:, half + columns] = -sign * bessel * np.sin(q * phi)[:, None]
        return torch.from_numpy(inside), torch.from_numpy(matrix)

    def expand(self, images: torch.Tensor) -> torch.Tensor:
        """Masked images (n, L, L) -> packed ring harmonics (n, packed_size) float32, by one matrix product."""
        if images.shape[-2:] != (self.box_px, self.box_px):
            raise ValueError(f"images: expected (n, {self.box_px}, {self.box_px}), found {tuple(images.shape)}")
        inside, matrix = self._analysis
        flat = images.reshape(len(images), -1)
        return flat[:, inside.to(images.device)] @ matrix.to(device=images.device, dtype=images.dtype)

    def pack(self, harmonics: torch.Tensor) -> torch.Tensor:
        """Complex (n, R, Q) -> packed (n, packed_size)."""
        chosen = harmonics[:, self.used.to(harmonics.device)]
        return torch.cat([chosen.real, chosen.imag], 1)

    def synthesise(self, harmonics: torch.Tensor) -> torch.Tensor:
        """Masked images (n, L, L) of ring harmonics (n, R, Q): the inverse transform by quadrature over the rings.

        Frequencies below the first ring (the mean) and beyond the last are absent.
        """
        inside, matrix = self._analysis
        area = 2 * np.pi * np.arange(1, self.rings + 1) / self.window_px**2
        weight = torch.from_numpy(area).float()[:, None] * self.multiplicity
        flat = self.pack(harmonics.cpu() * weight) @ matrix.T
        out = torch.zeros(len(flat), self.box_px**2)
        out[:, inside] = flat
        return out.reshape(len(flat), self.box_px, self.box_px).to(harmonics.device)

    def unpack(self, packed: torch.Tensor, rings: int | None = None) -> torch.Tensor:
        """Packed (n, packed_size) -> complex (n, rings, harmonics of those rings), zero where not used."""
        rings = self.rings if rings is None else rings
        used = self.used[:rings].to(packed.device)
        harmonics = int(self.q_max[rings - 1]) + 1
        half, kept = packed.shape[1] // 2, int(used.sum())
        out = torch.zeros(
            len(packed), rings * harmonics, dtype=torch.complex(packed[:0], packed[:0]).dtype, device=packed.device
        )
        out[:, used[:, :harmonics].reshape(-1).nonzero().ravel()] = torch.complex(
            packed[:, :kept].contiguous(), packed[:, half : half + kept].contiguous()
        )
        return out.reshape(len(packed), rings, harmonics)


def to_angles(harmonics: torch.Tensor, n_angles: int) -> torch.Tensor:
    """Ring harmonics (..., Q) -> the complex transform X on n_angles equidistant angles, (..., n_angles).

    Even harmonics are the real part, odd harmonics the imaginary part (module docstring).
    """
    parity = torch.arange(harmonics.shape[-1], device=harmonics.device) % 2
    real = torch.fft.irfft(harmonics * (1 - parity), n=n_angles, norm="forward")
    imag = torch.fft.irfft(harmonics * parity, n=n_angles, norm="forward")
    return torch.complex(real, imag)


def from_angles(values: torch.Tensor, harmonics: int) -> torch.Tensor:
    """Inverse of :func:`to_angles`: complex X (..., n_angles) -> ring harmonics (..., harmonics)."""
    return torch.fft.rfft(values.real + values.imag, norm="forward")[..., :harmonics]
