"""What is left of an extraction: particles, what was left out and why, micrographs; and read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from vitreous.jobs.folder import JobFolderError
from vitreous.micrographs import BoxPlan, Coordinates, ExtractState, stack_name
from vitreous.micrographs.extraction import LEFT_OUT
from vitreous.particles import Table, atomic_path, image_name, read_arrays, read_images, read_star, write_star
from vitreous.particles.optics_groups import group_index, synthesise_optics

__all__ = ["FILES", "FOLDER", "ExtractFolder", "read_extract", "write_extract"]

PARTICLES, LEFT, STATE, MEAN, FOLDER = "particles.star", "left_out.star", "micrographs.star", "mean.npz", "extracted"
FILES = (PARTICLES, LEFT, STATE, MEAN, f"{FOLDER}/*.mrcs")
REASON, WORDS = "vtrReason", "vtrFailure"
EXAMPLES = 36
OLD = (  # of other boxes, or said of these in other words
    "rlnImageName", "rlnImageOriginalName", "rlnOriginX", "rlnOriginY", "rlnDetectorPixelSize", "rlnMagnification",
    "rlnImagePixelSize", "rlnImageSize", "rlnImageDimensionality", "rlnMicrographPixelSize",
    "rlnCtfDataArePhaseFlipped", "rlnCtfDataAreCtfPremultiplied", "blob/sign",
)  # fmt: skip
OF_GROUPS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtractFolder:
    """What the files of a finished job say."""

    particles: Table | None  # None where there are none
    left_out: Table
    micrographs: Table
    mean: np.ndarray  # (L, L) of all boxes
    number: np.ndarray  # of the examples, from 1
    examples: np.ndarray  # (m, L, L)


def write_extract(folder: Path, found: Coordinates, plan: BoxPlan, state: ExtractState) -> int:
    """The tables of a finished extraction; returns the number of boxes."""
    names, good = _image_names(folder, plan, state), state.fate == 0
    order = np.concatenate([rows[good[rows]] for rows in plan.rows])
    if len(order):
        table, optics = _with_optics(found, plan)
        table = table.take(order).with_columns(
            {
                "rlnCoordinateX": state.place_px[order, 0].astype(float),
                "rlnCoordinateY": state.place_px[order, 1].astype(float),
                "rlnImageName": [names[row] for row in order.tolist()],
            }
        )
        if any(name in found.table for name in ("rlnOriginXAngst", "rlnOriginX")):
            shift = np.round(state.origin_A[order], 6)
            table = table.with_columns({"rlnOriginXAngst": shift[:, 0], "rlnOriginYAngst": shift[:, 1]})
        write_star(folder / PARTICLES, {"optics": optics, "particles": table})
    _write_left_out(folder, found, state)
    _write_micrographs(folder, plan, state)
    with atomic_path(folder / MEAN) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, mean=(state.total / max(1, len(order))).astype(np.float32))
    return len(order)


def read_extract(folder: str | Path) -> ExtractFolder:
    """Read what the job wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    for name in (STATE, LEFT, MEAN):
        if not (path / name).is_file():
            raise JobFolderError(f"{path} has no {name}: it is not the folder of a finished extract job")
    particles = read_star(path / PARTICLES)["particles"] if (path / PARTICLES).is_file() else None
    chosen = np.zeros(0, dtype=np.int64)
    if particles is not None:
        chosen = np.unique(np.linspace(0, len(particles) - 1, min(EXAMPLES, len(particles))).astype(np.int64))
    mean = read_arrays(path / MEAN)["mean"]
    return ExtractFolder(
        particles=particles,
        left_out=read_star(path / LEFT)["left_out"],
        micrographs=read_star(path / STATE)["micrographs"],
        mean=mean,
        number=chosen + 1,
        examples=_examples(path, particles, chosen, len(mean)),
    )


def _examples(path: Path, particles: Table | None, chosen: Sequence[int] | np.ndarray, side_px: int) -> np.ndarray:
    if particles is None:
        return np.zeros((0, side_px, side_px), dtype=np.float32)
    images = []
    for name in particles.text("rlnImageName")[chosen]:
        number, _, file = name.partition("@")
        images.append(read_images(path / FOLDER / Path(file).name, [int(number) - 1])[0])
    return np.stack(images)


def _image_names(folder: Path, plan: BoxPlan, state: ExtractState) -> dict[int, str]:
    """Names of the images by particle; below the folder as it was given, which is what RELION takes names for."""
    names = {}
    for micrograph, rows in zip(plan.micrographs, plan.rows, strict=True):
        file = str(folder / FOLDER / stack_name(micrograph))
        names.update({row: image_name(i, file) for i, row in enumerate(rows[state.fate[rows] == 0].tolist())})
    return names


def _with_optics(found: Coordinates, plan: BoxPlan) -> tuple[Table, Table]:
    """Particles that name their optics groups, and the groups with box and pixel sizes."""
    table, optics = found.table, found.optics
    if optics is None:
        optics, group = synthesise_optics(table)
    else:
        group = group_index(table, optics)
    numbers = optics["rlnOpticsGroup"] if "rlnOpticsGroup" in optics else np.arange(1, len(optics) + 1)
    used = np.unique(group)
    kept = optics.without(OLD).with_columns(
        {
            "rlnOpticsGroup": numbers,
            "rlnMicrographPixelSize": np.full(len(optics), plan.pixel_size_A),
            "rlnImagePixelSize": np.full(len(optics), plan.written_pixel_A),
            "rlnImageSize": np.full(len(optics), plan.side_px),
            "rlnImageDimensionality": np.full(len(optics), 2),
        }
    )
    kept = kept.with_columns({name: np.full(len(optics), value) for name, value in plan.microscope.items()})
    plain = table.without([*OLD, *(name for name in OF_GROUPS if name in kept)])
    return plain.with_columns({"rlnOpticsGroup": numbers[group]}), kept.take(used)


def _write_left_out(folder: Path, found: Coordinates, state: ExtractState) -> None:
    rows = np.flatnonzero(state.fate != 0)
    table = found.table.take(rows)
    columns: dict[str, ArrayLike] = {
        name: table.text(name).tolist() for name in ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY")
    }
    columns[REASON] = [LEFT_OUT[int(state.fate[row])] for row in rows]
    write_star(folder / LEFT, {"left_out": Table.from_arrays(columns)})


def _write_micrographs(folder: Path, plan: BoxPlan, state: ExtractState) -> None:
    counts = np.array([[(state.fate[rows] == k).sum() for k in (0, *LEFT_OUT)] for rows in plan.rows])
    table: dict[str, ArrayLike] = {
        "rlnMicrographName": [micrograph.name for micrograph in plan.micrographs],
        "vtrPicks": [len(rows) for rows in plan.rows],
        "vtrBoxes": counts[:, 0],
        "vtrEdge": counts[:, 1],
        "vtrFlat": counts[:, 2],
        "vtrHotPixels": state.hot_px,
        WORDS: [why.replace('"', "'") or "none" for why in state.failure],
    }
    write_star(folder / STATE, {"micrographs": Table.from_arrays(table)})
