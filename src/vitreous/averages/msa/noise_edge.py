"""How large the eigenvalues of pure noise are: the edge of Marchenko and Pastur, for noise of any spectrum.

The covariance of m images of noise with p pixels has eigenvalues up to ``(1 + sqrt(p / m))^2`` times the variance of
the noise although all directions are alike (Marchenko and Pastur 1967). What exceeds that edge varies by more than
noise. Noise that has been turned, filtered, or recorded with a spectrum has a covariance with eigenvalues
("population") of its own. For those the largest sample eigenvalue is about ``mu + sigma m^(-2/3) T``, with T of the law
of Tracy and Widom, and

    mean_h (h c / (1 - h c))^2 = m / p,    0 < c < 1 / max h
    mu = 1/c (1 + p/m mean_h h c / (1 - h c)),    sigma^3 = 1/c^3 (1 + p/m mean_h (h c / (1 - h c))^3)

with means over the population h (El Karoui, Ann. Probab. 35, 663 (2007), Theorem 1). For equal h this is the edge above
with the scaling of Johnstone (Ann. Statist. 29, 295 (2001)).

A factor with population variance l in white noise of variance s2 shows as a sample eigenvalue
``l (1 + g s2 / (l - s2))``, g = p / m, and its eigenvector has the squared cosine
``(1 - g s2^2 / (l - s2)^2) / (1 + g s2 / (l - s2))`` with the true one (Paul, Statist. Sinica 17, 1617 (2007)).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

__all__ = [
    "NoiseEdge",
    "Significant",
    "noise_along",
    "noise_edge",
    "shell_power",
    "significant_factors",
    "split_variance",
]

_TRACY_WIDOM_99_9 = 3.272  # that quantile of the law for real matrices: one set of noise in a thousand has a factor


@dataclass(frozen=True, kw_only=True)
class NoiseEdge:
    """edge: mu; limit: what one set of noise in a thousand exceeds."""

    edge: float
    limit: float


def noise_edge(population: np.ndarray, images: int, pixels: int) -> NoiseEdge:
    """The largest eigenvalue of the covariance of ``images`` images of noise with ``pixels`` pixels.

    population: (h,) eigenvalues of the true covariance, or a sample of them; not all zero.
    """
    top = float(population.max())
    h = population / top
    ratio = images / pixels

    def excess(c: float) -> float:
        return float(((h * c / (1 - h * c)) ** 2).mean()) - ratio

    upper = 0.999
    while excess(upper) < 0:  # it grows without bounds towards 1, where the largest h is
        upper = 1 - (1 - upper) / 10
    c = float(brentq(excess, 0.0, upper, xtol=1e-15))
    u = h * c / (1 - h * c)
    mu = (1 + u.mean() / ratio) / c
    sigma = (1 + (u**3).mean() / ratio) ** (1 / 3) / c
    return NoiseEdge(edge=float(top * mu), limit=float(top * (mu + sigma * images ** (-2 / 3) * _TRACY_WIDOM_99_9)))


@dataclass(frozen=True, kw_only=True)
class Significant:
    """count: factors above the limit; noise: the edge for what they leave; spectrum: of that, by Fourier shell."""

    count: int
    noise: NoiseEdge
    spectrum: np.ndarray


def significant_factors(
    eigenvalues: np.ndarray,
    vectors: np.ndarray,
    spectrum: np.ndarray,
    mask: np.ndarray,
    images: int,
    weight: np.ndarray | None = None,
) -> Significant:
    """How many of the first eigenvalues (k,), in falling order, noise does not explain.

    vectors: (p, k) their eigenvectors, pixels within the mask (L, L); spectrum: of all images by Fourier shell
    (:func:`shell_power`); weight: (p,) what the variance of noise is multiplied by in every pixel, None: 1 everywhere.

    Noise that is alike everywhere has the values of its spectrum for the eigenvalues of its covariance (the theorem of
    Szegö), and the spectrum of the images without the factors that are significant is that of the noise, and of signal
    that is too weak to be seen. So the images say themselves what their noise is; the number is rather too small.
    """
    shells, pixels = _shells(len(mask)), len(vectors)
    own = shell_power(vectors.T, mask) * pixels  # of a factor with variance 1
    count = 0
    while True:
        left = (
            (spectrum - (eigenvalues[:count, None] * own[:count]).sum(0) / pixels).clip(0) * pixels / (pixels - count)
        )
        found = noise_edge(_spread(left[shells].ravel(), weight), images, pixels) if left.any() else _NONE
        above = int(np.cumprod(eigenvalues > found.limit).sum())
        if above <= count:
            return Significant(count=count, noise=found, spectrum=left)
        count = above


_NONE = NoiseEdge(edge=0.0, limit=np.inf)
_QUANTILES = 16  # of the weights of pixels, that a population is made of


def _spread(population: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The population times the weights: these hardly follow the spectrum, so any pair is as likely."""
    if weight is None:
        return population
    at = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return np.outer(population, np.quantile(weight / weight.mean(), at)).ravel()


def shell_power(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Power of rows (b, p), pixels within the mask (L, L), by Fourier shell, to the corners of the plane: (b, s).

    White noise of variance 1 has the power 1, whatever the mask.
    """
    n = len(mask)
    full = np.zeros((len(rows), n * n), np.float32)
    full[:, mask.ravel()] = rows
    half = np.abs(np.fft.rfft2(full.reshape(-1, n, n))) ** 2
    twice = np.full(n // 2 + 1, 2.0)  # of the half plane that is kept, all but the edges stand for two
    twice[0] = 1.0
    twice[-1] = 2.0 if n % 2 else 1.0
    shells = _shells(n)
    order = np.argsort(shells[:, : n // 2 + 1], axis=None, kind="stable")
    sorted_power = (half * twice).reshape(len(rows), -1)[:, order]
    first = np.searchsorted(shells[:, : n // 2 + 1].ravel()[order], np.arange(shells.max() + 1))
    found: np.ndarray = np.add.reduceat(sorted_power, first, axis=1) / (np.bincount(shells.ravel()) * mask.sum())
    return found


def noise_along(vectors: np.ndarray, spectrum: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Variance (k,) of noise with a spectrum by Fourier shell along unit vectors (p, k)."""
    count = np.bincount(_shells(len(mask)).ravel())
    found: np.ndarray = shell_power(vectors.T, mask) @ (spectrum * count) * mask.sum() / mask.size
    return found


def _shells(n: int) -> np.ndarray:
    """Fourier shell (n, n) of every coefficient."""
    axis = np.fft.fftfreq(n) * n
    found: np.ndarray = np.round(np.hypot(axis[:, None], axis[None, :])).astype(int)
    return found


def split_variance(eigenvalues: np.ndarray, noise: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """(variance of the signal, variance of noise) in the coordinates on factors with these eigenvalues (k,).

    noise: (k,) variance of noise along the factors; ratio: pixels over images. Where an eigenvalue is within the noise,
    the signal is 0.
    """
    half = eigenvalues + noise - ratio * noise
    root = half**2 - 4 * eigenvalues * noise
    true = np.where((root > 0) & (half > 0), (half + np.sqrt(np.clip(root, 0, None))) / 2, noise)
    spike = np.clip(true - noise, 1e-9 * noise, None)
    cosine = np.clip(1 - ratio * (noise / spike) ** 2, 0, None) / (1 + ratio * noise / spike)
    signal = cosine * spike
    return signal, np.clip(eigenvalues - signal, 1e-300, None)
