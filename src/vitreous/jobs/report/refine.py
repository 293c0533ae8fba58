"""The report of a refinement: the map and its half maps, poses and views, and how it came about."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import Curve, curves, histogram
from vitreous.jobs.report.page import Charts, Drawing, KeyFigure, Page, Section
from vitreous.jobs.report.postprocess import half_map_key_figures, half_map_sections
from vitreous.jobs.report.sphere import sphere_chart
from vitreous.jobs.results.refine import RefineFolder, read_refined
from vitreous.volumes import angular_distribution

__all__ = ["refine_page", "refined_key_figures"]

NOTHING = (
    "No resolution is claimed: what the messages say is the reason.",
    "Maps and poses were written all the same, so that they can be looked at.",
)


def refine_page(folder: Path) -> Page:
    """The page of a finished ``refine`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = read_refined(folder), read_manifest(folder)
    summary = manifest.summary if manifest else {}
    claimed = summary.get("resolution_A")
    words = f"The half maps agree to {claimed:.2f} Å." if claimed else "No resolution."
    return Page(
        kind="refinement",
        headline=f"A map of {len(found.half):,} particles. {words}",
        key_figures=refined_key_figures(found, summary),
        sections=(*half_map_sections(found.post), _poses(found), *_course(read_history(folder))),
        nothing_found=() if claimed else NOTHING,
    )


def refined_key_figures(found: RefineFolder, summary: Mapping[str, Any]) -> tuple[KeyFigure, ...]:
    """What is claimed of a refined map, its poses, and what half maps say by direction and place."""
    claimed, masked = summary.get("resolution_A"), summary.get("resolution_masked_A")
    halves = np.bincount(found.half, minlength=2)
    return (
        (
            "resolution",
            f"{claimed:.2f} Å" if claimed else "none",
            "FSC 0.143 within the sphere of the particle, with a probability of 95%",
        ),
        (
            "in the mask",
            f"{masked:.2f} Å" if masked else "none",
            "FSC 0.143, corrected for the mask: what other programs report",
        ),
        (
            "the same view",
            f"{summary.get('same_view', float('nan')):.0%}",
            "of the particles, in the map of the other half: nearly all where the map is right",
        ),
        ("particles", f"{len(found.half):,}", f"{halves[0]:,} and {halves[1]:,} in the halves, which never met"),
        (
            "poses",
            f"{np.median(found.sigma_direction_deg):.2f}°",
            f"median standard deviation of a direction, per axis; in the plane {np.median(found.sigma_psi_deg):.2f}°",
        ),
        ("views", f"{summary.get('view_efficiency', float('nan')):.0%}", "efficiency: 100% where views are even"),
        *half_map_key_figures(found.post, summary)[1:],
    )


def _poses(found: RefineFolder) -> Section:
    views = angular_distribution(found.rotations)
    most = max(float(views.counts.max()), 1.0)
    high = float(np.quantile(found.sigma_direction_deg, 0.99))
    gain = found.log_likelihood
    drawings: tuple[Drawing, ...] = (
        (
            "Viewing directions",
            sphere_chart(
                views.directions,
                views.counts / most,
                [f"{count:.0f} particles" for count in views.counts],
                title="Number of particles by viewing direction",
                legend=(f"dark: {most:.0f} particles", "pale: none", "seen along z"),
            ),
        ),
        (
            "Standard deviation of directions",
            histogram(
                found.sigma_direction_deg[found.sigma_direction_deg <= high],
                horizontal=axis(0.0, high, "degrees, per axis"),
                title="Particles by the standard deviation of their direction",
            ),
        ),
        (
            "Log likelihood above an empty image",
            histogram(
                gain, horizontal=axis(float(gain.min()), float(gain.max()), "nats"), title="Particles by likelihood"
            ),
        ),
    )
    return Section(
        name="poses",
        title="Poses and views",
        hint="Standard deviations follow from how fast the likelihood of a particle falls around its pose. They know "
        "nothing of another maximum far away.",
        panels=(Charts(drawings=drawings),),
    )


def _course(history: list[dict[str, Any]]) -> tuple[Section, ...]:
    if len(history) < 2:
        return ()
    passes = np.array([entry["iteration"] for entry in history], float)

    def chart(keys: dict[str, str], label: str, *, top: float | None = None) -> str:
        lines = [
            Curve(x=passes, y=np.array([entry[key] for entry in history], float), style=f"c{i}", name=name)
            for i, (key, name) in enumerate(keys.items())
        ]
        high = max(float(line.y.max()) for line in lines)
        return curves(
            lines,
            x=axis(float(passes[0]), float(passes[-1]), "pass", whole=True, widen=False),
            y=axis(0.0, high if top is None else min(high, top), label),
            title=f"{label} by pass",
        )

    drawings = (
        ("Resolution", chart({"resolution_A": "resolved", "search_resolution_A": "in use"}, "Å")),
        ("Poses", chart({"turned_deg": "median change", "accuracy_deg": "standard deviation"}, "degrees", top=10.0)),
        ("Log likelihood", chart({"log_likelihood": "mean of a particle"}, "nats")),
    )
    return (
        Section(
            name="course",
            title="How it came about",
            hint="Resolved (teal): FSC of the half maps 0.143 within the sphere of the particle. Some rings beyond are "
            "in use (orange). Poses: median change in a pass (teal), standard deviation (orange).",
            panels=(Charts(drawings=drawings),),
        ),
    )
