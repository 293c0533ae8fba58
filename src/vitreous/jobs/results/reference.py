"""A map against a reference map, as part of its job: files, figures for ``job.json``, words."""

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.particles import Volume, read_volume, write_volume
from vitreous.quality import MapAgreement, compare_maps

__all__ = [
    "INITIAL_NAMES",
    "REFINED_NAMES",
    "CompareNames",
    "agreement_lines",
    "compare_with_reference",
    "read_agreement",
    "read_reference",
]

PREFIX = "reference_"  # of the figures in job.json


@dataclass(frozen=True, kw_only=True)
class CompareNames:
    """Names of a map, of its mirror image, and of the file with the better one as the reference lies.

    cannot_tell: what does not determine the hand.
    """

    map: str
    mirror_image: str
    aligned: str
    cannot_tell: str


INITIAL_NAMES = CompareNames(
    map="initial.mrc",
    mirror_image="initial_other_hand.mrc",
    aligned="initial_aligned.mrc",
    cannot_tell="averages",
)
REFINED_NAMES = CompareNames(
    map="refined.mrc",
    mirror_image="the mirror image of refined.mrc",
    aligned="refined_aligned.mrc",
    cannot_tell="particles",
)


def read_reference(path: str | Path) -> Volume:
    """A map that a model can be compared with.

    Raises FileNotFoundError, or ValueError that names the file, for what is no cubic map with a pixel size and positive
    density.
    """
    volume = read_volume(path)
    shape = volume.data.shape
    if len(set(shape)) != 1:
        raise ValueError(f"{path}: the map has {shape} voxels [z, y, x]; a reference must be cubic")
    if not (np.isfinite(volume.data).all() and (volume.data > 0).any()):
        raise ValueError(f"{path}: the map holds NaN, or nothing positive; a reference must have white density")
    return volume


def compare_with_reference(
    folder: str | Path, model: Volume, reference: Volume, name: str, names: CompareNames = INITIAL_NAMES
) -> tuple[dict[str, Any], list[str]]:
    """Write the map of the better hand in the frame of the reference (``names.aligned``) into the folder.

    Returns (figures for ``job.json``, sentences for the user); ``name`` is what the reference is called in them.
    """
    agreement, aligned = compare_maps(model, reference)
    write_volume(Path(folder) / names.aligned, aligned)
    figures = {f"{PREFIX}{name}": _plain(value) for name, value in asdict(agreement).items()}
    figures[f"{PREFIX}field_A"] = round(len(reference.data) * reference.pixel_size_A, 3)
    return figures, agreement_lines(agreement, name, names)


def read_agreement(folder: str | Path) -> tuple[MapAgreement, float] | None:
    """(agreement with the reference, its field in Angstrom) from a finished job; None where there was no reference."""
    manifest = read_manifest(folder)
    if manifest is None or f"{PREFIX}fsc" not in manifest.summary:
        return None
    found = {field.name: manifest.summary[f"{PREFIX}{field.name}"] for field in fields(MapAgreement)}
    for name in ("resolution_A", "mirrored_resolution_A"):
        found[name] = math.inf if found[name] is None else found[name]
    return MapAgreement(**found), manifest.summary[f"{PREFIX}field_A"]


def _plain(value: Any) -> Any:
    """Rounded for ``job.json``; infinity becomes null."""
    if isinstance(value, tuple):
        return [round(number, 4) for number in value]
    if isinstance(value, bool):
        return value
    return round(value, 4) if math.isfinite(value) else None


def agreement_lines(
    found: MapAgreement, name: str = "the true volume", names: CompareNames = INITIAL_NAMES
) -> list[str]:
    """For reading; ``name`` is what the map is compared with."""
    better, other = (names.mirror_image, names.map)[:: 1 if found.other_hand else -1]
    return [
        f"{better} agrees with {name} to {_resolution(found.resolution_A)} (FSC 0.5), correlation "
        f"{found.correlation:.3f}",
        f"{other}, the other hand, to {_resolution(found.mirrored_resolution_A)}, correlation "
        f"{found.mirrored_correlation:.3f}; {names.cannot_tell} do not tell which of the two is right",
    ]


def _resolution(value_A: float) -> str:
    return f"{value_A:.1f} Å" if np.isfinite(value_A) else "no resolution at all"
