"""The ``extract`` job: coordinates and micrographs in; boxes with their table, and a report, out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.function import function_of
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.report.extract import extract_page
from vitreous.jobs.results.extract import FILES, FOLDER, write_extract
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.micrographs import (
    BoxPlan,
    Coordinates,
    Extract,
    ExtractState,
    ListedMicrograph,
    coordinates_of_job,
    extract_algorithm,
    list_micrographs,
    read_coordinates,
    read_micrograph,
    same_micrographs,
)
from vitreous.micrographs.extraction import BOXED_AT_ONCE, LEFT_OUT
from vitreous.micrographs.listing import located, names_micrographs
from vitreous.micrographs.of_list import with_ctf_of_list

__all__ = ["TASK", "Picked", "run_extract"]

PICKS, DIAMETERS, SHARE = "picks.star", 1.5, 0.75  # of a job; box in diameters; diameter in boxes
FAILURES_SAID = 5
DARK = -5.0  # standard errors of the mean within the particles: they are darker than their surroundings
MICROSCOPE = {
    "voltage_kV": "rlnVoltage",
    "cs_mm": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
}
CONTRAST = "inverted: particles become white"


@dataclass(frozen=True, kw_only=True)
class Picked:
    """Particles in micrographs.

    Parameters
    ----------
    picks
        The folder of a pick job; a STAR table with rlnMicrographName, rlnCoordinateX and rlnCoordinateY, such as the
        particles of another job; RELION's autopick.star; cryoSPARC's picks or particles (.cs); or coordinate files of
        single micrographs (.star, .box).
    micrographs
        A STAR list of the micrographs with their CTF, or a pattern in quotes. Coordinate files of single micrographs
        need it; particles that have a CTF of their own keep it; a pick job knows its list.
    project
        Directory that the names in STAR files are relative to.
    pixel_size_A
        Pixel size of the micrographs in Angstrom, when neither header nor list say, or when they are wrong.
    voltage_kV
        Acceleration voltage in kilovolts, when no table says or it is wrong. RELION opens no particles without it.
    cs_mm
        Spherical aberration in millimetres, the same.
    amplitude_contrast
        Share of amplitude contrast, from 0 to 1, the same.
    """

    picks: tuple[Path, ...]
    micrographs: Path | None = None
    project: Path | None = None
    pixel_size_A: float | None = None
    voltage_kV: float | None = None
    cs_mm: float | None = None
    amplitude_contrast: float | None = None

    @property
    def microscope(self) -> dict[str, float]:
        """What was stated, by column."""
        stated = {column: getattr(self, name) for name, column in MICROSCOPE.items()}
        return {column: float(value) for column, value in stated.items() if value is not None}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """Coordinates with all that is known about their micrographs."""

    coordinates: Coordinates
    micrographs: tuple[ListedMicrograph, ...]
    rows: tuple[np.ndarray, ...]
    refused: tuple[str, ...]  # why a micrograph is not to be read, or ""
    inputs: tuple[Path, ...]
    diameter_A: float | None = None  # of the job that picked


def _prepare(source: Picked, settings: Extract, resources: Resources) -> Prepared[ExtractState, ExtractState]:
    found = _found(source)
    plan = _plan(found, settings, source.microscope)
    return Prepared(
        settings=plan.settings,
        inputs=found.inputs,
        algorithm=extract_algorithm(plan, resources.store.parent / FOLDER, threads=resources.threads),
        state=ExtractState,
        steps=-(-len(plan.micrographs) // BOXED_AT_ONCE),
        write=partial(_write, found.coordinates, plan),
        screen=_screen(found, plan),
        notes=_notes(found, plan),
        plan={"micrographs": len(plan.micrographs), "picks": len(plan.coordinate_px), "box_px": plan.box_px},
        remark=_remark,
        pixels=same_micrographs(plan.micrographs),
    )


def _found(source: Picked) -> _Found:
    given: tuple[Path, ...] = tuple(np.atleast_1d(np.array(source.picks, dtype=object)))
    if absent := [path for path in given if not (path.exists() or set("*?[") & set(str(path)))]:
        raise FileNotFoundError(f"{absent[0]} does not exist; expected the folder of a pick job, or coordinates")
    lists, job, size_A, project = [], None, source.pixel_size_A, source.project
    if given and given[0].is_dir():
        job = _job(given)
        lists = [path for path in map(Path, job.inputs) if names_micrographs(path)]
        size_A = size_A or job.settings.get("pixel_size_A")
        known = job.summary.get("project")
        project = project or (Path(known) if known else None)
    lists = lists if source.micrographs is None else [source.micrographs]
    listed = list_micrographs(lists, project=project, pixel_size_A=size_A) if lists else None
    stars = [path for path in lists if path.suffix.lower() == ".star"]
    path = given[0] / PICKS if job else given[0]
    coordinates = coordinates_of_job(path) if job else read_coordinates(given, listed, project=project)
    complete, missing = with_ctf_of_list(coordinates, stars)
    micrographs, rows = _by_micrograph(complete, listed, path, project, size_A)
    lacking = f"not in {', '.join(map(str, stars))}"
    return _Found(
        coordinates=complete,
        micrographs=micrographs,
        rows=rows,
        refused=tuple(f"{m.name}: {lacking}" if m.name in missing else "" for m in micrographs),
        inputs=(*((path,) if job else given), *stars),
        diameter_A=job.summary.get("diameter_A") if job else None,
    )


def _job(given: Sequence[Path]) -> Manifest:
    folder = given[0]
    manifest = read_manifest(folder)
    if manifest is None or manifest.task != "pick" or not (folder / PICKS).is_file():
        what = "is the folder of no job" if manifest is None else f"is a {manifest.task} job"
        raise ValueError(f"{folder} {what}; expected that of a finished pick job, or a table such as run_data.star")
    if len(given) > 1:
        raise ValueError(f"{folder} is a pick job, and {len(given) - 1} more were given; extract them one by one")
    return manifest


def _by_micrograph(
    found: Coordinates,
    listed: Sequence[ListedMicrograph] | None,
    path: Path,
    project: Path | None,
    size_A: float | None,
) -> tuple[tuple[ListedMicrograph, ...], tuple[np.ndarray, ...]]:
    """Micrographs in the order in which the table first has them, and the rows of each."""
    names = found.table.text("rlnMicrographName")
    order: dict[str, list[int]] = {}
    for row, name in enumerate(names.tolist()):
        order.setdefault(name, []).append(row)
    known = {Path(m.name).name: m for m in listed or ()}
    sizes = found.pixel_size_A or {}
    micrographs = [
        replace(known[Path(name).name], name=name)
        if Path(name).name in known
        else ListedMicrograph(path=located(name, path, project), name=name, pixel_size_A=size_A or sizes.get(name))
        for name in order
    ]
    stems = [m.stem for m in micrographs]
    if len(set(stems)) < len(stems):
        double = next(stem for stem in stems if stems.count(stem) > 1)
        raise ValueError(f"{path}: several micrographs are called {double}: stacks are called after them; extract the "
                         "particles of each folder in a job of its own")  # fmt: skip
    return tuple(micrographs), tuple(np.array(rows, dtype=np.int64) for rows in order.values())


def _plan(found: _Found, settings: Extract, microscope: dict[str, float]) -> BoxPlan:
    pixel_A, shape = _first_readable(found)
    diameter_A = settings.diameter_A or found.diameter_A
    box = settings.box_px or found.coordinates.box_px
    if box is None and diameter_A is not None:
        box = 2 * round(0.5 * DIAMETERS * diameter_A / pixel_A)
    if box is None:
        raise ValueError("box_px: expected the side of the boxes in pixels of the micrographs, found none")
    if box > min(shape):
        raise ValueError(
            f"box_px: {box} pixels are more than the micrographs have, {shape[1]} x {shape[0]}; expected a smaller box"
        )
    side, box_A = settings.side_px(box, pixel_A), box * pixel_A
    if settings.diameter_A is not None and settings.diameter_A > box_A:
        raise ValueError(f"diameter_A: {settings.diameter_A:g} A do not fit into a box of {box} pixels, {box_A:.4g} A")
    diameter_A = SHARE * box_A if diameter_A is None else min(diameter_A, box_A)
    used = replace(settings, box_px=box, diameter_A=round(diameter_A, 2))
    return BoxPlan(
        micrographs=found.micrographs,
        refused=found.refused,
        rows=found.rows,
        coordinate_px=found.coordinates.coordinate_px,
        origin_A=found.coordinates.origin_A(),
        settings=used,
        box_px=box,
        side_px=side,
        pixel_size_A=pixel_A,
        diameter_A=diameter_A,
        microscope=microscope,
    )


def _first_readable(found: _Found) -> tuple[float, tuple[int, ...]]:
    """Pixel size and shape of the first micrograph that can be used; ValueError where none can."""
    first = ""
    for micrograph, refused in zip(found.micrographs, found.refused, strict=True):
        if refused:
            first = first or refused
            continue
        try:
            image = read_micrograph(micrograph.path, pixel_size_A=micrograph.pixel_size_A)
        except (ValueError, OSError) as error:
            first = first or str(error)
            continue
        return image.pixel_size_A, image.data.shape
    raise ValueError(
        f"none of {len(found.micrographs):,} micrographs can be used; the first: {first}. Names are looked for below "
        "the project directory (--project), beside the file that has them, and where the program was started"
    )


def _screen(found: _Found, plan: BoxPlan) -> tuple[str, ...]:
    settings, ctf = plan.settings, "CTF" if "rlnDefocusU" in found.coordinates.table else "no CTF"
    written = "" if plan.side_px == plan.box_px else f", written as {plan.side_px} of {plan.written_pixel_A:.4g} Å"
    contrast = CONTRAST if settings.invert_contrast else "as it is"
    background = f"normalised outside {plan.diameter_A:.0f} Å" if settings.normalise else "not normalised"
    return (
        f"data     {len(plan.coordinate_px):,} particles in {len(plan.micrographs):,} micrographs, "
        f"{plan.pixel_size_A:.4g} Å/pixel, {ctf}",
        f"settings boxes of {plan.box_px} pixels{written}; contrast {contrast}; background {background}",
    )


def _notes(found: _Found, plan: BoxPlan) -> tuple[str, ...]:
    notes = []
    if "rlnDefocusU" not in found.coordinates.table:
        notes.append("the boxes come without CTF; a .star list of the micrographs has it (--micrographs)")
    lacking = [name for name in _OPTICS if not _stated(name, found, plan)]
    if lacking:
        options = " ".join(f"--{name.replace('_', '-')}" for name, column in MICROSCOPE.items() if column in lacking)
        notes.append(
            f"RELION will not open the particles: the table lacks {', '.join(lacking)}; give {options}, or a list of "
            "micrographs that has them"
        )
    moved = bool(np.abs(plan.origin_A).max(initial=0.0) > 0)
    if moved and not plan.settings.recenter:
        notes.append("the particles have shifts, and stay off the centre; recenter moves the boxes")
    if plan.settings.recenter and not moved:
        notes.append("recenter: the particles have no shifts, and boxes are where the coordinates are")
    if found.diameter_A is not None and found.diameter_A > plan.box_px * plan.pixel_size_A:
        notes.append(f"the boxes are smaller than the particle, whose diameter is {found.diameter_A:g} Å")
    return tuple(notes)


_OPTICS = ("rlnVoltage", "rlnSphericalAberration")  # which RELION needs of every optics group


def _stated(name: str, found: _Found, plan: BoxPlan) -> bool:
    optics = found.coordinates.optics
    return name in plan.microscope or name in found.coordinates.table or (optics is not None and name in optics)


def _remark(info: Any) -> str | None:
    failures = info["failures"]
    return "\n".join(f"note     {words}" for words in failures) if failures else None


def _write(found: Coordinates, plan: BoxPlan, folder: Path, result: ExtractState, state: ExtractState) -> Outcome:
    boxes = write_extract(folder, found, plan, result)
    failed = [why for why in result.failure if why]
    counts = {word: int((result.fate == k).sum()) for k, word in LEFT_OUT.items()}
    words = f"{boxes:,} boxes out of {len(plan.micrographs) - len(failed):,} micrographs"
    words += f"; {counts['edge']:,} crossed the edge" if counts["edge"] else ""
    words += f"; {counts['flat']:,} had a constant background" if counts["flat"] else ""
    if failed:
        words += f"; {len(failed):,} micrographs could not be used, see vtrFailure in micrographs.star"
    return Outcome(
        words=words,
        verdict="done" if boxes else "nothing was extracted",
        summary={
            "micrographs": len(plan.micrographs),
            "failed": len(failed),
            "boxes": boxes,
            **{f"left_out_{word}": count for word, count in counts.items()},
            "box_px": plan.side_px,
            "pixel_size_A": round(plan.written_pixel_A, 6),
            "diameter_A": round(plan.diameter_A, 2),
        },
        messages=(*_contrast(plan, result), *failed[:FAILURES_SAID]),
    )


def _contrast(plan: BoxPlan, result: ExtractState) -> tuple[str, ...]:
    """A sentence where the particles are darker than their background, by far more than chance."""
    n, total, squares = result.inside.tolist()
    if not plan.settings.normalise or n < 2:
        return ()
    error = np.sqrt(max(squares / n - (total / n) ** 2, 0.0) / n)
    if total / n >= DARK * error:
        return ()
    wrong = "are they white in the micrographs (--no-invert-contrast)?" if plan.settings.invert_contrast else (
        "are they dark in the micrographs (without --no-invert-contrast)?"
    )  # fmt: skip
    return (f"the particles are darker than their surroundings in the boxes: {wrong}",)


TASK = Task(
    name="extract",
    title="extraction",
    about="Boxes are cut at the nearest whole pixel. Particles are dark in micrographs, unless --no-invert-contrast is "
    "given, and white in the boxes. With --recenter the shifts of a class2d or refine run move the boxes.",
    source=Picked,
    methods={"": Extract},
    prepare=_prepare,
    files=FILES,
    results="particles.star, extracted/",
    page=extract_page,
    uses=frozenset({"threads"}),
    useless=lambda summary: summary["failed"] == summary["micrographs"],
    aliases={
        "box_px": ("--box",),
        "downsample_to_px": ("--downsample-to",),
        "voltage_kV": ("--voltage", "--kV"),
        "cs_mm": ("--cs",),
        "diameter_A": ("--diameter",),
        "recenter": ("--recentre",),
    },
    ignores=frozenset({"device", "memory", "every"}),
)
run_extract = function_of(TASK)
