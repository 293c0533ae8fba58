"""The ``initial`` job: class averages in, a folder with an initial model, its uncertainty and a report out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.jobs.averages import ctf_of_averages, find_averages, read_averages
from vitreous.jobs.function import function_of
from vitreous.jobs.report.initial import initial_page
from vitreous.jobs.results.chains import chain_figures, convergence_warnings, refinement_chain
from vitreous.jobs.results.initial import FILES, write_initial
from vitreous.jobs.results.reference import INITIAL_NAMES, compare_with_reference, read_reference
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
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
from vitreous.quality import warn_if_one_view

__all__ = ["TASK", "Averages", "run_initial"]

Settings = InitialModel | GaussianInitialModel


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Class averages of unknown views, and a map that the model is compared with.

    Parameters
    ----------
    averages
        The folder of a deconvolve job (with gmm-gaussian also of a class2d job), a .star file that names averages, or a
        stack of them.
    project
        Directory that the paths in the .star file are relative to.
    pixel_size_A
        Pixel size of the averages in Angstrom, when the file does not say or is wrong.
    reference
        A map of the same particle (.mrc) that the model is compared with in the end, over both hands. The model does
        not depend on it.
    ctf_uncorrected
        The averages still have the CTF that the optics and defocus columns of their .star file give. Only with
        --method gmm-gaussian.
    """

    averages: Path
    project: Path | None = None
    pixel_size_A: float | None = None
    reference: Path | None = None
    ctf_uncorrected: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class _Given:
    """What has been read."""

    averages: ParticleSet
    images: np.ndarray  # (n, L, L)
    ctf: np.ndarray | None  # (n, L, L // 2 + 1) that the averages still have
    reference: Volume | None
    reference_name: str


def _prepare(source: Averages, settings: Settings, resources: Resources) -> Prepared[Any, InitialModelResult[Mixture]]:
    path = find_averages(source.averages, signed=isinstance(settings, GaussianInitialModel))
    found, images, notes = read_averages(path, project=source.project, pixel_size_A=source.pixel_size_A)
    given = _Given(
        averages=found,
        images=images,
        ctf=_ctf(found, settings) if source.ctf_uncorrected else None,
        reference=None if source.reference is None else read_reference(source.reference),
        reference_name=str(source.reference),
    )
    try:
        algorithm = _algorithm(given, settings, resources.threads)
    except ValueError as error:
        raise ValueError(f"{found.path}: {error}") from error
    return Prepared(
        settings=settings,
        inputs=(found.path,),
        algorithm=algorithm,
        state=PoissonState if isinstance(settings, InitialModel) else GaussianState,
        steps=settings.steps,
        write=lambda folder, result, state: _write(given, settings, folder, result),
        remark=_choice,
        screen=_screen(found, settings, resources.threads),
        warnings=tuple(notes),
        plan={"averages": len(found)},
    )


def _algorithm(given: _Given, settings: Settings, threads: int) -> Algorithm[Any, InitialModelResult[Mixture]]:
    images, pixel = given.images, given.averages.pixel_size_A
    if isinstance(settings, InitialModel):
        return initial_model_algorithm(images, pixel, settings, threads=threads)
    return gaussian_initial_model_algorithm(images, pixel, settings, ctf=given.ctf, threads=threads)


def _ctf(averages: ParticleSet, settings: Settings) -> np.ndarray:
    """The CTF of averages that still have it; ValueError where the method has no place for it."""
    if not isinstance(settings, GaussianInitialModel):
        raise ValueError(
            "averages that are not corrected for the CTF are no counts of matter; take --method gmm-gaussian with "
            "--ctf-uncorrected, or correct them (`vitreous deconvolve --single` takes the same columns)"
        )
    return ctf_of_averages(averages)


def _screen(averages: ParticleSet, settings: Settings, threads: int) -> tuple[str, ...]:
    box, pixel = averages.box_px, averages.pixel_size_A
    wanted = "as many as the data support" if settings.fine_components == "auto" else settings.fine_components
    coarse, fine = (min(side, box) for side in (settings.box_px, settings.fine_box_px))
    return (
        f"data     {averages.path}: {len(averages):,} averages, {box} x {box} pixels, {pixel:g} Å/pixel",
        f"settings {TASK.method(settings)}, symmetry {settings.symmetry}, {settings.restarts} restarts with "
        f"{settings.components} Gaussians on {coarse} x {coarse} pixels, refinement with "
        f"{wanted} on {fine} x {fine}, seed {settings.seed}, {threads} threads",
    )


def _choice(info: Mapping[str, Any]) -> str | None:
    """What is said about the number of Gaussians, in the step in which it was chosen."""
    if "components" not in info:
        return None
    tried = zip(info["components_tried"], info["behind"], info["standard_errors"], strict=True)
    behind = ", ".join(f"{number}: {loss:,.0f} ± {error:,.0f}" for number, loss, error in tried)
    return f"chosen   {info['components']} Gaussians; log likelihood of held-out averages behind the best: {behind}"


def _write(given: _Given, settings: Settings, folder: Path, result: InitialModelResult[Mixture]) -> Outcome:
    correlation = write_initial(folder, result, given.averages, given.images, given.ctf)
    figures: dict[str, Any] = {}
    against: list[str] = []
    if given.reference is not None:
        figures, against = compare_with_reference(folder, result.mean, given.reference, given.reference_name)
    views = warn_if_one_view(given.images, result.rotations, settings.symmetry)
    chain = refinement_chain(folder, settings.samples)
    drift = convergence_warnings(chain, longer="--burn-in-steps", more="--samples or --steps-between")
    doubts = [*_doubts(result, settings, views), *drift]
    lines = [
        f"{result.restarts_agreeing} of {settings.restarts} restarts agree",
        "hand     not determined by averages: initial*_other_hand.mrc explain them equally well",
        *(f"note     {text}" for text in doubts),
        *(f"against  {text}" for text in against),
    ]
    kept, mixture = result.poses_kept, result.mixture
    summary = {
        "averages": len(result.rotations),
        "map_box_px": result.mean.data.shape[0],
        "map_pixel_size_A": result.mean.pixel_size_A,
        "restarts_agreeing": result.restarts_agreeing,
        "populations": [round(conformation.population, 3) for conformation in result.conformations],
        **({} if kept is None else {"poses_kept_in_refinement": round(kept.fraction, 3)}),
        "mean_correlation_with_averages": round(float(correlation.mean()), 4),
        **({} if mixture is None else {"component_sigma_A": round(mixture.sigma_A, 2)}),
        "views_along_one_axis": views is not None,
        **chain_figures(chain),
        **figures,
    }
    return Outcome(words="\n".join(lines), summary=summary, messages=(*doubts, *against))


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


TASK = Task(
    name="initial",
    title="initial model",
    about="With gmm the averages must be nowhere negative: `vitreous deconvolve` makes such averages from classified "
    "particles, and with --single from any averages. With gmm-gaussian they may be any averages whose CTF is corrected "
    "or known. The hand is not determined by averages; both are written.",
    source=Averages,
    methods={"gmm": InitialModel, "gmm-gaussian": GaussianInitialModel},
    about_methods="gmm: Gaussian mixture with counts (Poisson) as data, by Gibbs sampling. gmm-gaussian: Gaussian "
    "mixture with Gaussian noise, for averages with negative pixels, by Hamiltonian Monte Carlo.",
    prepare=_prepare,
    files=(*FILES, INITIAL_NAMES.aligned),
    results="initial*.mrc, initial*.cif, initial_data.star",
    page=initial_page,
    uses=frozenset({"threads"}),
    aliases={"symmetry": ("--sym",)},
)
run_initial = function_of(TASK)
