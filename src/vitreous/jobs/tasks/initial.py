"""The ``initial`` job: class averages in, a folder with an initial model, its uncertainty and a report out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.jobs.averages import ctf_of_averages, find_averages, read_averages, refuse_particles
from vitreous.jobs.from_averages import prepare_from_averages
from vitreous.jobs.function import function_of
from vitreous.jobs.ready_averages import AverageContrastName, ready_averages
from vitreous.jobs.report.initial import initial_page
from vitreous.jobs.results.chains import chain_figures, convergence_warnings, refinement_chain
from vitreous.jobs.results.initial import FILES, write_initial
from vitreous.jobs.results.methods import METHOD_FILES
from vitreous.jobs.results.reference import INITIAL_NAMES, compare_with_reference, read_reference
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.mixtures import (
    GaussianInitialModel,
    GaussianState,
    InitialModel,
    Mixture,
    PoissonState,
    TraceSummary,
    gaussian_initial_model_algorithm,
    initial_model_algorithm,
)
from vitreous.models import InitialModelResult
from vitreous.particles import ParticleFileError, ParticleSet, Volume
from vitreous.quality import warn_if_one_view
from vitreous.structures.from_averages import METHODS, AllMethods, FromAverages

__all__ = ["TASK", "Averages", "run_initial"]

Settings = InitialModel | GaussianInitialModel

KEPT = 0.8  # of the poses that a refinement keeps; fewer are uncertain
ALIKE = 0.5  # mean correlation of averages and projections below which the model does not explain them


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Class averages of unknown views, and a map that the model is compared with.

    Parameters
    ----------
    averages
        The folder of a deconvolve or class2d job, a .star file that names averages, or a stack of them, of any program.
    project
        Directory that the paths in the .star file are relative to.
    pixel_size_A
        Pixel size of the averages in Angstrom, when the file does not say or is wrong.
    reference
        A map of the same particle (.mrc) that the model is compared with in the end, over both hands. The model does
        not depend on it.
    ctf_uncorrected
        The averages still have the CTF that the optics and defocus columns of their .star file give; gmm-gaussian.
    contrast
        Whether particles are white or dark on their background, where the averages do not show it clearly. Dark ones
        are turned over.
    mask
        Whether what is beside the particle is masked, in averages that have negative pixels and no mask yet. With
        --method gmm-gaussian it never is.
    """

    averages: Path
    project: Path | None = None
    pixel_size_A: float | None = None
    reference: Path | None = None
    ctf_uncorrected: bool = False
    contrast: AverageContrastName | None = None
    mask: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class _Given:
    """What has been read."""

    averages: ParticleSet
    images: np.ndarray  # (n, L, L)
    ctf: np.ndarray | None  # (n, L, L // 2 + 1) that the averages still have
    reference: Volume | None
    reference_name: str


def _prepare(source: Averages, settings: Any, resources: Resources) -> Prepared[Any, Any]:
    return (
        _from_averages(source, settings, resources)
        if isinstance(settings, FromAverages)
        else _mixture(source, settings, resources)
    )


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """What is wrong with averages names their file, once."""
    try:
        yield
    except ParticleFileError:
        raise
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _from_averages(source: Averages, settings: FromAverages, resources: Resources) -> Prepared[Any, Any]:
    found, images, notes = read_averages(
        find_averages(source.averages), project=source.project, pixel_size_A=source.pixel_size_A
    )
    doubts = refuse_particles(found, uncorrected=source.ctf_uncorrected)
    reference = None if source.reference is None else read_reference(source.reference)

    def compare(folder: Path, model: Volume) -> tuple[dict[str, Any], list[str]]:
        if reference is None:
            return {}, []
        return compare_with_reference(folder, model, reference, str(source.reference))

    with _about(found.path):
        if source.ctf_uncorrected:
            raise ValueError("averages that still have their CTF are for --method gmm-gaussian; correct them first")
        ready = ready_averages(images, found.pixel_size_A, source.contrast, mask=source.mask)
        return prepare_from_averages(
            found,
            ready.images,
            ready.signed,
            settings,
            name=TASK.method(settings),
            threads=resources.threads,
            compare=compare,
            warnings=(*notes, *doubts, *ready.notes),
        )


def _mixture(source: Averages, settings: Settings, resources: Resources) -> Prepared[Any, InitialModelResult[Mixture]]:
    found, images, notes = read_averages(
        find_averages(source.averages), project=source.project, pixel_size_A=source.pixel_size_A
    )
    uncorrected = source.ctf_uncorrected
    doubts = refuse_particles(found, uncorrected=uncorrected)
    with _about(found.path):
        # What the CTF has spread out says little about the contrast.
        stated = source.contrast or ("white" if uncorrected else None)
        mask = source.mask and not uncorrected and isinstance(settings, InitialModel)
        ready = ready_averages(images, found.pixel_size_A, stated, mask=mask)
        settings, chosen = _suited(settings, ready.signed, uncorrected)
    given = _Given(
        averages=found,
        images=ready.images,
        ctf=ctf_of_averages(found) if uncorrected else None,
        reference=None if source.reference is None else read_reference(source.reference),
        reference_name=str(source.reference),
    )
    with _about(found.path):
        algorithm = _algorithm(given, settings, resources.threads)
    return Prepared(
        settings=settings,
        inputs=(found.path,),
        algorithm=algorithm,
        state=PoissonState if isinstance(settings, InitialModel) else GaussianState,
        steps=settings.steps,
        write=lambda folder, result, state: _write(given, settings, folder, result),
        remark=_choice,
        screen=_screen(found, settings, resources.threads),
        warnings=(*notes, *doubts, *ready.notes, *chosen),
        plan={"averages": len(found)},
    )


def _algorithm(given: _Given, settings: Settings, threads: int) -> Algorithm[Any, InitialModelResult[Mixture]]:
    images, pixel = given.images, given.averages.pixel_size_A
    if isinstance(settings, InitialModel):
        return initial_model_algorithm(images, pixel, settings, threads=threads)
    return gaussian_initial_model_algorithm(images, pixel, settings, ctf=given.ctf, threads=threads)


def _suited(settings: Settings, signed: bool, uncorrected: bool) -> tuple[Settings, tuple[str, ...]]:
    """Settings of a model that can describe the averages, and what is said about a choice.

    Averages with negative pixels, or with a CTF, are no counts of matter: they go to the Gaussian noise model, with
    what was set of the settings that both models have. ValueError where something else was set.
    """
    if isinstance(settings, GaussianInitialModel) or not (signed or uncorrected):
        return settings, ()
    usual = InitialModel()
    stated = {f.name: getattr(settings, f.name) for f in fields(settings)}
    stated = {name: value for name, value in stated.items() if value != getattr(usual, name)}
    why = "averages have negative pixels" if signed else "averages still have their CTF"
    alone = [f"--{name.replace('_', '-')}" for name in stated if name not in vars(GaussianInitialModel())]
    if alone:
        raise ValueError(
            f"{why}, and are no counts of matter; {', '.join(alone)} belongs to the model of counts (gmm). Leave it "
            "out, so that gmm-gaussian is taken, or make the averages non-negative with `vitreous deconvolve --single`"
        )
    return GaussianInitialModel(**stated), (f"{why}: the Gaussian noise model is taken (gmm-gaussian)",)


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
    doubtful = _not_to_be_trusted(result, views, chain, float(correlation.mean()))
    lines = [
        f"{result.restarts_agreeing} of {settings.restarts} restarts agree"
        + (f"; not to be trusted: {'; '.join(doubtful)}" if doubtful else ""),
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
        **({"not_to_be_trusted": doubtful} if doubtful else {}),
        **chain_figures(chain),
        **figures,
    }
    return Outcome(words="\n".join(lines), summary=summary, messages=(*doubts, *against))


def _not_to_be_trusted(
    result: InitialModelResult[Mixture], views: str | None, chain: Mapping[str, TraceSummary], correlation: float
) -> list[str]:
    """What of the result the headline warns of; each says what, and why."""
    found = []
    if views is not None:
        found.append("the structure (all views are from one direction)")
    if len(result.scores) > 1 and result.restarts_agreeing == 1:
        found.append("the model (no other restart agrees)")
    if (drifting := [one for one in chain.values() if one.drifts]) != []:
        worst = max(summary.r_hat for summary in drifting)
        found.append(f"details and uncertainty (the refinement has not settled, R-hat {worst:.2f})")
    if result.poses_kept is not None and result.poses_kept.fraction < KEPT:
        found.append(f"the poses (the refinement has moved {1 - result.poses_kept.fraction:.0%} of them)")
    if correlation < ALIKE:
        found.append(f"the fit (averages and projections correlate by {correlation:.2f} only)")
    return found


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
    if result.poses_kept is not None and result.poses_kept.fraction < KEPT:
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
    about="The averages may be those of any program: a background is taken off, and dark particles are turned over. "
    "Averages that are nowhere negative, such as `vitreous deconvolve` makes, are taken for counts of matter (gmm); "
    "all others go to gmm-gaussian, whatever --method says. The hand is not determined by averages; both are written. "
    "From particles: --method em or sgd, which is `vitreous abinitio`, with its options.",
    source=Averages,
    methods={
        "gmm": InitialModel,
        "gmm-gaussian": GaussianInitialModel,
        **{name: kind for name, (kind, _) in METHODS.items()},
        "all": AllMethods,
    },
    about_methods="gmm: Gaussian mixture with counts (Poisson) as data, by Gibbs sampling; averages with negative "
    "pixels go to gmm-gaussian. gmm-gaussian: Gaussian mixture with Gaussian noise, by Hamiltonian Monte Carlo. "
    "common-lines, projection-matching, significant, stochastic, ransac, clustered-lines, quasi-newton: the methods "
    "that came before. all: each of them, ranked by one score.",
    prepare=_prepare,
    files=(*FILES, *METHOD_FILES, INITIAL_NAMES.aligned),
    results="initial*.mrc, initial*.cif, initial_data.star",
    page=initial_page,
    uses=frozenset({"threads"}),
    aliases={"symmetry": ("--sym",)},
)
run_initial = function_of(TASK)
