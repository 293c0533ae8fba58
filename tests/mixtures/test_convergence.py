"""Effective sample sizes against chains whose autocorrelation is known, and the verdicts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from vitreous.mixtures import TraceSummary, effective_sample_size, split_r_hat, summarise_trace


def autoregressive(n: int, rho: float, seed: int) -> np.ndarray:
    """x_t = rho x_(t-1) + noise, from its stationary distribution of variance 1."""
    noise = np.random.default_rng(seed).standard_normal(n) * np.sqrt(1 - rho**2)
    noise[0] /= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.97])
def test_autoregressive_chains_have_their_known_time(rho):
    """tau = (1 + rho) / (1 - rho)."""
    expected = (1 + rho) / (1 - rho)
    found = summarise_trace(autoregressive(40_000, rho, seed=1))
    assert found.autocorrelation_time == pytest.approx(expected, rel=0.12)
    assert found.ess == pytest.approx(40_000 / expected, rel=0.12)
    assert found.r_hat == pytest.approx(1.0, abs=0.02)
    assert (found.drifts, found.verdict) == (False, "settled")


def test_the_error_of_the_mean_is_what_the_effective_size_says():
    chains = np.stack([autoregressive(2000, 0.8, seed) for seed in range(300)])
    ess = effective_sample_size(chains.T)
    assert chains.mean(axis=1).std() == pytest.approx(1 / np.sqrt(np.median(ess)), rel=0.15)


def test_anticorrelated_samples_are_worth_more_but_not_without_end():
    found = float(effective_sample_size(autoregressive(10_000, -0.6, seed=2)))
    assert found == pytest.approx(10_000 * 1.6 / 0.4, rel=0.15)
    alternating = np.tile([1.0, -1.0], 50) + 1e-3 * np.random.default_rng(0).standard_normal(100)
    assert float(effective_sample_size(alternating)) == pytest.approx(200.0)  # n log10 n


def test_autocovariances_are_those_of_the_definition():
    """The same sequence from sums written out."""
    x = autoregressive(101, 0.7, seed=3)
    centred = x - x.mean()
    rho = np.array([(centred[: 101 - lag] * centred[lag:]).sum() for lag in range(101)]) / (centred**2).sum()
    total, least = 0.0, np.inf
    for pair in range(50):
        gamma = rho[2 * pair] + rho[2 * pair + 1]
        if gamma <= 0:
            break
        least = min(least, gamma)
        total += least
    assert float(effective_sample_size(x)) == pytest.approx(101 / (2 * total - 1))


def test_what_still_drifts_is_seen():
    rng = np.random.default_rng(4)
    noise = rng.standard_normal(400)
    for trace in (noise + np.linspace(0, 4, 400), np.cumsum(noise), noise - 6 * np.exp(-np.arange(400) / 80)):
        found = summarise_trace(trace)
        assert (found.drifts, found.verdict) == (True, "still drifts")
        assert found.ess < 60
    assert summarise_trace(noise).verdict == "settled"
    assert summarise_trace(noise[:15]).verdict == "few independent samples"


def test_a_scalar_that_never_moves_is_worth_nothing():
    found = summarise_trace(np.full(20, 3.5))
    assert (found.mean, found.sd, found.verdict, found.drifts) == (3.5, 0.0, "does not move", False)
    assert np.isnan([found.ess, found.r_hat]).all()
    together = effective_sample_size(np.stack([np.full(100, 1.0), np.random.default_rng(5).normal(size=100)], axis=1))
    assert np.isnan(together).tolist() == [True, False]


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(8, 60),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e3, 1e3),
    seed=st.integers(0, 1000),
)
def test_units_do_not_matter_and_scalars_do_not_meet(n, scale, shift, seed):
    x = np.random.default_rng(seed).normal(size=(n, 3))
    for measure in (effective_sample_size, split_r_hat):
        together = measure(x)
        assert together == pytest.approx([float(measure(column)) for column in x.T])
        assert measure(x[:, 0] * scale + shift) == pytest.approx(together[0], rel=1e-4)


@pytest.mark.parametrize(
    ("trace", "words"),
    [(np.ones(7), "at least 8"), (np.ones((9, 2, 2)), "shape"), (np.r_[np.ones(9), np.nan], "NaN")],
)
def test_bad_traces_are_explained(trace, words):
    for measure in (effective_sample_size, split_r_hat, summarise_trace):
        with pytest.raises(ValueError, match=words):
            measure(trace)


def test_a_summary_is_of_one_scalar():
    with pytest.raises(ValueError, match="one scalar"):
        summarise_trace(np.ones((9, 2)))
    assert TraceSummary(samples=9, mean=0, sd=1, ess=9, autocorrelation_time=1, r_hat=1.2).drifts
