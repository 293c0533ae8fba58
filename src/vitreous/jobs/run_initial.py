"""The ``initial`` job: class averages in, a folder with an initial model, its uncertainty and a report out."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from vitreous.iterate import Algorithm, run
from vitreous.jobs.carry_out import carry_out
from vitreous.jobs.convergence_of import chain_doubts, chain_figures, refinement_chain
from vitreous.jobs.folder import Job, JobFolderError
from vitreous.jobs.initial_folder import write_initial
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.progress import describe_duration, reporting
from vitreous.jobs.report.initial import write_initial_report
from vitreous.jobs.run_options import RunOptions, tell
from vitreous.mixtures import (
    GaussianInitialModel,
    GaussianState,
    InitialModel,
    InitialModelResult,
    gaussian_initial_model_algorithm,
    initial_model_algorithm,
)
from vitreous.mixtures.initial import State
from vitreous.particles import ParticleSet, read_particles
from vitreous.rotations import symmetry_matrices

__all__ = ["METHODS", "run_initial"]

DECONVOLVED = "deconvolved.star"  # of a deconvolve folder
ALIKE_DEG = 25.0  # views that are all nearer than this to one axis do not determine a structure
Settings = InitialModel | GaussianInitialModel


@dataclass(frozen=True, kw_only=True)
class Method:
    """How one kind of settings is carried out."""

    name: str
    algorithm: Callable[..., Algorithm[Any, InitialModelResult]]
    state: type[Any]


METHODS: dict[type[Settings], Method] = {
    InitialModel: Method(name="gmm", algorithm=initial_model_algorithm, state=State),
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
) -> Path | None:
    """An initial model from class averages, with everything about it in the folder ``output``.

    ``averages``: the folder of a ``deconvolve`` job, a STAR file that names averages, or a stack of them; particles
    white. The kind of ``settings`` chooses the method: with ``InitialModel`` (the default) the averages are counts and
    must be nowhere negative, with ``GaussianInitialModel`` they may have any sign and their CTF corrected.
    ``settings.threads`` is overruled by ``options.threads`` (all processors by default).

    Written: what :func:`vitreous.jobs.initial_folder.write_initial` lists, ``report.html``, ``job.json``,
    ``history.jsonl``, ``run.log``. A job that was killed continues with ``options.resume`` and ends with the same
    bits. Returns the path of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For averages or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    options = options or RunOptions()
    chosen = replace(settings or InitialModel(), threads=options.threads or os.cpu_count() or 1)
    method = METHODS[type(chosen)]
    found, images, notes = _read_averages(averages, project, pixel_size_A)
    try:
        algorithm = method.algorithm(images, found.pixel_size_A, chosen)
    except ValueError as error:
        raise ValueError(f"{found.path}: {error}") from error
    screen = [*_describe(found, chosen), *(f"note     {text}" for text in notes)]
    recorded = {"method": method.name, **asdict(chosen)}
    if options.dry_run:
        tell(options, "\n".join(screen), "plan", {"settings": recorded, "averages": len(found)})
        return None
    del recorded["seed"], recorded["threads"]  # the one has a place of its own, the other changes nothing
    if pixel_size_A is not None:
        recorded["pixel_size_A"] = pixel_size_A
    manifest = new_manifest("initial", recorded, seed=chosen.seed, inputs=[found.path])
    return carry_out(
        output,
        manifest,
        options,
        command=command,
        work=lambda job: _work(job, algorithm, found, images, chosen, options, screen, notes),
        write_report=write_initial_report,
        results="initial*.mrc, initial*.cif, initial_data.star",
    )


def _read_averages(
    averages: str | Path, project: str | Path | None, pixel_size_A: float | None
) -> tuple[ParticleSet, np.ndarray, list[str]]:
    """Averages without those that are empty, their pixels, and notes."""
    path = Path(averages)
    if path.is_dir() and not (path / DECONVOLVED).is_file():
        raise JobFolderError(
            f"{path} has no {DECONVOLVED}: give the folder of a finished `vitreous deconvolve`, a .star file or a "
            "stack of averages; for a class2d folder run `vitreous deconvolve` on it first"
        )
    found = read_particles(path / DECONVOLVED if path.is_dir() else path, project=project, pixel_size_A=pixel_size_A)
    images = found.read(slice(None))
    filled = images.any(axis=(1, 2))
    if not filled.any():
        raise ValueError(
            f"{found.path}: all {len(found)} averages are zero everywhere; there is nothing to start from."
        )
    if filled.all():
        return found, images, []
    numbers = ", ".join(str(i + 1) for i in np.flatnonzero(~filled))
    return found.subset(filled), images[filled], [f"zero everywhere and left out: average {numbers}"]


def _describe(averages: ParticleSet, settings: Settings) -> list[str]:
    """The first screen."""
    box, pixel = averages.box_px, averages.pixel_size_A
    coarse, fine = (min(side, box) for side in (settings.box_px, settings.fine_box_px))
    return [
        f"data     {averages.path}: {len(averages):,} averages, {box} x {box} pixels, {pixel:g} Å/pixel",
        f"settings {METHODS[type(settings)].name}, symmetry {settings.symmetry}, {settings.restarts} restarts with "
        f"{settings.components} Gaussians on {coarse} x {coarse} pixels, refinement with "
        f"{settings.fine_components} on {fine} x {fine}, seed {settings.seed}, {settings.threads} threads",
    ]


def _work(
    job: Job,
    algorithm: Algorithm[Any, InitialModelResult],
    averages: ParticleSet,
    images: np.ndarray,
    settings: Settings,
    options: RunOptions,
    screen: list[str],
    notes: list[str],
) -> str:
    """Run, or go on, and write the results; returns the closing words."""
    start = perf_counter()
    state = job.restore(METHODS[type(settings)].state)
    first = 0 if state is None else state.iteration
    with reporting("initial model", total=settings.steps, first=first, json=options.json) as reporter:
        for line in screen:
            reporter.say(line)
            job.log(line)

        def on_step(info: dict) -> None:
            job.record(info)
            reporter.step(info)

        result, _ = run(
            algorithm,
            seed=settings.seed,
            state=state,
            on_step=on_step,
            save=job.save,
            interrupted=job.abort_requested,
        )
    correlation = write_initial(job.path, result, averages, images)
    seconds = perf_counter() - start
    chain = refinement_chain(job.path, settings.samples)
    drift = chain_doubts(chain, longer="--burn-in-steps", more="--samples or --steps-between")
    messages = [*notes, *_doubts(result, settings), *drift]
    figures = {**_figures(result, settings, correlation, seconds), **chain_figures(chain)}
    job.describe(summary=figures, messages=tuple(messages))
    lines = [
        f"done in {describe_duration(seconds)}: {result.restarts_agreeing} of {settings.restarts} restarts agree",
        "hand     not determined by averages: initial*_other_hand.mrc explain them equally well",
        *(f"note     {text}" for text in messages),
    ]
    return "\n".join(lines)


def _figures(result: InitialModelResult, settings: Settings, correlation: np.ndarray, seconds: float) -> dict:
    """For ``job.json`` and the report."""
    return {
        "averages": len(result.rotations),
        "map_box_px": result.mean.data.shape[0],
        "map_pixel_size_A": result.mean.pixel_size_A,
        "restarts_agreeing": result.restarts_agreeing,
        "populations": [round(conformation.population, 3) for conformation in result.conformations],
        "views_along_one_axis": _all_along_one_axis(result.rotations, settings.symmetry),
        "poses_kept_in_refinement": round(result.poses_kept.fraction, 3),
        "mean_correlation_with_averages": round(float(correlation.mean()), 4),
        "component_sigma_A": round(result.mixture.sigma_A, 2),
        "seconds": round(seconds, 1),
    }


def _doubts(result: InitialModelResult, settings: Settings) -> list[str]:
    """What a user should know before believing the model."""
    found = []
    if _all_along_one_axis(result.rotations, settings.symmetry):
        found.append(
            f"all averages are seen within {ALIKE_DEG:.0f}° of one direction: these views do not determine the "
            "structure; add averages of other views"
        )
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
    if result.poses_kept.fraction < 0.8:
        found.append(
            f"the refinement has moved {1 - result.poses_kept.fraction:.0%} of the averages by more than "
            f"{settings.agreement_deg:g}°{_or_elsewhere(result)}: their views are uncertain"
        )
    return found


def _or_elsewhere(result: InitialModelResult) -> str:
    return " or to another conformation" if len(result.conformations) > 1 else ""


def _all_along_one_axis(rotations: np.ndarray, symmetry: str) -> bool:
    """Whether some axis is near the viewing direction (or its opposite) of every average, symmetric copies allowed."""
    group = symmetry_matrices(symmetry).to(torch.float64).numpy()
    copies = np.einsum("gab,nb->gna", group, rotations[:, :, 2])
    nearest = np.abs(copies @ rotations[:, :, 2].T).max(axis=0)  # (n, candidate axis)
    return bool((nearest.min(axis=0) > np.cos(np.deg2rad(ALIKE_DEG))).any())
