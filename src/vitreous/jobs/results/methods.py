"""The table of methods that made a model from the same averages, their maps and pictures: written and read back.

``initial_methods.star`` has a row per method, and in its second table the resolution at which the maps of two methods
agree (FSC 0.5), over both hands; they are brought together by the poses of the averages, which all methods share.
``initial_method_NAME.mrc`` are the maps where there are several, and ``initial_strips.mrcs`` has nine pictures per
method: three slices (in the frame and hand of the model that was chosen), three averages, and their projections.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.conventions import centre_index
from vitreous.particles import Table, Volume, read_stack, read_star, write_mrc_stack, write_star, write_volume
from vitreous.quality import MapAlignment, resample_aligned, resolution_at, shell_correlation
from vitreous.rotations import compare_poses, mirrored_poses
from vitreous.structures.from_averages import MethodModel
from vitreous.volumes import project_map, resample

__all__ = ["METHOD_FILES", "MethodRows", "costs_of", "frame_of", "read_methods", "write_methods"]

TABLE, STRIPS = "initial_methods.star", "initial_strips.mrcs"
METHOD_FILES = (TABLE, STRIPS, "initial_method_*.mrc")
SHOWN = 3  # averages per method: the first, the middle and the last one of those given
PICTURES = 9
COMPARED_PX = 48  # voxels along maps that are compared with each other
AGREE, WITHIN_DEG = 0.5, 20.0  # FSC at which maps agree; poses that agree


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodRows:
    """rows: of the methods; pairs: (a, b, resolution in Angstrom as text, hand); strips: (methods, 9, L, L)."""

    rows: Table
    pairs: tuple[tuple[str, str, str, str], ...]
    strips: np.ndarray


def costs_of(history: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """(CPU seconds of all starts, the most memory in MB that the process took meanwhile) of every method."""
    found: dict[str, tuple[float, float]] = {}
    for entry in history:
        if "method" in entry and "cpu_s" in entry:
            seconds, most = found.get(entry["method"], (0.0, 0.0))
            found[entry["method"]] = (seconds + entry["cpu_s"], max(most, entry["peak_MB"]))
    return found


def write_methods(
    folder: Path,
    methods: Sequence[MethodModel],
    best: int,
    images: np.ndarray,
    pixel_size_A: float,
    costs: Mapping[str, tuple[float, float]],
    group: np.ndarray,
) -> None:
    """Write the table, and maps and pictures; images (n, L, L) are the averages, group (g, 3, 3) the particle's."""
    names = [one.method for one in methods]
    rows: dict[str, Any] = {
        "vtrMethod": names,
        "vtrChosen": [int(i == best) for i in range(len(methods))],
        "vtrScore": [round(one.score.score, 4) for one in methods],
        "vtrBeyondChance": [round(one.score.beyond, 2) for one in methods],
        "vtrHeldOutCorrelation": [round(one.score.correlation, 4) for one in methods],
        "vtrAgreementOfRestarts": [_or_unknown(one) for one in methods],
        "vtrCpuSeconds": [round(costs.get(name, (0.0, 0.0))[0], 1) for name in names],
        "vtrPeakMegabytes": [round(costs.get(name, (0.0, 0.0))[1]) for name in names],
    }
    tables = {"methods": Table.from_arrays(rows)}
    if len(methods) > 1:
        tables["pairs"] = _pairs(methods, group)
        for one in methods:
            write_volume(folder / f"initial_method_{one.method}.mrc", one.map)
    write_star(folder / TABLE, tables)
    chosen = methods[best]
    strips = np.concatenate([_strip(one, frame_of(chosen, one, group), images, pixel_size_A) for one in methods])
    write_mrc_stack(folder / STRIPS, strips, pixel_size_A)


def _or_unknown(one: MethodModel) -> float:
    """What restarts share; NaN of a single one, which has nothing to agree with."""
    return round(one.agreeing, 3) if len(one.agreements) > 1 else math.nan


def read_methods(folder: Path) -> MethodRows | None:
    """What :func:`write_methods` wrote; None where there is no such table."""
    if not (folder / TABLE).is_file():
        return None
    tables = read_star(folder / TABLE)
    strips = read_stack(folder / STRIPS)
    pairs: tuple[tuple[str, str, str, str], ...] = ()
    if "pairs" in tables:
        columns = ("vtrMethod", "vtrOtherMethod", "vtrResolution", "vtrHand")
        pairs = tuple(zip(*(tables["pairs"].text(name) for name in columns), strict=True))
    return MethodRows(rows=tables["methods"], pairs=pairs, strips=strips.reshape(-1, PICTURES, *strips.shape[1:]))


def _pairs(methods: Sequence[MethodModel], group: np.ndarray) -> Table:
    small = [_small(one.map) for one in methods]
    found = []
    for a, b in combinations(range(len(methods)), 2):
        where, side, pixel = frame_of(methods[a], methods[b], group), len(small[a].data), small[a].pixel_size_A
        turned = resample_aligned(small[b].data, small[b].pixel_size_A, where, side, pixel)
        curve = shell_correlation(torch.from_numpy(turned), torch.from_numpy(small[a].data))
        resolution = float(resolution_at(curve, AGREE, side, pixel))
        text = f"{resolution:.1f}" if np.isfinite(resolution) else "none"
        found.append((methods[a].method, methods[b].method, text, "other" if where.other_hand else "same"))
    names = ("vtrMethod", "vtrOtherMethod", "vtrResolution", "vtrHand")
    return Table.from_arrays(dict(zip(names, map(list, zip(*found, strict=True)), strict=True)))


def frame_of(one: MethodModel, other: MethodModel, group: np.ndarray) -> MapAlignment:
    """How the map of ``other`` lies in that of ``one``, from the poses of the same averages in both.

    Rotation M and hand are those of most poses, ``G_1 = M G_2``. Where ``V_1(y) = V_2(M^T y + t)``, origins differ by
    ``o_2 - o_1 = (G_2^T t)_xy``, which gives t by least squares over the averages that agree.
    """
    both = compare_poses(other.rotation, one.rotation, group=group, within_deg=WITHIN_DEG)
    turned = mirrored_poses(other.rotation) if both.other_hand else other.rotation
    across = np.swapaxes(turned, 1, 2)[both.agrees, :2].reshape(-1, 3)
    shift = np.linalg.lstsq(across, (other.origin_A - one.origin_A)[both.agrees].ravel(), rcond=None)[0]
    return MapAlignment(
        rotation=both.rotation,
        shift_A=-both.rotation @ shift,
        other_hand=both.other_hand,
        correlation=both.fraction,
    )


def _small(volume: Volume) -> Volume:
    side = len(volume.data)
    if side <= COMPARED_PX:
        return volume
    return resample(volume, COMPARED_PX, volume.pixel_size_A * side / COMPARED_PX)


def _strip(one: MethodModel, frame: MapAlignment, images: np.ndarray, pixel_size_A: float) -> np.ndarray:
    """(9, L, L), every picture with a standard deviation of 1; slices in the frame and hand of another model."""
    side = images.shape[1]
    data = resample_aligned(one.map.data, one.map.pixel_size_A, frame, side, pixel_size_A)
    shown = np.linspace(0, len(images) - 1, SHOWN).round().astype(int)
    projections = project_map(one.map, one.rotation[shown], one.origin_A[shown], side, pixel_size_A)
    z, y, x = (centre_index(length) for length in data.shape)
    pictures = np.concatenate([[data[z], data[:, y], data[:, :, x]], images[shown], projections])
    spread = pictures.std(axis=(1, 2), keepdims=True)
    return np.asarray((pictures - pictures.mean(axis=(1, 2), keepdims=True)) / np.maximum(spread, 1e-12), np.float32)
