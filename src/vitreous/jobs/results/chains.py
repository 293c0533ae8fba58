"""What the history of a chain says about its convergence: for ``job.json``, for messages and for reports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.mixtures import FEWEST_SAMPLES, TraceSummary, summarise_trace, worst_verdict

__all__ = [
    "CHAIN_HEAD",
    "chain_doubts",
    "chain_figures",
    "chain_rows",
    "mixture_chain",
    "refinement_chain",
]

CHAIN_HEAD = ("quantity", "mean", "standard deviation", "effective samples", "one in", "R-hat", "")
LOG_POSTERIOR, SIZE, DENSITY = "log posterior", "component size (Å)", "log density, the slowest of {} places"


def mixture_chain(folder: str | Path) -> dict[str, TraceSummary]:
    """Summaries over all Gibbs steps of the sampling in a ``mixture`` folder; empty where there are fewer than 8."""
    entries = [entry for entry in read_history(folder) if entry.get("stage") == "sampling"]
    if sum(len(entry["log_posteriors"]) for entry in entries) < FEWEST_SAMPLES:
        return {}
    densities = [summarise_trace(trace) for trace in np.concatenate([e["log_densities"] for e in entries]).T]
    return {
        LOG_POSTERIOR: summarise_trace(np.concatenate([entry["log_posteriors"] for entry in entries])),
        SIZE: summarise_trace(np.concatenate([entry["sigmas_A"] for entry in entries])),
        DENSITY.format(len(densities)): min(densities, key=lambda summary: summary.ess),
    }


def refinement_chain(folder: str | Path, samples: int) -> dict[str, TraceSummary]:
    """Summaries over the last ``samples`` blocks of the refinement in an ``initial`` folder; empty for fewer than 8."""
    entries = [entry for entry in read_history(folder) if entry.get("stage") == "refinement"][-samples:]
    if len(entries) < FEWEST_SAMPLES:
        return {}
    return {
        name: summarise_trace(np.array([entry[key] for entry in entries], dtype=float))
        for name, key in ((LOG_POSTERIOR, "log_posterior"), (SIZE, "sigma_A"))
    }


def chain_figures(chain: Mapping[str, TraceSummary]) -> dict[str, Any]:
    """For ``job.json``."""
    figures: dict[str, Any] = {"convergence": worst_verdict(chain.values())}
    for name, summary in chain.items():
        key = name.partition(",")[0].partition(" (")[0].replace(" ", "_")
        if np.isfinite(summary.ess):
            figures[f"effective_samples_{key}"] = round(summary.ess, 1)
            figures[f"r_hat_{key}"] = round(summary.r_hat, 3)
    return figures


def chain_doubts(chain: Mapping[str, TraceSummary], *, longer: str, more: str) -> list[str]:
    """Sentences for the user; ``longer`` and ``more`` are the options that help against drift and few samples."""
    drifting = {name: summary for name, summary in chain.items() if summary.drifts}
    if drifting:
        which = " and ".join(f"{name} (R-hat {summary.r_hat:.2f})" for name, summary in drifting.items())
        return [f"the chain still drifts: {which}; give it longer with {longer}"]
    if worst_verdict(chain.values()) == "few independent samples":
        name, least = min(chain.items(), key=lambda item: item[1].ess)
        return [f"{least.samples} samples are worth {least.ess:.0f} independent ones ({name}); {more} gives more"]
    return []


def chain_rows(chain: Mapping[str, TraceSummary]) -> Sequence[tuple[str, ...]]:
    """The table under :data:`CHAIN_HEAD`."""
    return [
        (
            name,
            f"{s.mean:,.0f}" if abs(s.mean) >= 1000 else f"{s.mean:.4g}",
            f"{s.sd:,.3g}",
            f"{s.ess:,.0f} of {s.samples:,}" if np.isfinite(s.ess) else "",
            f"{s.autocorrelation_time:.1f}" if np.isfinite(s.ess) else "",
            f"{s.r_hat:.3f}" if np.isfinite(s.r_hat) else "",
            s.verdict,
        )
        for name, s in chain.items()
    ]
