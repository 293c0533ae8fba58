"""The ``mixture`` job: a map, an image or points in, a folder with pseudo-atoms and a report out."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.jobs.function import function_of
from vitreous.jobs.mixture_input import MixtureInput, read_mixture_input
from vitreous.jobs.report.mixture import mixture_page
from vitreous.jobs.results.chains import chain_doubts, chain_figures, mixture_chain
from vitreous.jobs.results.mixture import FILES, write_mixture
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.mixtures import (
    FitState,
    Mixture,
    MixtureFit,
    MixtureSamples,
    MixtureSampling,
    SamplingState,
    fit_algorithm,
    sampling_algorithm,
)

__all__ = ["TASK", "Density", "run_mixture"]

Settings = MixtureFit | MixtureSampling
logger = logging.getLogger("vitreous")


@dataclass(frozen=True, kw_only=True)
class Density:
    """What a mixture is fitted to.

    Parameters
    ----------
    input
        A map (.mrc, .map), an image of a stack (.mrcs, .star), particle positive; or points: a model (.cif, .pdb, also
        .gz) or x, y, z in Angstrom (.csv, .txt, .npy, .npz).
    image
        Number of the image in the stack, from 1; by default the first. Makes a .mrc file a stack.
    pixel_size_A
        Voxel size in Angstrom, when the file does not say or is wrong.
    """

    input: Path
    image: int | None = None
    pixel_size_A: float | None = None


def _prepare(source: Density, settings: Settings, resources: Resources) -> Prepared[Any, Mixture | MixtureSamples]:
    found = read_mixture_input(source.input, settings, pixel_size_A=source.pixel_size_A, image=source.image)
    return Prepared(
        settings=settings,
        inputs=(found.path,),
        algorithm=_algorithm(found, settings),
        state=FitState if isinstance(settings, MixtureFit) else SamplingState,
        steps=_steps(settings),
        write=partial(_write, found, settings),
        screen=_screen(found, settings),
        warnings=found.notes,
    )


def _algorithm(found: MixtureInput, settings: Settings) -> Algorithm[Any, Any]:
    if isinstance(settings, MixtureFit):
        return fit_algorithm(found.data, settings)
    return sampling_algorithm(found.data, settings, shape=found.shape, pixel_size_A=found.pixel_size_A)


def _steps(settings: Settings) -> int:
    if isinstance(settings, MixtureFit):
        return settings.steps
    return settings.start_steps + -(-settings.burn_in_steps // settings.steps_between) + settings.samples


def _screen(found: MixtureInput, settings: Settings) -> tuple[str, ...]:
    if isinstance(settings, MixtureFit):
        plan = f"EM, at most {settings.steps:,} steps"
    else:
        start = f"{settings.start_steps:,} EM steps" if settings.start_steps else "a draw from the prior"
        plan = (
            f"Gibbs sampling from {start}: {settings.burn_in_steps:,} steps, then {settings.samples:,} samples "
            f"{settings.steps_between:,} steps apart"
        )
    worth = "" if found.cloud is not None else f", threshold {settings.threshold:g}, {settings.counts:,.0f} counts"
    return (
        f"data     {found.description}",
        f"settings {settings.components:,} Gaussians{worth}, {plan}, seed {settings.seed}",
    )


def _write(
    found: MixtureInput,
    settings: Settings,
    folder: Path,
    result: Mixture | MixtureSamples,
    last: FitState | SamplingState,
) -> Outcome:
    samples = result if isinstance(result, MixtureSamples) else None
    mixture = result.mixture if isinstance(result, MixtureSamples) else result
    agreement = write_mixture(folder, found, mixture, samples, log=logger.info)
    convergence, doubts = _convergence(folder, settings, last)
    figures = {
        "input": found.kind,
        "components": len(mixture),
        "component_sigma_A": round(mixture.sigma_A, 3),
        **{name: value if np.isfinite(value) else None for name, value in agreement.items()},
        **convergence,
    }
    if found.centre_A is not None:
        figures["centre_of_points_A"] = [round(float(value), 6) for value in found.centre_A]
    lines = (
        f"{len(mixture):,} Gaussians of sigma {mixture.sigma_A:.2f} Å, correlation with the {found.kind} "
        f"{agreement['correlation']:.4f}, FSC 0.5 at {agreement['resolution_of_agreement_A']:.1f} Å",
        *(f"note     {text}" for text in doubts),
    )
    return Outcome(words="\n".join(lines), summary=figures, messages=tuple(doubts))


def _convergence(folder: Path, settings: Settings, last: FitState | SamplingState) -> tuple[dict[str, Any], list[str]]:
    """Figures for ``job.json``, and what a user should know."""
    if isinstance(last, FitState) and isinstance(settings, MixtureFit):
        converged = last.gain < settings.tolerance
        doubts = [] if converged else [f"not converged after {settings.steps} steps: the log posterior still rises"]
        verdict = "converged" if converged else "still rises"
        return {"steps": last.iteration, "gain_per_count": float(f"{last.gain:.3g}"), "convergence": verdict}, doubts
    chain = mixture_chain(folder)
    doubts = chain_doubts(chain, longer="--burn-in-steps", more="--samples or --steps-between")
    return chain_figures(chain), doubts


TASK = Task(
    name="mixture",
    title="fitting",
    source=Density,
    methods={"em": MixtureFit, "gibbs": MixtureSampling},
    about_methods="em: the maximum of the posterior, by expectation maximisation. gibbs: samples of the posterior, "
    "with their mean and variance, by Gibbs sampling.",
    prepare=_prepare,
    files=FILES,
    results="mixture.cif, mixture.mrc",
    page=mixture_page,
    aliases={"components": ("--K",)},
)
run_mixture = function_of(TASK)
