"""The section of a report that compares a map with a reference map."""

from pathlib import Path

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.axes import frequency_axis, fsc_axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import slices
from vitreous.jobs.report.page import Charts, Columns, Rows, Section, Slices
from vitreous.jobs.results.reference import INITIAL_NAMES, CompareNames, read_agreement
from vitreous.particles import read_volume
from vitreous.quality import MapAgreement

__all__ = ["reference_section"]

HEAD = ("hand", "map", "correlation", "FSC 0.5")


def reference_section(folder: Path, names: CompareNames = INITIAL_NAMES) -> Section:
    """The comparison in a folder; a section without panels where there was none."""
    manifest, read = read_manifest(folder), read_agreement(folder)
    reference = str(manifest.settings.get("reference") or "") if manifest else ""
    hint = (
        f"The map has been turned and shifted onto {reference or 'the reference'}, in both hands; it was made "
        "without that map. Correlation and FSC are over the whole box, without a mask."
    )
    panels = () if manifest is None or read is None else (_panels(folder, reference, names, *read),)
    return Section(name="reference", title="Against the reference", hint=hint, panels=panels)


def _panels(folder: Path, reference: str, names: CompareNames, found: MapAgreement, field_A: float) -> Columns:
    maps = [names.map, names.mirror_image][:: -1 if found.other_hand else 1]
    better = (maps[0], f"{found.correlation:.3f}", _resolution(found.resolution_A))
    mirrored = (maps[1], f"{found.mirrored_correlation:.3f}", _resolution(found.mirrored_resolution_A))
    chart = _fsc(np.array(found.fsc), np.array(found.mirrored_fsc), field_A)
    views = [slices("The map as the reference lies", read_volume(folder / names.aligned).data)]
    if reference and Path(reference).is_file():  # it may have been moved since
        views.append(slices("The reference", read_volume(reference).data))
    return Columns(
        left=(
            Rows(head=HEAD, rows=(("better", *better), ("other hand", *mirrored))),
            Charts(drawings=(("Fourier shell correlation; pale: the mirror image", chart),)),
        ),
        right=(Slices(maps=tuple(views)),),
    )


def _fsc(better: np.ndarray, mirrored: np.ndarray, field_A: float) -> str:
    """Both curves over spatial frequency, without the mean densities, which only have a sign."""
    better, mirrored, frequency = better[1:], mirrored[1:], np.arange(1, len(better)) / field_A
    return curves(
        [
            Curve(x=frequency, y=mirrored, style="faint", name="mirror image"),
            Curve(x=frequency, y=better, name="better hand"),
        ],
        x=frequency_axis(float(frequency[-1])),
        y=fsc_axis(),
        title="Fourier shell correlation with the reference",
        guides=((0.5, "0.5"),),
    )


def _resolution(value_A: float) -> str:
    return f"{value_A:.1f} Å" if np.isfinite(value_A) else "none"
