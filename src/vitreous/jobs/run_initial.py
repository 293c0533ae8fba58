"""The ``initial`` job: class averages in, a folder with an initial model, its uncertainty and a report out."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.jobs.averages import ctf_of_averages, find_averages, read_averages
from vitreous.jobs.carry_out import carry_out, iterate_in_job
from vitreous.jobs.convergence_of import chain_doubts, chain_figures, refinement_chain
from vitreous.jobs.folder import Job
from vitreous.jobs.initial_folder import write_initial
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.model_reference import compare_with_reference, read_reference
from vitreous.jobs.progress import describe_duration
from vitreous.jobs.report.initial import write_initial_report
from vitreous.jobs.run_options import RunOptions, tell
from vitreous.mixtures import (
    GaussianInitialModel,
    GaussianState,
    InitialModel,
    Mixture,
    PoissonState,
    gaussian_initial_model_algorithm,
    initial_model_algorithm,
)
from vitreous.models import InitialModelResult
from vitreous.particles import ParticleSet, Volume
from vitreous.quality import doubt_about_views

__all__ = ["METHODS", "run_initial"]

Settings = InitialModel | GaussianInitialModel


@dataclass(frozen=True, kw_only=True)
class Method:
    """How one kind of settings is carried out."""

    name: str
    algorithm: Callable[..., Algorithm[Any, InitialModelResult[Mixture]]]
    state: type[Any]


METHODS: dict[type[Settings], Method] = {
    InitialModel: Method(name="gmm", algorithm=initial_model_algorithm, state=PoissonState),
    GaussianInitialModel: Method(name="gmm-gaussian", algorithm=gaussian_initial_model_algorithm, state=GaussianState),
}


def run_initial(
    averages: str | Path,
    output: str | Path,
    settings: Settings | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_initial",
    project: str | Path | None = None,
    pixel_size_A: float | None = None,
    reference: str | Path | None = None,
    ctf_uncorrected: bool = False,
) -> Path | None:
    """An initial model from class averages, with everything about it in the folder ``output``.

    ``averages``: the folder of a ``deconvolve`` job, a STAR file that names averages (of images, or of classes such as
    ``class_averages.star``), or a stack of them; particles white. The kind of ``settings`` chooses the method: with
    ``InitialModel`` (the default) the averages are counts and must be nowhere negative, with ``GaussianInitialModel``
    they may have any sign and their CTF corrected, and the folder of a ``class2d`` job will do.

    ``ctf_uncorrected``: the averages still have the CTF that the optics and defocus columns of their STAR file give;
    projections of the model are multiplied by it. Only with ``GaussianInitialModel``.

    ``reference``: a map of the same particle, in any frame. It has no part in the model, which is aligned to it at the
    end, over both hands; correlation and FSC go into the report and ``job.json``.

    Written: what :func:`vitreous.jobs.initial_folder.write_initial` lists, ``report.html``, ``job.json``,
    ``history.jsonl``, ``run.log``. A job that was killed continues with ``options.resume`` and ends with the same
    bits. Returns the path of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For averages, settings or a reference that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    options = options or RunOptions()
    chosen, threads = settings or InitialModel(), options.threads or os.cpu_count() or 1
    method = METHODS[type(chosen)]
    source = find_averages(averages, signed=isinstance(chosen, GaussianInitialModel))
    found, images, notes = read_averages(source, project=project, pixel_size_A=pixel_size_A)
    compared = None if reference is None else read_reference(reference)
    ctf = _ctf(found, chosen) if ctf_uncorrected else None
    try:
        more = {} if ctf is None else {"ctf": ctf}
        algorithm = method.algorithm(images, found.pixel_size_A, chosen, threads=threads, **more)
    except ValueError as error:
        raise ValueError(f"{found.path}: {error}") from error
    screen = [*_describe(found, chosen, threads), *(f"note     {text}" for text in notes)]
    recorded = {"method": method.name, **asdict(chosen)}
    if options.dry_run:
        tell(options, "\n".join(screen), "plan", {"settings": recorded, "averages": len(found)})
        return None
    del recorded["seed"]  # has a place of its own
    if pixel_size_A is not None:
        recorded["pixel_size_A"] = pixel_size_A
    if ctf_uncorrected:
        recorded["ctf_uncorrected"] = True
    if reference is not None:
        recorded["reference"] = str(reference)
    manifest = new_manifest("initial", recorded, seed=chosen.seed, inputs=[found.path])
    return carry_out(
        output,
        manifest,
        options,
        command=command,
        work=lambda job: _work(job, algorithm, found, images, chosen, options, screen, notes, compared, ctf),
        write_report=write_initial_report,
        results="initial*.mrc, initial*.cif, initial_data.star",
    )


def _ctf(averages: ParticleSet, settings: Settings) -> np.ndarray:
    """The CTF of averages that still have it; ValueError where the method has no place for it."""
    if not isinstance(settings, GaussianInitialModel):
        raise ValueError(
            "averages that are not corrected for the CTF are no counts of matter; take --method gmm-gaussian with "
            "--ctf-uncorrected, or correct them (`vitreous deconvolve --single` takes the same columns)"
        )
    return ctf_of_averages(averages)


def _describe(averages: ParticleSet, settings: Settings, threads: int) -> list[str]:
    """The first screen."""
    box, pixel = averages.box_px, averages.pixel_size_A
    wanted = "as many as the data support" if settings.fine_components == "auto" else settings.fine_components
    coarse, fine = (min(side, box) for side in (settings.box_px, settings.fine_box_px))
    return [
        f"data     {averages.path}: {len(averages):,} averages, {box} x {box} pixels, {pixel:g} Å/pixel",
        f"settings {METHODS[type(settings)].name}, symmetry {settings.symmetry}, {settings.restarts} restarts with "
        f"{settings.components} Gaussians on {coarse} x {coarse} pixels, refinement with "
        f"{wanted} on {fine} x {fine}, seed {settings.seed}, {threads} threads",
    ]


def _work(
    job: Job,
    algorithm: Algorithm[Any, InitialModelResult[Mixture]],
    averages: ParticleSet,
    images: np.ndarray,
    settings: Settings,
    options: RunOptions,
    screen: list[str],
    notes: list[str],
    reference: Volume | None,
    ctf: np.ndarray | None,
) -> str:
    """Run, or go on, and write the results; returns the closing words."""
    start = perf_counter()
    result, _ = iterate_in_job(
        job,
        algorithm,
        METHODS[type(settings)].state,
        seed=settings.seed,
        title="initial model",
        total=settings.steps,
        screen=screen,
        options=options,
        remark=_choice,
    )
    correlation = write_initial(job.path, result, averages, images, ctf)
    against: tuple[dict[str, Any], list[str]] = ({}, [])
    if reference is not None:
        against = compare_with_reference(job.path, result.mean, reference, str(job.manifest.settings["reference"]))
    seconds = perf_counter() - start
    views = doubt_about_views(images, result.rotations, settings.symmetry)
    chain = refinement_chain(job.path, settings.samples)
    drift = chain_doubts(chain, longer="--burn-in-steps", more="--samples or --steps-between")
    messages = [*notes, *_doubts(result, settings, views), *drift]
    figures = _figures(result, correlation, seconds) | {"views_along_one_axis": views is not None}
    job.describe(summary=figures | chain_figures(chain) | against[0], messages=(*messages, *against[1]))
    lines = [
        f"done in {describe_duration(seconds)}: {result.restarts_agreeing} of {settings.restarts} restarts agree",
        "hand     not determined by averages: initial*_other_hand.mrc explain them equally well",
        *(f"note     {text}" for text in messages),
        *(f"against  {text}" for text in against[1]),
    ]
    return "\n".join(lines)


def _choice(info: dict[str, Any]) -> str | None:
    """What is said about the number of Gaussians, in the step in which it was chosen."""
    if "components" not in info:
        return None
    tried = zip(info["components_tried"], info["behind"], info["standard_errors"], strict=True)
    behind = ", ".join(f"{number}: {loss:,.0f} ± {error:,.0f}" for number, loss, error in tried)
    return f"chosen   {info['components']} Gaussians; log likelihood of held-out averages behind the best: {behind}"


def _figures(result: InitialModelResult[Mixture], correlation: np.ndarray, seconds: float) -> dict:
    """For ``job.json`` and the report."""
    kept = result.poses_kept
    return {
        "averages": len(result.rotations),
        "map_box_px": result.mean.data.shape[0],
        "map_pixel_size_A": result.mean.pixel_size_A,
        "restarts_agreeing": result.restarts_agreeing,
        "populations": [round(conformation.population, 3) for conformation in result.conformations],
        **({} if kept is None else {"poses_kept_in_refinement": round(kept.fraction, 3)}),
        "mean_correlation_with_averages": round(float(correlation.mean()), 4),
        **({} if result.mixture is None else {"component_sigma_A": round(result.mixture.sigma_A, 2)}),
        "seconds": round(seconds, 1),
    }


def _doubts(result: InitialModelResult[Mixture], settings: Settings, views: str | None) -> list[str]:
    """What a user should know before believing the model; ``views`` is the doubt about them."""
    found = [] if views is None else [views]
    empty = [c for c in range(len(result.conformations)) if not (result.labels == c).any()]
    if empty:
        names = ", ".join(str(c + 1) for c in empty)
        found.append(
            f"no average shows conformation {names}: its map means nothing; the averages do not tell so many "
            "conformations apart, give fewer with --conformations, or trust the averages more with --label-counts"
        )
    if settings.restarts > 1 and result.restarts_agreeing == 1:
        found.append(
            "no other restart agrees with the best one: the model is not reproducible; try more restarts, more or "
            "better averages, or the right symmetry"
        )
    if result.poses_kept is not None and result.poses_kept.fraction < 0.8:
        found.append(
            f"the refinement has moved {1 - result.poses_kept.fraction:.0%} of the averages by more than "
            f"{settings.agreement_deg:g}°{_or_elsewhere(result)}: their views are uncertain"
        )
    return found


def _or_elsewhere(result: InitialModelResult[Mixture]) -> str:
    return " or to another conformation" if len(result.conformations) > 1 else ""
