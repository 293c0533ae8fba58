"""What is left of picking: coordinates of every micrograph, one table of all, boxes; and read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from vitreous.jobs.folder import JobFolderError
from vitreous.micrographs import ListedMicrograph, PickedMicrograph, Picks, PickState
from vitreous.particles import Table, read_star, write_bytes_atomic, write_star, write_text_atomic
from vitreous.particles.cryosparc import write_locations
from vitreous.pictures import png

__all__ = ["FILES", "PickFolder", "Shown", "read_picks", "write_micrograph", "write_tables"]

PICKS, CRYOSPARC, COORDINATES, STATE = "picks.star", "picks.cs", "autopick.star", "micrographs.star"
FOLDER, SUFFIX, EXCLUDED, BOX, PICTURE = "picks", "_autopick.star", "_excluded.star", ".box", ".png"
FILES = (PICKS, CRYOSPARC, COORDINATES, STATE, *(f"{FOLDER}/*{end}" for end in (SUFFIX, EXCLUDED, BOX, PICTURE)))
NAMES = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", "rlnClassNumber", "rlnAnglePsi")
SIGNIFICANCE, CARBON, REASON, WORDS = "vtrSignificance", "vtrCarbon", "vtrReason", "vtrFailure"
BOXES = 1.5  # diameters: side of the boxes in .box files, even


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A micrograph of the report."""

    name: str
    png: bytes
    shape: tuple[int, int]  # of the micrograph
    diameter_px: float  # of the particle there
    picks: Table
    excluded: Table


@dataclass(frozen=True, kw_only=True, eq=False)
class PickFolder:
    """What the files of a finished job say."""

    picks: Table  # of all micrographs
    micrographs: Table  # one row each
    shown: tuple[Shown, ...]


def write_micrograph(folder: Path, listed: ListedMicrograph, found: PickedMicrograph) -> None:
    """The files of one micrograph; nothing for one that could not be used."""
    if found.picks is None:
        return
    stem = folder / FOLDER / listed.stem
    stem.parent.mkdir(exist_ok=True)
    good = found.picks.accepted
    table = _table(found.picks)
    write_star(stem.with_name(stem.name + SUFFIX), {"": table.take(good)})
    reasons = np.array(found.picks.reason, dtype=object)[~good]
    write_star(stem.with_name(stem.name + EXCLUDED), {"": table.take(~good).with_columns({REASON: reasons.tolist()})})
    side = 2 * round(0.5 * BOXES * found.diameter_px)
    corners = np.rint(np.stack([found.picks.x_px[good], found.picks.y_px[good]], axis=1) - side // 2).astype(int)
    lines = (f"{x}\t{y}\t{side}\t{side}\n" for x, y in corners)
    write_text_atomic(stem.with_name(stem.name + BOX), "".join(lines))
    if found.picture is not None:
        write_bytes_atomic(stem.with_name(stem.name + PICTURE), png(found.picture))


def write_tables(folder: Path, micrographs: Sequence[ListedMicrograph], result: PickState, diameter_A: float) -> int:
    """The tables of all micrographs from their files; returns the number of picks."""
    parts, names, owner = [], [], list[int]()
    for i, (listed, count) in enumerate(zip(micrographs, result.found, strict=True)):
        if count > 0:
            parts.append(read_star(folder / FOLDER / (listed.stem + SUFFIX))[""])
            names += [listed.name] * len(parts[-1])
            owner += [i] * len(parts[-1])
    columns = {
        name: np.concatenate([part.numbers(name) for part in parts] or [np.zeros(0)])
        for name in (*NAMES, SIGNIFICANCE, CARBON)
    }
    columns |= {name: columns[name].astype(np.int64) for name in ("rlnClassNumber", CARBON)}
    write_star(folder / PICKS, {"particles": Table.from_arrays({"rlnMicrographName": names, **columns})})
    write_locations(
        folder / CRYOSPARC,
        names,
        np.stack([columns["rlnCoordinateX"], columns["rlnCoordinateY"]], axis=1),
        result.shape[owner].reshape(-1, 2),
        diameter_A / result.diameter_px[owner],
        columns["rlnAutopickFigureOfMerit"],
    )
    used = [listed for listed, count in zip(micrographs, result.found, strict=True) if count >= 0]
    write_star(
        folder / COORDINATES,
        {
            "coordinate_files": Table.from_arrays(
                {
                    "rlnMicrographName": [listed.name for listed in used],
                    "rlnMicrographCoordinates": [str(folder / FOLDER / (listed.stem + SUFFIX)) for listed in used],
                }
            )
        },
    )
    table: dict[str, ArrayLike] = {
        "rlnMicrographName": [listed.name for listed in micrographs],
        "vtrPicks": result.found.clip(min=0),
        "vtrThreshold": np.round(result.threshold, 3),
        "vtrHotPixels": result.hot_px,
        "vtrDiameter": np.round(result.diameter_px, 2),
        "vtrRows": result.shape[:, 0],
        "vtrColumns": result.shape[:, 1],
        WORDS: [why.replace('"', "'") or "none" for why in result.failure],
    }
    write_star(folder / STATE, {"micrographs": Table.from_arrays(table)})
    return len(names)


def read_picks(folder: str | Path) -> PickFolder:
    """Read what the job wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    for name in (PICKS, STATE):
        if not (path / name).is_file():
            raise JobFolderError(f"{path} has no {name}: it is not the folder of a finished pick job")
    micrographs = read_star(path / STATE)["micrographs"]
    shown = []
    numbers = [micrographs.numbers(name).tolist() for name in ("vtrRows", "vtrColumns", "vtrDiameter")]
    for name, rows, columns, diameter in zip(micrographs.text("rlnMicrographName"), *numbers, strict=True):
        stem = path / FOLDER / Path(str(name)).stem
        picture = stem.with_name(stem.name + PICTURE)
        if picture.is_file():
            tables = [read_star(stem.with_name(stem.name + end))[""] for end in (SUFFIX, EXCLUDED)]
            shown.append(
                Shown(
                    name=str(name),
                    png=picture.read_bytes(),
                    shape=(int(rows), int(columns)),
                    diameter_px=diameter,
                    picks=tables[0],
                    excluded=tables[1],
                )
            )
    return PickFolder(picks=read_star(path / PICKS)["particles"], micrographs=micrographs, shown=tuple(shown))


def _table(picks: Picks) -> Table:
    return Table.from_arrays(
        {
            "rlnCoordinateX": np.round(picks.x_px.astype(float), 2),
            "rlnCoordinateY": np.round(picks.y_px.astype(float), 2),
            "rlnAutopickFigureOfMerit": np.round(picks.score.astype(float), 4),
            "rlnClassNumber": picks.template + 1,
            "rlnAnglePsi": np.round(picks.psi_deg.astype(float), 3),
            SIGNIFICANCE: np.round(picks.significance.astype(float), 3),
            CARBON: picks.carbon.astype(np.int64),
        }
    )
