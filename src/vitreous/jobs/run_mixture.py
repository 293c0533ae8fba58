"""The ``mixture`` job: a map in, a folder with pseudo-atoms and a report out."""

from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from vitreous.iterate import run
from vitreous.jobs.carry_out import carry_out
from vitreous.jobs.folder import Job
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.progress import describe_duration, reporting
from vitreous.jobs.report.mixture import write_mixture_report
from vitreous.jobs.run_options import RunOptions, tell
from vitreous.mixtures import (
    FitState,
    Mixture,
    MixtureFit,
    fit_map_algorithm,
    prepare_map,
    to_volume,
    write_pseudo_atoms,
)
from vitreous.particles import Table, Volume, read_volume, write_star, write_volume
from vitreous.quality import resolution_at, shell_correlation

__all__ = ["run_mixture"]


def run_mixture(
    volume: str | Path,
    output: str | Path,
    settings: MixtureFit | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_mixture",
    pixel_size_A: float | None = None,
) -> Path | None:
    """Fit a mixture of Gaussians to a map and write everything into the folder ``output``.

    Written: ``mixture.cif`` and, where its columns are wide enough, ``mixture.pdb`` (pseudo-atoms), ``mixture.mrc``
    (the mixture on the grid of the map, with the map's sum), ``mixture_target.mrc`` (what was fitted),
    ``mixture_correlation.star``, ``report.html``, ``job.json``, ``history.jsonl``, ``run.log``. A job that was killed
    continues with ``options.resume``. Returns the path of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For a map or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    settings, options, path = settings or MixtureFit(), options or RunOptions(), Path(volume)
    found = read_volume(path, pixel_size_A=pixel_size_A)
    try:
        target = prepare_map(found, settings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    notes = _cut_off(found, settings)
    screen = [*_describe(path, found, target, settings), *(f"note     {text}" for text in notes)]
    if options.dry_run:
        tell(options, "\n".join(screen), "plan", {"settings": asdict(settings)})
        return None
    recorded = {name: value for name, value in asdict(settings).items() if name != "seed"}
    if pixel_size_A is not None:
        recorded["pixel_size_A"] = pixel_size_A
    manifest = new_manifest("mixture", recorded, seed=settings.seed, inputs=[path])
    return carry_out(
        output,
        manifest,
        options,
        command=command,
        work=lambda job: _work(job, found, target, settings, options, screen, notes),
        write_report=write_mixture_report,
        results="mixture.cif, mixture.mrc",
    )


def _cut_off(volume: Volume, settings: MixtureFit) -> list[str]:
    """A note on what the threshold takes away, where it does."""
    below = volume.data < min(settings.threshold, 0.0) if settings.threshold == 0 else volume.data < settings.threshold
    if not below.any():
        return []
    share = float(np.abs(volume.data[below]).sum() / np.abs(volume.data).sum())
    if settings.threshold == 0:
        return [
            f"{below.mean():.0%} of the voxels are negative ({share:.0%} of the map's absolute sum) and were set to "
            "zero, because a mixture describes densities; a threshold above the noise of the solvent fits better"
        ]
    return [f"{below.mean():.0%} of the voxels are below the threshold and were set to zero"]


def _describe(path: Path, volume: Volume, target: Volume, settings: MixtureFit) -> list[str]:
    """The first screen."""
    old, new = len(volume.data), len(target.data)
    reduced = "" if old == new else f", fitted on {new}³ voxels of {target.pixel_size_A:.2f} Å"
    return [
        f"data     {path}: {old}³ voxels, {volume.pixel_size_A:g} Å{reduced}",
        f"settings {settings.components:,} Gaussians, threshold {settings.threshold:g}, at most {settings.steps} "
        f"steps, seed {settings.seed}",
    ]


def _work(
    job: Job,
    volume: Volume,
    target: Volume,
    settings: MixtureFit,
    options: RunOptions,
    screen: list[str],
    notes: list[str],
) -> str:
    """Run, or go on, and write the results; returns the closing words."""
    start = perf_counter()
    state = job.restore(FitState)
    first = 0 if state is None else state.iteration
    with reporting("fitting", total=settings.steps, first=first, json=options.json) as reporter:
        for line in screen:
            reporter.say(line)
            job.log(line)

        def on_step(info: dict) -> None:
            job.record(info)
            reporter.step(info)

        mixture, last = run(
            fit_map_algorithm(target, settings),
            seed=settings.seed,
            state=state,
            on_step=on_step,
            save=job.save,
            interrupted=job.abort_requested,
        )
    if last.gain >= settings.tolerance:
        notes = [*notes, f"not converged after {settings.steps} steps: the log posterior still rises"]
    correlation, resolution_A = _write(job, mixture, volume, target, settings)
    seconds = perf_counter() - start
    summary = {
        "components": len(mixture),
        "component_sigma_A": round(mixture.sigma_A, 3),
        "correlation_with_map": round(correlation, 4),
        "resolution_of_agreement_A": round(resolution_A, 2) if np.isfinite(resolution_A) else None,
        "steps": last.iteration,
        "seconds": round(seconds, 1),
    }
    job.describe(summary=summary, messages=tuple(notes))
    return (
        f"done in {describe_duration(seconds)}: {len(mixture):,} Gaussians of sigma {mixture.sigma_A:.2f} Å, "
        f"correlation with the map {correlation:.4f}, FSC 0.5 at {resolution_A:.1f} Å"
    )


def _write(job: Job, mixture: Mixture, volume: Volume, target: Volume, settings: MixtureFit) -> tuple[float, float]:
    """Write the results; returns correlation with the map above the threshold, and where their FSC falls to 0.5."""
    folder = job.path
    kept = np.where(volume.data > settings.threshold, volume.data, 0.0)
    fitted = to_volume(mixture, len(kept), volume.pixel_size_A)
    scaled = Volume(data=fitted.data * (kept.sum() * volume.pixel_size_A**3), pixel_size_A=volume.pixel_size_A)
    write_pseudo_atoms(folder / "mixture.cif", mixture)
    try:
        write_pseudo_atoms(folder / "mixture.pdb", mixture)
    except ValueError as error:
        job.log(f"not written: {error}")
    write_volume(folder / "mixture.mrc", scaled)
    write_volume(folder / "mixture_target.mrc", target)
    curve = shell_correlation(torch.from_numpy(scaled.data), torch.from_numpy(kept))
    frequency = np.arange(len(curve)) / (len(kept) * volume.pixel_size_A)
    write_star(
        folder / "mixture_correlation.star",
        {
            "": Table.from_arrays(
                {
                    "rlnSpectralIndex": np.arange(len(curve)),
                    "rlnResolution": np.round(frequency, 6),
                    "rlnFourierShellCorrelationUncorrected": np.round(curve.numpy(), 6),
                }
            )
        },
    )
    correlation = float(np.corrcoef(scaled.data.ravel(), kept.ravel())[0, 1])
    return correlation, float(resolution_at(curve, 0.5, len(kept), volume.pixel_size_A))
