"""The finest detail that images hold: where somebody has filtered them away, nothing may be lifted again.

Noise of a detector falls by one or two orders of magnitude from low to high frequencies. Images that were low-passed
fall by many, down to what rounding or 8 bits have left; denoised ones (median, bilateral, total-variation filters) fall
by several, and what is left at high frequencies is no Gaussian noise but the edges of plateaus. Divided by its own
power, as every likelihood does, this remainder looks like signal: our own masks and interpolations carry about a
thousandth of the power of low frequencies there, and plateaus have the edges of what was kept.

What is measured is the background of the images, beside the particles: those of a simulation without noise have a
spectrum that falls as steeply, and nothing was taken from them. In bands of frequency j (of smooth edges, so that
particles do not leak into the background), with X_j the images under a Hann window, band-passed, and the window divided
out again:

    power_j = median over images of <X_j^2> / (modes_j <X^2>),      kurtosis_j = median of <X_j^4> / <X_j^2>^2 - 3

Nothing is held from where the power first falls below 1/1000 of the highest band, or below 1/100 where the noise is not
Gaussian (kurtosis beyond 0.3; that of Gaussian noise is 0, and unfiltered sets measure below 0.15).

A median over 3 x 3 pixels leaves a hundredth and a kurtosis of 0.15, but neighbouring pixels that are equal: it gives
both the same pixel of the original. With d the difference of neighbours, noise in steps of q (0 for real numbers) has
P(d = 0) = q p(0), about P(d = q); after the median P(d = 0) is a fifth, whatever q. Images are tied where more than 7 %
of the differences are 0, and twice as many as the density of the smallest others predicts (median filters: 18 % and
2.1 times or more; plateaus after rounding: 8 %, 2.3 times; unfiltered sets, and counts of electrons, rounded once or
twice: at most 1.5 times). Pixels of an image's commonest value do not count: masks and padding are constant. From tied
images nothing is held beyond the hundredth, nor beyond three pixels, where a mean over three has its zero.

What is not seen: weak bilateral filters, weak total variation in real numbers, a Gaussian of half a pixel, a mean over
3 x 3 pixels of noise that was white, linear interpolation, a median that was binned or interpolated afterwards. Their
spectra fall no farther than those of detectors (unfiltered sets fall to 1/60), and their noise is as Gaussian (kurtosis
0.1 to 0.2).
"""

from dataclasses import dataclass

import numpy as np

from vitreous.conventions import centre_index

__all__ = ["FinestDetail", "finest_detail", "finest_held"]

_BANDS, _NARROWEST = 16, 2.0  # bands to Nyquist; Fourier pixels that one is wide at least
_INNER, _BORDER = 0.36, 0.45  # of the box: what is beyond is beside the particle; is background for certain
_LEAST_WINDOW = 0.1  # of its peak, where the window can be divided out
_FEWEST, _SMALLEST_PX = 8, 24  # images, and pixels, that say something
_LEAST_NOISE = 0.1  # of the particle's root mean square: a background with less is not noise
_FALLEN, _FALLEN_NOT_GAUSSIAN, _KURTOSIS = 1e-3, 1e-2, 0.3
_TIED, _TIED_BEYOND, _TIED_PX = 0.07, 2.0, 3.0  # share of equal neighbours; times prediction; finest
_SMALLEST_DIFFERENCES = 0.02  # of those that are not 0
_ROUNDED = 1e-4  # of the highest power: a band with less holds what filters and 8 bits have left of others
_FIRST_RING = 2  # the window spreads the mean over those before
_FROM_BAND = 4  # below, bands have too few modes for a kurtosis


@dataclass(frozen=True, kw_only=True)
class FinestDetail:
    """finest_A: nothing finer is in the images; gaussian: whether what is left of the noise is; tied: by a median."""

    finest_A: float
    gaussian: bool
    tied: bool = False

    @property
    def words(self) -> str:
        """What is said of it."""
        what = "" if self.gaussian else ", and the noise that is left is not Gaussian"
        what = ", and neighbouring pixels are equal, as a median filter leaves them" if self.tied else what
        return (
            f"the images hold nothing finer than {self.finest_A:.1f} A, as they were low-passed or denoised{what}; "
            "they are compared, and a resolution is claimed, up to there only; as they were extracted they hold more"
        )


def finest_detail(images: np.ndarray, pixel_size_A: float) -> FinestDetail | None:
    """What images (m, L, L) hold; None for images that nobody has filtered, without noise, or too few or small.

    Images that are constant or not finite must not be among them.
    """
    if len(images) < _FEWEST or images.shape[-1] < _SMALLEST_PX or not _is_noise(images):
        return None
    centre, power, kurtosis = _bands(images.astype(np.float64))
    there = (np.arange(len(power)) >= _FROM_BAND) & (power > _ROUNDED * power.max())
    tail = float(np.median(kurtosis[there])) if there.any() else 0.0
    gaussian, tied = tail < _KURTOSIS, _is_tied(images)
    share = _FALLEN if gaussian and not tied else _FALLEN_NOT_GAUSSIAN
    fallen = _fallen_at(centre, power, share)
    if tied:
        fallen = min(fallen or np.inf, images.shape[-1] / _TIED_PX)
    if fallen is None:
        return None
    rings = _rings(images)  # of whole images: where something ends they say to a ring, and bands to one of theirs
    shells = min(fallen, _fallen_at(np.arange(_FIRST_RING, len(rings)), rings[_FIRST_RING:], share) or fallen)
    return FinestDetail(finest_A=float(images.shape[-1] * pixel_size_A / shells), gaussian=gaussian, tied=tied)


def _is_tied(images: np.ndarray) -> bool:
    """Whether neighbours in the background are equal more often than noise of any detector, and steps, leave them."""
    shares, beyond = zip(*(_ties(image) for image in images), strict=True)
    return bool(np.median(shares) > _TIED and np.median(beyond) > _TIED_BEYOND)


def _ties(image: np.ndarray) -> tuple[float, float]:
    """Share of neighbours along x, beside the particle, that are equal; in units of what their differences predict."""
    values, count = np.unique(image, return_counts=True)
    common = image == values[count.argmax()]
    beside = (_radius(len(image)) > _INNER)[:, 1:] & ~(common[:, 1:] & common[:, :-1])
    away = np.abs(np.diff(image, axis=1))[beside]
    unequal = np.sort(away[away > 0])
    if len(unequal) == 0:
        return 0.0, 0.0
    step = unequal[int(_SMALLEST_DIFFERENCES * len(unequal))]  # that of the values, where they have one
    near, nearest = (np.searchsorted(unequal, width * step, side="right") for width in (2.1, 1.1))
    return float((away == 0).mean()), float((away == 0).sum() / max(near / 4, nearest / 2))


def _fallen_at(k: np.ndarray, power: np.ndarray, share: float) -> float | None:
    """Where a curve has fallen below a share of its highest value, on a logarithmic scale; None where it never does."""
    with np.errstate(divide="ignore"):
        above = np.log(power / power.max()) - np.log(share)
    beyond = np.flatnonzero((above < 0) & (np.arange(len(above)) > power.argmax()))
    if len(beyond) == 0:
        return None
    last, first = beyond[0] - 1, beyond[0]
    way = 0.0 if np.isinf(above[first]) else above[last] / (above[last] - above[first])
    return float(k[last] + way * (k[first] - k[last]))


def _is_noise(images: np.ndarray) -> bool:
    """Whether the background varies; that of particles which were simulated without noise hardly does."""
    radius = _radius(images.shape[-1])
    outside, core = images[:, radius > _BORDER], images[:, radius < 0.25]
    level = np.median(outside, axis=1)
    inside = np.sqrt(np.square(core - level[:, None]).mean(axis=1))
    return bool(np.median(outside.std(axis=1)) > _LEAST_NOISE * np.median(inside))


def _windowed(images: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transforms of the images less ``level`` under a Hann window, and the window."""
    n = images.shape[-1]
    window = np.cos(np.pi * (np.arange(n) - centre_index(n)) / (n + 1)) ** 2
    window = window[:, None] * window
    return np.fft.rfft2((images - level[:, None, None]) * window), window


def _rings(images: np.ndarray) -> np.ndarray:
    """Power of the images by Fourier pixel of radius, (n // 2 + 1,), each image counting as much as another."""
    n = images.shape[-1]
    ft, _ = _windowed(images.astype(np.float64), images.mean(axis=(1, 2), dtype=np.float64))
    power = np.square(np.abs(ft))
    power = (power / power.sum(axis=(1, 2), keepdims=True)).mean(axis=0)
    ring = np.rint(np.hypot(np.fft.fftfreq(n, 1 / n)[:, None], np.arange(n // 2 + 1))).astype(int).ravel()
    return (np.bincount(ring, power.ravel()) / np.bincount(ring))[: n // 2 + 1]


def _bands(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres of the bands in Fourier pixels, power per mode in units of each image's background, excess kurtosis."""
    n = images.shape[-1]
    radius = _radius(n)
    border = images[:, radius > _BORDER]
    level = np.median(border, axis=1)
    size = np.square(border - level[:, None]).mean(axis=1)
    used = size > 0
    ft, window = _windowed(images[used], level[used])
    beside = (radius > _INNER) & (window > _LEAST_WINDOW)
    k = np.hypot(np.fft.fftfreq(n, 1 / n)[:, None], np.arange(n // 2 + 1))
    modes = np.where((np.arange(n // 2 + 1) == 0) | (2 * np.arange(n // 2 + 1) == n), 1, 2)
    count = max(1, min(_BANDS, int(n / 2 / _NARROWEST)))
    width = n / 2 / count
    centres = (np.arange(count) + 0.5) * width
    power, kurtosis = np.empty(count), np.empty(count)
    for j, centre in enumerate(centres):
        band = np.sin(0.5 * np.pi * np.clip(1 - np.abs(k - centre) / width, 0, 1))
        values = np.fft.irfft2(ft * band, s=(n, n))[:, beside] / window[beside]
        square = np.square(values).mean(axis=1)
        power[j] = np.median(square / size[used]) / ((band**2 * modes).sum() / n**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            kurtosis[j] = np.nanmedian(np.where(square > 0, np.square(values**2).mean(axis=1) / square**2 - 3, 0.0))
    return centres, power, kurtosis


def _radius(n: int) -> np.ndarray:
    """Distance from the centre in boxes, (n, n)."""
    axis = (np.arange(n) - centre_index(n)) / n
    return np.hypot(axis[:, None], axis)


def finest_held(particles: object) -> float | None:
    """``finest_A`` of a set that has been judged; None for one that was made in memory, where nobody has."""
    return getattr(particles, "finest_A", None)
