"""What is left of the estimation of the CTF: RELION's list of micrographs, what came of each, profiles, pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from vitreous.jobs.folder import JobFolderError
from vitreous.micrographs import CTFState, EstimatedMicrograph, ListedMicrograph, Microscope
from vitreous.micrographs.ctf_many import FIGURES, FOUND, NO_RINGS
from vitreous.particles import Table, read_star, write_bytes_atomic, write_star
from vitreous.particles.optics_groups import group_index
from vitreous.particles.star import StarFile
from vitreous.pictures import png

__all__ = [
    "CTF",
    "FILES",
    "REASON",
    "WARNINGS",
    "CTFFolder",
    "ShownSpectrum",
    "read_ctf",
    "write_ctf",
    "write_spectrum",
]

CTF, STATE = "micrographs_ctf.star", "micrographs.star"
FOLDER, PROFILE, PICTURE = "ctf", "_profile.star", "_ctf.png"
FILES = (CTF, STATE, f"{FOLDER}/*{PROFILE}", f"{FOLDER}/*{PICTURE}")
REASON, WARNINGS = "vtrFailure", "vtrWarnings"
NOT_FOUND = "no rings"
COLUMNS = {  # of an estimate; figure -> column, decimals
    "defocus_u_A": ("rlnDefocusU", 2),
    "defocus_v_A": ("rlnDefocusV", 2),
    "defocus_angle_deg": ("rlnDefocusAngle", 3),
    "phase_shift_deg": ("rlnPhaseShift", 3),
    "correlation": ("rlnCtfFigureOfMerit", 5),
    "resolution_A": ("rlnCtfMaxResolution", 3),
    "defocus_sd_A": ("vtrDefocusSd", 2),
    "astigmatism_sd_A": ("vtrAstigmatismSd", 2),
    "gain": ("vtrCtfGain", 2),
    "tiles": ("vtrTiles", 0),
    "hot_px": ("vtrHotPixels", 0),
}
NOT_CLAIMED = ("defocus_u_A", "defocus_v_A", "defocus_angle_deg", "phase_shift_deg", "defocus_sd_A", "astigmatism_sd_A")
CURVES = ("vtrFrequency", "vtrSpectrum", "vtrFit", "vtrLocalCorrelation")


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownSpectrum:
    """What the files say of the fit to one micrograph."""

    name: str
    png: bytes
    profile: Table


@dataclass(frozen=True, kw_only=True, eq=False)
class CTFFolder:
    """What the files of a finished job say."""

    micrographs: Table  # one row each, also those without a CTF
    folder: Path

    def has_spectrum(self, name: str) -> bool:
        """Whether there are files of the fit to a micrograph: not of one that could not be read."""
        return all(path.is_file() for path in self._files(name))

    def shown(self, name: str) -> ShownSpectrum:
        """The fit to a micrograph."""
        picture, profile = self._files(name)
        return ShownSpectrum(name=name, png=picture.read_bytes(), profile=read_star(profile)[""])

    def _files(self, name: str) -> tuple[Path, Path]:
        stem = self.folder / FOLDER / Path(name).stem
        return stem.with_name(stem.name + PICTURE), stem.with_name(stem.name + PROFILE)


def write_spectrum(folder: Path, listed: ListedMicrograph, found: EstimatedMicrograph) -> None:
    """Profile and picture of one micrograph; nothing for one that could not be used."""
    if found.estimate is None:
        return
    stem, profile = folder / FOLDER / listed.stem, found.estimate.profile
    stem.parent.mkdir(exist_ok=True)
    curves = (profile.k_per_A, profile.measured, profile.fitted, profile.local)
    columns = {name: np.round(values, 6) for name, values in zip(CURVES, curves, strict=True)}
    write_star(stem.with_name(stem.name + PROFILE), {"": Table.from_arrays(columns)})
    write_bytes_atomic(stem.with_name(stem.name + PICTURE), png(found.estimate.picture))


def write_ctf(
    folder: Path,
    micrographs: Sequence[ListedMicrograph],
    microscopes: Sequence[Microscope],
    result: CTFState,
    given: StarFile | None = None,
) -> None:
    """The list of micrographs whose CTF was found, and the table of all.

    given: the list that the micrographs are from, whose other columns and optics groups stay.
    """
    names, found = [listed.name for listed in micrographs], np.flatnonzero(result.fate == FOUND)
    table, optics = _listed(names, microscopes, result, given)
    columns = {name: values for name, values in _columns(result, found).items() if name.startswith("rln")}
    if not columns["rlnPhaseShift"].any():
        del columns["rlnPhaseShift"]
    columns["rlnCtfAstigmatism"] = np.round(columns["rlnDefocusU"] - columns["rlnDefocusV"], 2)
    listed = table.take(found).without(("rlnPhaseShift",)).with_columns(columns)
    write_star(folder / CTF, {"optics": optics, "micrographs": listed})
    everything: dict[str, ArrayLike] = {"rlnMicrographName": names, **_columns(result, np.arange(len(names)))}
    claimed = result.fate == FOUND
    for figure in NOT_CLAIMED:
        column = COLUMNS[figure][0]
        everything[column] = np.where(claimed, everything[column], np.nan)
    everything[WARNINGS] = [words.replace('"', "'") or "none" for words in result.warnings]
    everything[REASON] = [
        NOT_FOUND if fate == NO_RINGS else why.replace('"', "'") or "none"
        for fate, why in zip(result.fate, result.failure, strict=True)
    ]
    write_star(folder / STATE, {"micrographs": Table.from_arrays(everything)})


def read_ctf(folder: str | Path) -> CTFFolder:
    """Read what the job wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    for name in (CTF, STATE):
        if not (path / name).is_file():
            raise JobFolderError(f"{path} has no {name}: it is not the folder of a finished ctf job")
    return CTFFolder(micrographs=read_star(path / STATE)["micrographs"], folder=path)


def _columns(result: CTFState, rows: np.ndarray) -> dict[str, np.ndarray]:
    columns = {}
    for i, figure in enumerate(FIGURES):
        name, decimals = COLUMNS[figure]
        values = np.round(result.figures[rows, i], decimals)
        columns[name] = values if decimals else values.astype(np.int64)
    return columns


def _listed(
    names: Sequence[str], microscopes: Sequence[Microscope], result: CTFState, given: StarFile | None
) -> tuple[Table, Table]:
    """Micrographs with their optics groups, and these: as given where that fits, else one for each microscope."""
    rows = Table.from_arrays({"rlnMicrographName": list(names)})
    optics, group = _optics(microscopes, result)
    if given is None:
        return rows.with_columns({"rlnOpticsGroup": group}), optics
    table = next(block for block in given.values() if block.loop and "rlnMicrographName" in block)
    if "rlnImageName" not in table:
        first = np.unique(table.text("rlnMicrographName").astype(str), return_index=True)[1]
        rows = table.take(np.sort(first)).with_columns({"rlnMicrographName": list(names)})
    old = given.get("optics")
    kept = None if old is None or "rlnOpticsGroup" not in rows else _kept(old, rows, group, result, optics)
    return (rows, kept) if kept is not None else (rows.with_columns({"rlnOpticsGroup": group}), optics)


def _kept(old: Table, rows: Table, group: np.ndarray, result: CTFState, optics: Table) -> Table | None:
    """The optics groups of the list that are used, with what holds now; None where one has several microscopes."""
    of = group_index(rows, old)
    used = np.flatnonzero(result.fate == FOUND)
    pairs = sorted({(int(of[i]), int(group[i]) - 1) for i in used})
    if len({first for first, _ in pairs}) < len(pairs):
        return None
    now = optics.take(np.array([second for _, second in pairs], dtype=np.int64))
    own = ("rlnOpticsGroup", "rlnOpticsGroupName", "rlnMicrographOriginalPixelSize")
    before = old.take(np.array([first for first, _ in pairs], dtype=np.int64))
    return before.with_columns({name: now[name] for name in now.names if name not in own or name not in before})


def _optics(microscopes: Sequence[Microscope], result: CTFState) -> tuple[Table, np.ndarray]:
    """One group for each microscope and pixel size, and the group of every micrograph, from 1."""
    keys = [(round(float(size), 6), scope) for size, scope in zip(result.pixel_size_A, microscopes, strict=True)]
    used = [key for key, fate in zip(keys, result.fate, strict=True) if fate == FOUND]
    groups: Mapping[tuple[float, Microscope], int] = {key: i for i, key in enumerate(dict.fromkeys(used), 1)}
    table = Table.from_arrays(
        {
            "rlnOpticsGroupName": [f"opticsGroup{i}" for i in groups.values()],
            "rlnOpticsGroup": np.array(list(groups.values()), dtype=np.int64),
            "rlnMicrographOriginalPixelSize": np.array([size for size, _ in groups]),
            "rlnVoltage": np.array([scope.voltage_kV for _, scope in groups]),
            "rlnSphericalAberration": np.array([scope.cs_mm for _, scope in groups]),
            "rlnAmplitudeContrast": np.array([scope.amplitude_contrast for _, scope in groups]),
            "rlnMicrographPixelSize": np.array([size for size, _ in groups]),
        }
    )
    return table, np.array([groups.get(key, 0) for key in keys], dtype=np.int64)
