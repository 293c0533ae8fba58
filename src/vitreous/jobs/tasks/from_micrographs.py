"""The first half of ``run`` on micrographs: picks of a ball, their classes, picks with their averages, boxes.

Every stage is a job in a sub-folder. What is picked first is whatever is round and has the size of the particle; its
classes say what the particle looks like, and their averages find it better than a ball does, so that it is picked anew.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.class2d import Class2D
from vitreous.jobs.folder import Job
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.options import RunOptions, processors, tell
from vitreous.jobs.report.pipeline import ROUND
from vitreous.jobs.results.pick import read_picks
from vitreous.jobs.run_task import run_task
from vitreous.jobs.select import select_particles
from vitreous.jobs.tasks import class2d, ctf, extract, pick
from vitreous.micrographs import Extract, ListedMicrograph, MicroscopeGiven, Pick, list_micrographs, microscopes_of
from vitreous.micrographs.reading import PICTURES
from vitreous.particles import ParticleFileError, read_star
from vitreous.particles.mrc_header import read_header

__all__ = ["FromMicrographs", "are_micrographs", "fewer_classes", "listed", "offset_range_A", "particles_of", "screen"]

CTF, PICK_1, EXTRACT_1, CLASS2D_1, PICK, EXTRACT = ROUND
DIAMETERS = 1.5  # side of the boxes
FIRST_PX, MOST_PX = 64, 128  # of the boxes that are classified to find templates, and of those that go on
ESTIMATED, USUAL_CS_MM = "micrographs_ctf.star", 2.7
DETAILS = 8.0  # per diameter, that averages are made with which become templates: filters look at no finer ones
FIRST_CLASSES = 20
OFF_CENTRE = 0.125  # of the diameter: nine of ten picks of ribosomes at a signal-to-noise ratio of 0.1 are nearer
EACH = 30  # particles per class, at least
FEWEST = 16  # particles that can be classified: two classes, eight folds


@dataclass(frozen=True, kw_only=True)
class FromMicrographs:
    """What the stages are given: micrographs as a source has them, and what is known about particles and optics."""

    micrographs: tuple[Path, ...]
    project: Path | None
    pixel_size_A: float | None
    diameter_A: float | None
    invert_contrast: bool  # particles are white in the micrographs
    seed: int
    microscope: MicroscopeGiven


def are_micrographs(paths: Sequence[Path]) -> bool:
    """Whether these are micrographs, or a list of them, and no particles; of what is not there the name decides."""
    first = paths[0]
    if len(paths) > 1 or any(mark in first.name for mark in "*?["):
        return True
    if first.is_dir():
        return not (first / "job.json").is_file()
    if first.suffix.lower() in PICTURES:
        return True
    if not first.is_file():
        return False
    if first.suffix.lower() == ".mrc":
        return _is_one_image(first)
    return first.suffix.lower() == ".star" and _is_list(first)


def _is_one_image(path: Path) -> bool:
    try:
        return read_header(path).nz == 1
    except ParticleFileError:
        return False


def _is_list(path: Path) -> bool:
    try:
        tables = list(read_star(path).values())
    except ParticleFileError:
        return False
    of_particles = any(name in table for name in ("rlnImageName", "rlnCoordinateX") for table in tables)
    return not of_particles and any("rlnMicrographName" in table for table in tables)


def listed(given: FromMicrographs) -> tuple[ListedMicrograph, ...]:
    """The micrographs. Raises what :func:`vitreous.micrographs.list_micrographs` does."""
    return list_micrographs(given.micrographs, project=given.project, pixel_size_A=given.pixel_size_A)


def screen(micrographs: Sequence[ListedMicrograph]) -> tuple[str, ...]:
    """What is said before the work."""
    known = sum(m.ctf is not None for m in micrographs)
    ctf = "CTF" if known == len(micrographs) else "no CTF" if not known else f"CTF for {known:,}"
    return (f"data     {len(micrographs):,} micrographs, {ctf}",)


def particles_of(given: FromMicrographs, job: Job, options: RunOptions, command: str) -> Path:
    """Do the stages that are not done, in folders of the job; the table of the particles in the end.

    Raises ValueError where nothing is found, and what the stages do.
    """
    given = _with_ctf(given, job, options, command)
    _pick(given, job, PICK_1, None, given.diameter_A, options, command)
    first = _extract(given, job, PICK_1, EXTRACT_1, FIRST_PX, options, command)
    averages = _averages(given, job, first, options, command)
    _pick(given, job, PICK, averages, given.diameter_A, options, command)
    return _extract(given, job, PICK, EXTRACT, MOST_PX, options, command)


def _with_ctf(given: FromMicrographs, job: Job, options: RunOptions, command: str) -> FromMicrographs:
    """The list with an estimated CTF, where there is none and the microscope is known; else what was given."""
    found = listed(given)
    lists = [path for path in given.micrographs if path.suffix.lower() == ".star"]
    if all(m.ctf is not None for m in found):
        job.describe(messages=("the list has the CTF of all micrographs; it is not estimated again",))
        return given
    said = given.microscope
    if said.voltage_kV is not None and said.cs_mm is None:
        said = replace(said, cs_mm=USUAL_CS_MM)
        job.describe(messages=(f"spherical aberration not given: {USUAL_CS_MM:g} mm is taken (--cs-mm)",))
    try:
        microscopes_of(found, lists, said)
    except ValueError:
        text = (
            "no CTF: the list has none, and without the voltage it cannot be estimated; give --voltage-kV (and "
            "--cs-mm, --amplitude-contrast). Classes and maps of such particles are blurred"
        )
        job.describe(messages=(text,))
        tell(options, f"note     {text}", "note", {"text": text})
        return given
    source = ctf.Exposures(
        micrographs=given.micrographs, project=given.project, pixel_size_A=given.pixel_size_A, **asdict(said)
    )
    run_task(ctf.TASK, source, job.path / CTF, None, options, command=command)
    manifest = read_manifest(job.path / CTF)
    count = 0 if manifest is None else int(manifest.summary["found"])
    left = "it is not used" if not count else "the others are left out" if count < len(found) else "all are used"
    words = f"the CTF was found in {count:,} of {len(found):,} micrographs; {left}"
    job.describe(summary={"ctf_found": count}, messages=(words, *(manifest.messages if manifest is not None else ())))
    if not count:
        return given
    beside = given.project or (lists[0].parent if lists else None)  # which names in the list are relative to
    return replace(given, micrographs=(job.path / CTF / ESTIMATED,), project=beside)


def _pick(
    given: FromMicrographs,
    job: Job,
    stage: str,
    templates: Path | None,
    diameter_A: float | None,
    options: RunOptions,
    command: str,
) -> None:
    source = pick.Micrographs(
        micrographs=given.micrographs, templates=templates, project=given.project, pixel_size_A=given.pixel_size_A
    )
    settings = Pick(diameter_A=diameter_A, invert_contrast=not given.invert_contrast)
    run_task(pick.TASK, source, job.path / stage, settings, options, command=command)
    manifest = read_manifest(job.path / stage)
    count = 0 if manifest is None else int(manifest.summary["picks"])
    if manifest is None or count < FEWEST:
        raise ValueError(_too_few(job.path / stage, count))
    text = (
        f"{manifest.summary['picks']:,} particles picked with {'a ball' if templates is None else 'the averages'} of "
        f"{manifest.summary['diameter_A']:g} Å"
    )
    job.describe(
        summary={
            f"{stage}_{name}": manifest.summary[name] for name in ("picks", "micrographs", "failed", "diameter_A")
        },
        messages=(text, *manifest.messages),
    )


def _too_few(folder: Path, count: int) -> str:
    """Why a run ends without picks, or with too few to go on."""
    state = read_picks(folder).micrographs
    failed = state.text("vtrFailure") != "none"
    if failed.all():
        return f"none of {len(failed):,} micrographs can be used; the first: {state.text('vtrFailure')[0]}"
    what = f"no more than {count} particles stand" if count else "nothing stands"
    return (
        f"{what} out from noise in {int((~failed).sum()):,} micrographs; {folder / 'report.html'} shows them. "
        "Are pixel size and diameter right (--pixel-size-A, --particle-diameter-A), and are particles dark in the "
        "micrographs (--invert-contrast if not)?"
    )


def _extract(
    given: FromMicrographs, job: Job, picks: str, stage: str, most_px: int, options: RunOptions, command: str
) -> Path:
    """Boxes of one and a half diameters, not larger than ``most_px``; the table of them.

    The diameter is the larger one of ball and averages: averages of misplaced particles fade at the rim, and look
    smaller than what they show.
    """
    box = 2 * round(0.5 * DIAMETERS * max(_diameter_px(job.path / name) for name in {PICK_1, picks}))
    settings = Extract(
        box_px=box,
        downsample_to_px=most_px if box > most_px else None,
        invert_contrast=not given.invert_contrast,
    )
    source = extract.Picked(picks=(job.path / picks,), project=given.project, pixel_size_A=given.pixel_size_A)
    run_task(extract.TASK, source, job.path / stage, settings, options, command=command)
    manifest = read_manifest(job.path / stage)
    if manifest is None or not manifest.summary.get("boxes"):
        raise ValueError(
            f"no particle is far enough from the edge for a box of {box} pixels; {job.path / stage / 'report.html'} "
            "has the reasons"
        )
    job.describe(
        summary={f"{stage}_{name}": manifest.summary[name] for name in ("boxes", "pixel_size_A", "box_px")},
        messages=manifest.messages,
    )
    return job.path / stage / "particles.star"


def _diameter_px(folder: Path) -> float:
    """That particles were picked with, in pixels of the micrographs."""
    state = read_picks(folder).micrographs
    return float(np.median(state.numbers("vtrDiameter")[state.text("vtrFailure") == "none"]))


def _averages(given: FromMicrographs, job: Job, particles: Path, options: RunOptions, command: str) -> Path:
    """Classify what the ball has found, and choose: the table of the averages that are templates."""
    folder = job.path / CLASS2D_1
    count = len(read_star(particles)["particles"])
    picked = read_manifest(job.path / PICK_1)
    finest_A = 0.0 if picked is None else float(picked.summary["diameter_A"]) / DETAILS
    settings = Class2D(
        classes=fewer_classes(FIRST_CLASSES, count), resolution_limit_A=finest_A or None, seed=given.seed
    )
    run_task(class2d.TASK, class2d.ParticlesToClassify(particles=particles), folder, settings, options, command=command)
    found = select_particles(folder, auto=True, threads=options.threads or processors(), memory_bytes=options.memory)
    text = (
        f"{len(found.classes)} averages of {found.selected_count:,} of {count:,} particles are the templates that "
        "particles are picked with anew"
    )
    job.log(text)
    job.describe(summary={"templates": len(found.classes)}, messages=(text,))
    content: dict[str, Any] = {"classes": found.classes, "particles": found.selected_count}
    tell(options, text, "templates", content)
    assert found.class_averages is not None  # of classes of this program
    return found.class_averages


def offset_range_A(folder: Path) -> float:
    """How far from the centre of its box a particle may lie that was picked in the end."""
    manifest = read_manifest(folder / PICK)
    return OFF_CENTRE * float(manifest.summary["diameter_A"]) if manifest is not None else 0.0


def fewer_classes(classes: int, particles: int) -> int:
    """As many classes, or so many that each has ``EACH`` particles on average."""
    return max(2, min(classes, particles // EACH))
