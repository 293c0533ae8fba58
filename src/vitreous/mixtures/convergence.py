"""What a chain has learnt: how many independent samples its correlated ones are worth, and whether it still drifts."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = [
    "FEWEST_SAMPLES",
    "TraceSummary",
    "effective_sample_size",
    "split_r_hat",
    "summarise_trace",
    "worst_verdict",
]

FEWEST_SAMPLES = 8  # samples that anything can be said about
_DRIFTS_ABOVE = 1.1  # R-hat: the halves of the trace differ by about two thirds of its own standard deviation
_WORST_FIRST = ("still drifts", "few independent samples", "settled", "does not move")
_ENOUGH = 20.0  # effective samples, which leave 22% of a standard deviation as the error of the mean


@dataclass(frozen=True, kw_only=True)
class TraceSummary:
    """One scalar of a chain. ``ess`` and ``r_hat`` are NaN where the scalar never moves."""

    samples: int
    mean: float
    sd: float
    ess: float
    autocorrelation_time: float  # in samples: this many of them are worth one independent sample
    r_hat: float

    @property
    def drifts(self) -> bool:
        """Whether the two halves of the trace disagree."""
        return self.r_hat > _DRIFTS_ABOVE

    @property
    def verdict(self) -> str:
        """In words: "does not move", "still drifts", "few independent samples" or "settled"."""
        if not np.isfinite(self.ess):
            return "does not move"
        if self.drifts:
            return "still drifts"
        return "settled" if self.ess >= _ENOUGH else "few independent samples"


def summarise_trace(trace: np.ndarray) -> TraceSummary:
    """Summary of the samples (n,) of one scalar; ValueError as :func:`effective_sample_size`."""
    x = _checked(trace)
    if x.ndim != 1:
        raise ValueError(f"trace: expected the samples of one scalar (n,), found shape {x.shape}")
    ess = float(effective_sample_size(x))
    return TraceSummary(
        samples=len(x),
        mean=float(x.mean()),
        sd=float(x.std(ddof=1)),
        ess=ess,
        autocorrelation_time=len(x) / ess,
        r_hat=float(split_r_hat(x)),
    )


def worst_verdict(summaries: Iterable[TraceSummary]) -> str:
    """The worst verdict of several scalars of a chain; "too few samples to say" for none."""
    found = {summary.verdict for summary in summaries}
    return next((verdict for verdict in _WORST_FIRST if verdict in found), "too few samples to say")


def effective_sample_size(trace: np.ndarray) -> np.ndarray:
    """Independent samples that have the same error of the mean: float64, () for samples (n,), (m,) for (n, m).

    Geyer's initial monotone sequence (1992, section 3.3) on autocovariances by FFT: sums of neighbouring
    autocorrelations are taken until one is negative, and made to fall. Never more than n log10 n, which anticorrelated
    samples could reach; NaN for a scalar that never moves. ValueError for fewer than 8 samples and for values that are
    not finite.
    """
    x = _checked(trace)
    n = len(x)
    correlation, moves = _autocorrelation(x)
    pairs = correlation[: n - n % 2].reshape(n // 2, 2, *x.shape[1:]).sum(axis=1)
    pairs = np.where(np.logical_and.accumulate(pairs > 0, axis=0), pairs, 0.0)
    time = 2.0 * np.minimum.accumulate(pairs, axis=0).sum(axis=0) - 1.0
    return np.where(moves, n / np.maximum(time, 1.0 / np.log10(n)), np.nan)


def split_r_hat(trace: np.ndarray) -> np.ndarray:
    """R-hat of the two halves of a chain as if they were two: () for samples (n,), (m,) for (n, m) scalars.

    1 where they agree (Gelman et al. 2013, Bayesian data analysis, section 11.4). Errors, and NaN, as
    :func:`effective_sample_size`.
    """
    x = _checked(trace)
    half = len(x) // 2
    halves = np.stack([x[:half], x[-half:]])
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = np.sqrt((half - 1.0) / half + between / within)
    return np.where(np.ptp(x, axis=0) > 0, r_hat, np.nan)


def _autocorrelation(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelation at all lags, like x, and whether the scalar moves."""
    n = len(x)
    centred = x - x.mean(axis=0)
    spectrum = np.fft.rfft(centred, n=2 * n, axis=0)  # twice the length, so that the ends do not meet
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, n=2 * n, axis=0)[:n]
    moves = np.ptp(x, axis=0) > 0
    return covariance / np.where(moves, covariance[0], 1.0), moves


def _checked(trace: np.ndarray) -> np.ndarray:
    x = np.asarray(trace, dtype=np.float64)
    if x.ndim not in (1, 2) or len(x) < FEWEST_SAMPLES:
        raise ValueError(
            f"trace: expected at least {FEWEST_SAMPLES} samples (n,) or (n, scalars), found shape {x.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"trace: {np.count_nonzero(~np.isfinite(x))} of its values are NaN or infinite")
    return x
