"""The report of an ``initial`` job: the model, its uncertainty, its views, and whether restarts agree."""

from pathlib import Path

import numpy as np

from vitreous.jobs.convergence_of import CHAIN_HEAD, chain_rows, refinement_chain
from vitreous.jobs.history import read_history
from vitreous.jobs.initial_folder import InitialFolder, read_initial
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.images import data_address, show
from vitreous.jobs.report.maps import directions_chart, slices, write_page
from vitreous.jobs.report.reference import reference_panel
from vitreous.jobs.report.surface import surface_panel
from vitreous.mixtures import TraceSummary, worst_verdict

__all__ = ["write_initial_report"]

AGREES = 0.9  # of the poses
CHOICE_HEAD = ("Gaussians", "behind the best", "standard error", "")
RESTART_HEAD = ("restart", "{score}", "behind the best", "poses as in the best", "hand", "")


def write_initial_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a finished ``initial`` folder from the files there, and return its path.

    Raises JobFolderError when the folder lacks the results.
    """
    path = Path(folder)
    found = read_initial(path)
    agreeing = int((found.restarts.numbers("vtrAgreeingFraction") >= AGREES).sum())
    return write_page(
        path,
        "initial.html.j2",
        headline=_headline(path, found, agreeing),
        key_figures=_key_figures(path, found, agreeing),
        files="initial.mrc" if len(found.conformations) == 1 else "initial_conformation1.mrc",
        models=_models(found),
        pairs=_pairs(found),
        restart_head=[word.format(score=found.score) for word in RESTART_HEAD],
        restarts=_restart_rows(found),
        choice_head=CHOICE_HEAD,
        choice=_choice_rows(path),
        chain_head=CHAIN_HEAD,
        chain=chain_rows(_chain(path)),
        reference=reference_panel(path),
        charts=[*_traces(path), ("Viewing directions", directions_chart(found.rotations))],
    )


def _models(found: InitialFolder) -> list[tuple[str, str, list[tuple[str, list[tuple[str, str]]]]]]:
    """(heading, surface, [(what, slices)]) of every conformation; the later ones with their difference from the first.

    A single model needs no heading.
    """
    models = []
    several, first = len(found.conformations) > 1, found.conformations[0]
    for number, one in enumerate(found.conformations, start=1):
        views = [("Posterior mean" if one.variance else "Map", slices(one.mean.data))]
        if one.variance is not None:
            views.append(("Standard deviation of the posterior", slices(np.sqrt(one.variance.data.clip(min=0.0)))))
        if number > 1:
            views.append(("Difference from conformation 1 (white: more here)", slices(one.mean.data - first.mean.data)))
        heading = f"Conformation {number}: {one.averages} of {len(found.averages)} averages" if several else ""
        title = f"Surface of conformation {number}" if several else "Surface of the posterior mean"
        models.append((heading, surface_panel(one.mean.data, one.mean.pixel_size_A, title=title), views))
    return models


def _headline(path: Path, found: InitialFolder, agreeing: int) -> str:
    manifest, restarts = read_manifest(path), len(found.restarts)
    count = len(found.conformations)
    kind = "An initial model" if count == 1 else f"An initial model of {count} conformations"
    text = f"{kind} from {len(found.averages)} averages"
    if manifest and manifest.summary.get("views_along_one_axis"):
        return f"{text}, which are all seen from about one direction: they do not determine the structure."
    if restarts == 1:
        return f"{text}; a single start, so that nothing says whether it is reproducible."
    if agreeing == 1:
        return f"{text}; none of the other {restarts - 1} restarts agrees with it."
    return f"{text}; {agreeing} of {restarts} restarts agree."


def _key_figures(path: Path, found: InitialFolder, agreeing: int) -> list[tuple[str, str, str]]:
    """(name, figure, remark)."""
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
        figures.append(("uncertainty", f"{relative:.0%}", "standard deviation by mean, root mean square"))
    if "component_sigma_A" in summary:
        figures.append(("component size", f"{summary['component_sigma_A']:.1f} Å", "sigma of every Gaussian"))
        figures.append(_independent(_chain(path)))
    return [*figures, ("map", f"{len(found.mean.data)}³", f"{found.mean.pixel_size_A:.2f} Å per pixel")]


def _chain(path: Path) -> dict[str, TraceSummary]:
    """Convergence of the refinement's samples."""
    manifest = read_manifest(path)
    return refinement_chain(path, manifest.settings["samples"]) if manifest and "samples" in manifest.settings else {}


def _independent(chain: dict[str, TraceSummary]) -> tuple[str, str, str]:
    least = min((summary.ess for summary in chain.values()), default=float("nan"))
    figure = f"{least:.0f}" if np.isfinite(least) else "unknown"
    return ("independent samples", figure, f"of the refinement; {worst_verdict(chain.values())}")


def _pairs(found: InitialFolder) -> list[tuple[int, str, str, str]]:
    """(number, average, projection, correlation)."""
    return [
        (i, data_address(show(a, largest=96, fade=False)), data_address(show(p, largest=96, fade=False)), f"{c:.3f}")
        for i, (a, p, c) in enumerate(zip(found.averages, found.projections, found.correlation, strict=True), start=1)
    ]


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
                f"{log_p[i]:,.0f}",
                f"{log_p.max() - log_p[i]:,.0f}",
                f"{fraction:.0%}",
                hand if fraction >= AGREES else "",
                "refined" if refined else ("agrees" if fraction >= AGREES else ""),
            )
        )
    return rows


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


def _traces(path: Path) -> list[tuple[str, str]]:
    """(heading, drawing) of the log posteriors over the rounds."""
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
