"""What histories say about their chains."""

import numpy as np
import pytest

from vitreous.jobs.history import append_history
from vitreous.jobs.results.chains import (
    CHAIN_HEAD,
    chain_doubts,
    chain_figures,
    chain_rows,
    mixture_chain,
    refinement_chain,
)
from vitreous.mixtures import effective_sample_size, worst_verdict

WORDS = {"longer": "--long", "more": "--more"}


def refinement(folder, log_posterior: np.ndarray) -> None:
    folder.mkdir()
    append_history(folder, {"stage": "initial", "log_posterior": -1e6})
    rng = np.random.default_rng(1)
    for value in log_posterior:
        append_history(folder, {"stage": "refinement", "log_posterior": value, "sigma_A": 5 + 0.1 * rng.normal()})


def test_only_the_samples_of_a_refinement_count(tmp_path):
    trace = np.random.default_rng(0).normal(size=60)
    refinement(tmp_path / "a", np.r_[np.linspace(-900, 0, 20), trace])
    chain = refinement_chain(tmp_path / "a", 60)
    assert [summary.samples for summary in chain.values()] == [60, 60]
    assert chain["log posterior"].ess == pytest.approx(float(effective_sample_size(trace)))
    assert worst_verdict(chain.values()) == "settled"
    assert chain_doubts(chain, **WORDS) == []
    with_burn_in = refinement_chain(tmp_path / "a", 80)
    assert worst_verdict(with_burn_in.values()) == "still drifts"
    (said,) = chain_doubts(with_burn_in, **WORDS)
    assert "log posterior (R-hat" in said
    assert "--long" in said
    assert "component size" not in said


def test_few_samples_are_said_to_be_few(tmp_path):
    refinement(tmp_path / "a", np.random.default_rng(2).normal(size=12))
    chain = refinement_chain(tmp_path / "a", 12)
    assert worst_verdict(chain.values()) == "few independent samples"
    assert "--more gives more" in chain_doubts(chain, **WORDS)[0]
    none = refinement_chain(tmp_path / "a", 7)
    assert none == {}
    assert chain_figures(none) == {"convergence": "too few samples to say"}
    assert (chain_doubts(none, **WORDS), list(chain_rows(none))) == ([], [])


def test_every_step_of_a_sampling_counts_and_the_slowest_place_is_shown(tmp_path):
    rng = np.random.default_rng(3)
    slow = np.cumsum(rng.normal(size=100))
    places = np.stack([*rng.normal(size=(7, 100)), slow], axis=1)
    log_p = rng.normal(size=100)
    for start in range(0, 100, 5):
        part = slice(start, start + 5)
        append_history(
            tmp_path,
            {
                "stage": "burn-in" if start < 20 else "sampling",
                "log_posteriors": log_p[part],
                "sigmas_A": np.full(5, 4.0),
                "log_densities": places[part],
            },
        )
    chain = mixture_chain(tmp_path)
    posterior, size, place = chain.values()
    assert posterior.ess == pytest.approx(float(effective_sample_size(log_p[20:])))
    assert place.ess == pytest.approx(float(effective_sample_size(slow[20:])))
    assert size.verdict == "does not move"
    figures = chain_figures(chain)
    assert set(figures) == {
        "convergence",
        "effective_samples_log_posterior",
        "r_hat_log_posterior",
        "effective_samples_log_density",
        "r_hat_log_density",
    }
    rows = chain_rows(chain)
    assert {len(row) for row in rows} == {len(CHAIN_HEAD)}
    assert rows[1][3:] == ("", "", "", "does not move")
    assert mixture_chain(tmp_path / "absent") == {}
