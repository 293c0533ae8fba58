"""The ``mixture`` job: a map, an image or points in, a folder with pseudo-atoms and a report out."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.jobs.carry_out import carry_out, iterate_in_job
from vitreous.jobs.convergence_of import chain_doubts, chain_figures, mixture_chain
from vitreous.jobs.folder import Job
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.mixture_folder import write_mixture
from vitreous.jobs.mixture_input import MixtureInput, read_mixture_input
from vitreous.jobs.options import RunOptions, tell
from vitreous.jobs.progress import describe_duration
from vitreous.jobs.report.mixture import write_mixture_report
from vitreous.mixtures import (
    FitState,
    MixtureFit,
    MixtureSamples,
    MixtureSampling,
    SamplingState,
    fit_algorithm,
    sampling_algorithm,
)

__all__ = ["METHODS", "run_mixture"]

Settings = MixtureFit | MixtureSampling


@dataclass(frozen=True, kw_only=True)
class Method:
    """How one kind of settings is carried out."""

    name: str
    algorithm: Callable[[MixtureInput, Any], Algorithm[Any, Any]]
    state: type[Any]
    steps: Callable[[Any], int]


METHODS: dict[type[Settings], Method] = {
    MixtureFit: Method(
        name="em",
        algorithm=lambda found, settings: fit_algorithm(found.data, settings),
        state=FitState,
        steps=lambda settings: settings.steps,
    ),
    MixtureSampling: Method(
        name="gibbs",
        algorithm=lambda found, settings: sampling_algorithm(
            found.data, settings, shape=found.shape, pixel_size_A=found.pixel_size_A
        ),
        state=SamplingState,
        steps=lambda settings: (
            settings.start_steps + -(-settings.burn_in_steps // settings.steps_between) + settings.samples
        ),
    ),
}


def run_mixture(
    source: str | Path,
    output: str | Path,
    settings: Settings | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_mixture",
    pixel_size_A: float | None = None,
    image: int | None = None,
) -> Path | None:
    """Fit a mixture of Gaussians to a map, an image or points, and write everything into the folder ``output``.

    The kind of ``settings`` chooses the method: EM with ``MixtureFit`` (the default), Gibbs sampling with
    ``MixtureSampling``. ``image`` is the number, from 1, of an image of a stack. Written: what
    :func:`vitreous.jobs.mixture_folder.write_mixture` lists, ``report.html``, ``job.json``, ``history.jsonl``,
    ``run.log``. A job that was killed continues with ``options.resume`` and ends with the same bits. Returns the path
    of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For an input or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    settings, options = settings or MixtureFit(), options or RunOptions()
    found = read_mixture_input(source, settings, pixel_size_A=pixel_size_A, image=image)
    screen = [*_describe(found, settings), *(f"note     {text}" for text in found.notes)]
    recorded = {"method": METHODS[type(settings)].name, **asdict(settings)}
    if options.dry_run:
        tell(options, "\n".join(screen), "plan", {"settings": recorded})
        return None
    del recorded["seed"]  # has a place of its own
    for name, value in (("pixel_size_A", pixel_size_A), ("image", image)):
        if value is not None:
            recorded[name] = value
    manifest = new_manifest("mixture", recorded, seed=settings.seed, inputs=[found.path])
    return carry_out(
        output,
        manifest,
        options,
        command=command,
        work=lambda job: _work(job, found, settings, options, screen),
        write_report=write_mixture_report,
        results="mixture.cif, mixture.mrc",
    )


def _describe(found: MixtureInput, settings: Settings) -> list[str]:
    """The first screen."""
    if isinstance(settings, MixtureFit):
        plan = f"EM, at most {settings.steps:,} steps"
    else:
        start = f"{settings.start_steps:,} EM steps" if settings.start_steps else "a draw from the prior"
        plan = (
            f"Gibbs sampling from {start}: {settings.burn_in_steps:,} steps, then {settings.samples:,} samples "
            f"{settings.steps_between:,} steps apart"
        )
    worth = "" if found.cloud is not None else f", threshold {settings.threshold:g}, {settings.counts:,.0f} counts"
    return [
        f"data     {found.description}",
        f"settings {settings.components:,} Gaussians{worth}, {plan}, seed {settings.seed}",
    ]


def _work(job: Job, found: MixtureInput, settings: Settings, options: RunOptions, screen: list[str]) -> str:
    """Run, or go on, and write the results; returns the closing words."""
    start = perf_counter()
    method = METHODS[type(settings)]
    result, last = iterate_in_job(
        job,
        method.algorithm(found, settings),
        method.state,
        seed=settings.seed,
        title="fitting",
        total=method.steps(settings),
        screen=screen,
        options=options,
    )
    samples = result if isinstance(result, MixtureSamples) else None
    mixture = result.mixture if isinstance(result, MixtureSamples) else result
    agreement = write_mixture(job.path, found, mixture, samples, log=job.log)
    convergence, doubts = _convergence(job, settings, last)
    seconds = perf_counter() - start
    figures = {
        "input": found.kind,
        "components": len(mixture),
        "component_sigma_A": round(mixture.sigma_A, 3),
        **{name: value if np.isfinite(value) else None for name, value in agreement.items()},
        **convergence,
        "seconds": round(seconds, 1),
    }
    if found.centre_A is not None:
        figures["centre_of_points_A"] = [round(float(value), 6) for value in found.centre_A]
    job.describe(summary=figures, messages=(*found.notes, *doubts))
    return "\n".join(
        (
            f"done in {describe_duration(seconds)}: {len(mixture):,} Gaussians of sigma {mixture.sigma_A:.2f} Å, "
            f"correlation with the {found.kind} {agreement['correlation']:.4f}, "
            f"FSC 0.5 at {agreement['resolution_of_agreement_A']:.1f} Å",
            *(f"note     {text}" for text in doubts),
        )
    )


def _convergence(job: Job, settings: Settings, last: FitState | SamplingState) -> tuple[dict[str, Any], list[str]]:
    """Figures for ``job.json``, and what a user should know."""
    if isinstance(last, FitState) and isinstance(settings, MixtureFit):
        converged = last.gain < settings.tolerance
        doubts = [] if converged else [f"not converged after {settings.steps} steps: the log posterior still rises"]
        verdict = "converged" if converged else "still rises"
        return {"steps": last.iteration, "gain_per_count": float(f"{last.gain:.3g}"), "convergence": verdict}, doubts
    chain = mixture_chain(job.path)
    doubts = chain_doubts(chain, longer="--burn-in-steps", more="--samples or --steps-between")
    return chain_figures(chain), doubts
