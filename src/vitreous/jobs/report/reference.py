"""The part of a report that compares the model with a reference map."""

from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.model_reference import ALIGNED, read_agreement
from vitreous.jobs.report.axes import axis, frequency_axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import slices
from vitreous.particles import read_volume

__all__ = ["reference_panel"]

HEAD = ("hand", "map", "correlation", "FSC 0.5")


def reference_panel(folder: Path) -> dict[str, Any] | None:
    """What the template shows of the comparison in an ``initial`` folder; None where there was none."""
    manifest, read = read_manifest(folder), read_agreement(folder)
    if manifest is None or read is None:
        return None
    found, field_A = read
    maps = ["initial.mrc", "initial_other_hand.mrc"][:: -1 if found.other_hand else 1]
    better = (maps[0], f"{found.correlation:.3f}", _resolution(found.resolution_A))
    mirrored = (maps[1], f"{found.mirrored_correlation:.3f}", _resolution(found.mirrored_resolution_A))
    return {
        "name": manifest.settings.get("reference", "the reference"),
        "head": HEAD,
        "rows": [("better", *better), ("mirror image", *mirrored)],
        "chart": _fsc(np.array(found.fsc), np.array(found.mirrored_fsc), field_A),
        "slices": _slices(folder, manifest.settings.get("reference", "")),
    }


def _slices(folder: Path, reference: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """(heading, slices) of the aligned model, and of the reference where it still is."""
    found = [("The model as the reference lies", slices(read_volume(folder / ALIGNED).data))]
    if reference and Path(reference).is_file():
        found.append(("The reference", slices(read_volume(reference).data)))
    return found


def _fsc(better: np.ndarray, mirrored: np.ndarray, field_A: float) -> str:
    """Both curves over spatial frequency, without the mean densities, which only have a sign."""
    better, mirrored, frequency = better[1:], mirrored[1:], np.arange(1, len(better)) / field_A
    return curves(
        [
            Curve(x=frequency, y=mirrored, style="faint", name="mirror image"),
            Curve(x=frequency, y=better, name="better hand"),
        ],
        x=frequency_axis(float(frequency[-1])),
        y=axis(min(0.0, float(better.min()), float(mirrored.min())), 1.0, "FSC"),
        title="Fourier shell correlation with the reference",
        guides=((0.5, "0.5"),),
    )


def _resolution(value_A: float) -> str:
    return f"{value_A:.1f} Å" if np.isfinite(value_A) else "none"
