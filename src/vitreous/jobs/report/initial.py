"""The report of an ``initial`` job: the model, its uncertainty, its views, and whether restarts agree."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.initial_methods import methods_section
from vitreous.jobs.report.maps import CHAIN_HINT, MOST_PAIRS, TURN_HINT, directions_chart, map_panel, pairs, slices
from vitreous.jobs.report.page import Charts, Drawing, KeyFigure, Page, Panel, Rows, Section, Text
from vitreous.jobs.report.reference import reference_section
from vitreous.jobs.results.chains import CHAIN_HEAD, chain_rows, refinement_chain
from vitreous.jobs.results.initial import InitialFolder, read_initial
from vitreous.mixtures import TraceSummary, worst_verdict

__all__ = ["initial_page"]

AGREES = 0.9  # of the poses
CHOICE_HEAD = ("Gaussians", "behind the best", "standard error", "")
RESTART_HEAD = ("restart", "{score}", "behind the best", "poses as in the best", "hand", "")


def initial_page(folder: Path) -> Page:
    """The page of a finished ``initial`` folder. Raises JobFolderError when the folder lacks the results."""
    found = read_initial(folder)
    agreeing = int((found.restarts.numbers("vtrAgreeingFraction") >= AGREES).sum())
    stem = "initial" if len(found.conformations) == 1 else "initial_conformation1"
    return Page(
        kind="initial model",
        headline=_headline(folder, found, agreeing),
        key_figures=tuple(_key_figures(folder, found, agreeing)),
        notes=(
            "The hand is not determined: averages cannot tell this model from its mirror image. "
            f"{stem}.mrc and {stem}_other_hand.mrc explain them equally well.",
        ),
        sections=(
            Section(name="model", title="Model", hint=TURN_HINT, panels=_models(found)),
            reference_section(folder),
            methods_section(folder),
            _average_section(found),
            _restart_section(folder, found),
            _choice_section(folder),
        ),
    )


def _models(found: InitialFolder) -> tuple[Panel, ...]:
    """Surface and slices of every conformation; the later ones with their difference from the first.

    A single model needs no heading.
    """
    panels: list[Panel] = []
    several, first = len(found.conformations) > 1, found.conformations[0]
    for number, one in enumerate(found.conformations, start=1):
        views = []
        if one.variance is not None:
            views.append(slices("Standard deviation of the posterior", np.sqrt(one.variance.data.clip(min=0.0))))
        if number > 1:
            difference = one.mean.data - first.mean.data
            views.append(slices("Difference from conformation 1 (white: more here)", difference))
        if several:
            heading = f"Conformation {number}: {one.averages} of {len(found.averages)} averages"
            panels.append(Text(heading=heading))
        title = f"Surface of conformation {number}" if several else "Surface of the posterior mean"
        panels.append(map_panel(one.mean, *views, title=title, what="Posterior mean" if one.variance else "Map"))
    return tuple(panels)


def _average_section(found: InitialFolder) -> Section:
    left_out = max(0, len(found.averages) - MOST_PAIRS)
    hint = "Left the average, right the projection of the model in the pose that was found; correlation of the two."
    return Section(
        name="averages",
        title="Averages and the model in the same views",
        hint=f"{hint} The {left_out} averages that agree best are not shown." if left_out else hint,
        panels=(pairs(found.averages, found.projections, found.correlation, what="Average"),),
    )


def _restart_section(folder: Path, found: InitialFolder) -> Section:
    together = ", for each conformation by itself, and the same averages show it" * (len(found.conformations) > 1)
    chain = chain_rows(_chain(folder))
    drawings = (*_traces(folder), ("Viewing directions", directions_chart(found.rotations)))
    samples: tuple[Panel, ...] = (
        Text(heading="Samples of the refinement", text=CHAIN_HINT),
        Rows(head=CHAIN_HEAD, rows=tuple(chain)),
    )
    return Section(
        name="restarts",
        title="Restarts",
        hint="Every restart begins at random. Two agree when one rotation (or one "
        f"rotation and a reflection) takes nine poses in ten of the one to those of the other{together}. The "
        f"{found.score} ranks them.",
        panels=(
            Rows(head=tuple(word.format(score=found.score) for word in RESTART_HEAD), rows=tuple(_restart_rows(found))),
            *(samples if chain else ()),
            Charts(drawings=drawings),
        ),
    )


def _choice_section(folder: Path) -> Section:
    rows = tuple(_choice_rows(folder))
    return Section(
        name="components",
        title="Number of Gaussians",
        hint="A fifth of the averages was held out and predicted by short refinements with the others. The fewest "
        "Gaussians were chosen whose log likelihood of the held-out averages is within one standard error of the best.",
        panels=(Rows(head=CHOICE_HEAD, rows=rows),) if rows else (),
    )


def _headline(path: Path, found: InitialFolder, agreeing: int) -> str:
    manifest, restarts = read_manifest(path), len(found.restarts)
    count = len(found.conformations)
    kind = "An initial model" if count == 1 else f"An initial model of {count} conformations"
    text = f"{kind} from {len(found.averages)} averages"
    summary = manifest.summary if manifest else {}
    if summary.get("views_along_one_axis"):
        return f"{text}, which are all seen from about one direction: they do not determine the structure."
    return f"{text}; {_agreement(restarts, agreeing)}.{_not_trusted(summary)}"


def _agreement(restarts: int, agreeing: int) -> str:
    if restarts == 1:
        return "a single start, so that nothing says whether it is reproducible"
    if agreeing == 1 and restarts == 2:
        return "the other restart does not agree with it"
    if agreeing == 1:
        return f"none of the other {restarts - 1} restarts agrees with it"
    return f"{agreeing} of {restarts} restarts agree"


def _not_trusted(summary: Mapping[str, Any]) -> str:
    """What else the headline warns of."""
    doubtful = summary.get("not_to_be_trusted", [])
    return f" Not to be trusted: {'; '.join(doubtful)}." if doubtful else ""


def _key_figures(path: Path, found: InitialFolder, agreeing: int) -> list[KeyFigure]:
    manifest = read_manifest(path)
    settings = manifest.settings if manifest else {}
    summary = manifest.summary if manifest else {}
    agree = found.restarts.numbers("vtrAgreeingFraction") >= AGREES
    mirrored = int((agree & (found.restarts.numbers("vtrOtherHand") > 0)).sum())
    figures = [
        ("restarts that agree", f"{agreeing} of {len(agree)}", f"{mirrored} of them with the other hand"),
        ("averages", f"{len(found.averages)}", f"symmetry {settings.get('symmetry', 'unknown')}"),
        ("correlation", f"{found.correlation.mean():.3f}", "of averages and projections, mean"),
    ]
    if found.variance is not None:
        deviation = np.sqrt(found.variance.data.clip(min=0.0))
        relative = float(np.linalg.norm(deviation) / np.linalg.norm(found.mean.data))
        figures.append(("uncertainty", f"{relative:.0%}", "standard deviation over mean, root mean square"))
    if "component_sigma_A" in summary:
        figures.append(("component size", f"{summary['component_sigma_A']:.1f} Å", "sigma of every Gaussian"))
        figures.append(_independent(_chain(path)))
    return [*figures, ("map", f"{len(found.mean.data)}³", f"{found.mean.pixel_size_A:.2f} Å per pixel")]


def _chain(path: Path) -> dict[str, TraceSummary]:
    """Convergence of the refinement's samples."""
    manifest = read_manifest(path)
    return refinement_chain(path, manifest.settings["samples"]) if manifest and "samples" in manifest.settings else {}


def _independent(chain: dict[str, TraceSummary]) -> KeyFigure:
    least = min((summary.ess for summary in chain.values()), default=float("nan"))
    figure = f"{least:.0f}" if np.isfinite(least) else "unknown"
    return ("independent samples", figure, f"of the refinement; {worst_verdict(chain.values())}")


def _restart_rows(found: InitialFolder) -> list[tuple[str, ...]]:
    table = found.restarts
    log_p = found.scores
    rows: list[tuple[str, ...]] = []
    for i in np.argsort(-log_p, kind="stable"):
        refined = table.numbers("vtrRefined")[i] > 0
        fraction = table.numbers("vtrAgreeingFraction")[i]
        hand = "the other" if table.numbers("vtrOtherHand")[i] > 0 else "the same"
        rows.append(
            (
                f"{int(table.numbers('vtrRestart')[i])}",
                _figure(log_p[i], log_p),
                _figure(log_p.max() - log_p[i], log_p),
                f"{fraction:.0%}",
                hand if fraction >= AGREES else "",
                "refined" if refined else ("agrees" if fraction >= AGREES else ""),
            )
        )
    return rows


def _figure(value: float, all_of: np.ndarray) -> str:
    """Log posteriors are thousands, other scores parts of 1."""
    return f"{value:.3f}" if np.abs(all_of).max() < 10 else f"{value:,.0f}"


def _choice_rows(path: Path) -> list[tuple[str, ...]]:
    """How many Gaussians were tried, where they were chosen from the data."""
    for entry in read_history(path):
        if "components_tried" in entry:
            table = zip(entry["components_tried"], entry["behind"], entry["standard_errors"], strict=True)
            return [
                (f"{number}", f"{behind:,.1f}", f"{error:,.1f}", "chosen" if number == entry["components"] else "")
                for number, behind, error in table
            ]
    return []


def _traces(path: Path) -> list[Drawing]:
    """The log posteriors over the rounds."""
    history = read_history(path)
    first = [entry for entry in history if entry.get("stage") == "initial"]
    later = [entry for entry in history if entry.get("stage") == "refinement"]
    drawings = []
    if len(first) > 1:
        rounds = np.array([entry["iteration"] for entry in first], dtype=float)
        values = np.array([entry["log_posteriors"] for entry in first], dtype=float).T
        many = len(values) > 6
        lines = [
            Curve(x=rounds, y=y, style="faint" if many else f"c{r}", name=f"restart {r + 1}")
            for r, y in enumerate(values)
        ]
        # The first rounds are far below the others, and would flatten everything that matters.
        drawings.append(("Log posterior of every restart", _trace(lines, "log posterior", "round", 0.25)))
    if len(later) > 1:
        steps = np.array([entry["iteration"] for entry in later], dtype=float)
        for key, heading in (("log_posterior", "Log posterior of the refinement"), ("sigma_A", "Component size (Å)")):
            line = Curve(x=steps, y=np.array([entry[key] for entry in later], dtype=float))
            drawings.append((heading, _trace([line], heading, "step of the job", 0.05)))
    return drawings


def _trace(lines: list[Curve], title: str, label: str, drop: float) -> str:
    low = min(float(np.quantile(line.y, drop)) for line in lines)
    high = max(float(line.y.max()) for line in lines)
    return curves(
        lines,
        x=axis(float(lines[0].x[0]), float(lines[0].x[-1]), label, whole=True, widen=False),
        y=axis(low, high, "", count=4),
        title=title,
    )
