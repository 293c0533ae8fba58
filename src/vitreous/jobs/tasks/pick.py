"""The ``pick`` job: micrographs in; coordinates of particles, and a report, out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from vitreous.jobs.averages import find_averages, read_averages
from vitreous.jobs.function import function_of
from vitreous.jobs.report.pick import pick_page
from vitreous.jobs.results.pick import FILES, WORDS, write_micrograph, write_tables
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.micrographs import (
    Bank,
    ListedMicrograph,
    Pick,
    PickState,
    ball_templates,
    extent_of_images,
    extent_of_map,
    guess_diameter,
    image_templates,
    list_micrographs,
    pick_algorithm,
    projection_templates,
    rotated_bank,
    same_micrographs,
)
from vitreous.micrographs.algorithm import AT_ONCE
from vitreous.particles import open_stack, read_volume

__all__ = ["TASK", "Micrographs", "run_pick"]

MOST_TEMPLATES = 500
FAILURES_SAID = 5


@dataclass(frozen=True, kw_only=True)
class Micrographs:
    """Micrographs, and what is looked for in them.

    Parameters
    ----------
    micrographs
        Micrographs (.mrc; .tif, .png and .jpg where Pillow is installed), a folder of them, or a .star list of them
        with the CTF. A pattern in quotes will do, too.
    templates
        Images of the particle, such as class averages: a stack (.mrcs), a table of them (class_averages.star), or the
        folder of a classification, of which those selected are taken. Particles white, of any greyscale and pixel size.
    map
        A map of the particle (.mrc), whose projections are looked for.
    template_pixel_size_A
        Pixel size of the templates or of the map in Angstrom, when the header does not say or is wrong.
    project
        Directory that the names in a .star list are relative to.
    pixel_size_A
        Pixel size of the micrographs in Angstrom, when neither header nor list say, or when they are wrong.
    """

    micrographs: tuple[Path, ...]
    templates: Path | None = None
    map: Path | None = None
    template_pixel_size_A: float | None = None
    project: Path | None = None
    pixel_size_A: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Looked:
    """What is looked for, at any pixel size."""

    at: Callable[[float], np.ndarray]  # pixel size -> templates
    ball: bool
    diameter_A: float
    words: str
    inputs: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def _prepare(source: Micrographs, settings: Pick, resources: Resources) -> Prepared[PickState, PickState]:
    given: tuple[Path, ...] = tuple(np.atleast_1d(np.array(source.micrographs, dtype=object)))
    listed = list_micrographs(given, project=source.project, pixel_size_A=source.pixel_size_A)
    looked = _looked(source, settings, listed, resources.threads)
    used = settings.chosen(ball=looked.ball)
    algorithm = pick_algorithm(listed, _banks(looked, used), used, looked.diameter_A, threads=resources.threads)
    lists = [path for path in given if path.suffix.lower() == ".star"]
    return Prepared(
        settings=used,
        inputs=(*lists, *looked.inputs),
        algorithm=algorithm,
        state=PickState,
        steps=-(-len(listed) // AT_ONCE),
        each=partial(_write_each, listed),
        write=partial(_write, listed, looked.diameter_A),
        screen=_screen(listed, looked, used),
        notes=(*looked.notes, *_notes(listed, source, used)),
        warnings=looked.warnings,
        plan={"micrographs": len(listed), "diameter_A": looked.diameter_A},
        summary={} if source.project is None else {"project": str(source.project)},  # which extract needs
        remark=_remark,
        pixels=same_micrographs(listed),
    )


def _looked(source: Micrographs, settings: Pick, listed: Sequence[ListedMicrograph], threads: int) -> _Looked:
    stated, diameter = source.template_pixel_size_A, settings.diameter_A
    if source.templates is not None and source.map is not None:
        raise ValueError("templates and map both say what is looked for: leave one of them out")
    if source.map is not None:
        volume = read_volume(source.map, pixel_size_A=stated)
        if not np.isfinite(volume.data).all() or volume.data.max() <= 0:
            raise ValueError(f"{source.map}: expected a map with density above zero and no NaN")
        diameter = diameter or round(extent_of_map(volume), 1)
        words = f"{settings.views} projections of {source.map}"
        at = partial(projection_templates, volume, settings.views, diameter)
        return _Looked(at=at, ball=False, diameter_A=diameter, words=words, inputs=(source.map,))
    if source.templates is not None:
        images, pixel_A, path = _templates(source.templates, stated, source.project)
        diameter = diameter or round(extent_of_images(images, pixel_A), 1)
        words = f"{len(images)} images of {path}"
        at = partial(image_templates, images, pixel_A, diameter)
        return _Looked(at=at, ball=False, diameter_A=diameter, words=words, inputs=(path,))
    if stated is not None:
        raise ValueError("template_pixel_size_A: there are no templates and no map whose pixel size it could be")
    return _ball(settings, listed, threads)


def _ball(settings: Pick, listed: Sequence[ListedMicrograph], threads: int) -> _Looked:
    """A ball of the diameter that was given, or of one that the micrographs suggest."""
    if settings.diameter_A is not None:
        at = partial(ball_templates, settings.diameter_A)
        return _Looked(at=at, ball=True, diameter_A=settings.diameter_A, words="a ball")
    guess = guess_diameter(listed, invert=settings.invert_contrast, ctf=settings.ctf, threads=threads)
    text = f"the diameter is a guess from {guess.micrographs} micrographs: {guess.diameter_A:g} Å"
    unsure = (
        f"{text}, and an UNSURE one, since no size of ball stands out clearly; look at the circles in the report, and "
        "give --diameter-A where they do not fit"
    )
    return _Looked(
        at=partial(ball_templates, guess.diameter_A),
        ball=True,
        diameter_A=guess.diameter_A,
        words="a ball",
        notes=(f"{text}; --diameter-A overrules it",) if guess.sure else (),
        warnings=() if guess.sure else (unsure,),
    )


def _templates(path: Path, stated_A: float | None, project: Path | None) -> tuple[np.ndarray, float, Path]:
    """Images that are not flat, their pixel size, and the file that has or names them."""
    path = find_averages(path)
    if path.suffix.lower() == ".star":
        found, images, _ = read_averages(path, project=project, pixel_size_A=stated_A)
        count, pixel_A = len(found), found.pixel_size_A
    else:
        stack = open_stack(path)
        count, pixel_A = len(stack), stated_A or stack.header.pixel_size_A
        images = stack.read(np.arange(min(count, MOST_TEMPLATES)))
    if count > MOST_TEMPLATES:
        raise ValueError(f"{path}: {count} images; expected at most {MOST_TEMPLATES} templates: give averages")
    if not pixel_A > 0:
        raise ValueError(f"{path}: the header has no pixel size; give it by --template-pixel-size-A")
    flat = np.array([not np.isfinite(image).all() or image.std() == 0 for image in images])
    if flat.all():
        raise ValueError(f"{path}: all {len(images)} images are flat or hold NaN")
    return images[~flat], float(pixel_A), path


def _banks(looked: _Looked, settings: Pick) -> Callable[[float], Bank]:
    """The bank for a working pixel size; one is kept, since nearly all micrographs have the same."""
    lock, kept = Lock(), dict[float, Bank]()
    angles = 1 if looked.ball else settings.angles

    def bank_of(pixel_A: float) -> Bank:
        with lock:
            if pixel_A not in kept:
                kept.clear()
                kept[pixel_A] = rotated_bank(looked.at(pixel_A), angles, pixel_A, looked.diameter_A)
            return kept[pixel_A]

    return bank_of


def _screen(listed: Sequence[ListedMicrograph], looked: _Looked, settings: Pick) -> tuple[str, ...]:
    with_ctf = sum(m.ctf is not None for m in listed)
    ctf = "CTF" if with_ctf == len(listed) else "no CTF" if not with_ctf else f"CTF for {with_ctf:,}"
    chosen = "at most 60" if looked.ball else "5 to 40"
    false = chosen if settings.false_picks is None else f"{settings.false_picks:g}"
    rotations = "" if looked.ball else f" in {settings.angles} rotations"
    return (
        f"data     {len(listed):,} micrographs, {ctf}",
        f"settings {looked.words}{rotations}, diameter {looked.diameter_A:.0f} Å, {false} false picks of noise "
        "expected per micrograph",
    )


def _notes(listed: Sequence[ListedMicrograph], source: Micrographs, settings: Pick) -> tuple[str, ...]:
    notes = []
    if settings.ctf and all(m.ctf is None for m in listed):
        notes.append("the micrographs come without CTF, and templates are taken as they are; a .star list has it")
    if source.map is None and settings.views != Pick.views:
        notes.append("views is the number of projections of a map, and means nothing without one")
    if source.map is None and source.templates is None and settings.angles != Pick.angles:
        notes.append("angles: a ball looks the same in all rotations, and is looked for once")
    return tuple(notes)


def _remark(info: Any) -> str | None:
    failures = info["failures"]
    return "\n".join(f"note     {words}" for words in failures) if failures else None


def _write_each(listed: Sequence[ListedMicrograph], folder: Path, state: PickState) -> None:
    for found in state.latest:
        write_micrograph(folder, listed[found.number], found)


def _write(
    listed: Sequence[ListedMicrograph], diameter_A: float, folder: Path, result: PickState, state: PickState
) -> Outcome:
    picks = write_tables(folder, listed, result, diameter_A)
    failed = [m for m, why in zip(listed, result.failure, strict=True) if why]
    words = f"{picks:,} picks in {len(listed) - len(failed):,} micrographs"
    if failed:
        words += f"; {len(failed):,} could not be used, see {WORDS} in micrographs.star"
    return Outcome(
        words=words,
        verdict="done" if picks else "nothing was found",
        summary={"micrographs": len(listed), "failed": len(failed), "picks": picks, "diameter_A": diameter_A},
        messages=tuple(why for why in result.failure if why)[:FAILURES_SAID],
    )


TASK = Task(
    name="pick",
    title="picking",
    about="Without templates and map a ball is looked for, of --diameter-A or of a diameter that the micrographs "
    "suggest. Particles are dark in micrographs, unless "
    "--no-invert-contrast is given. Coordinates are RELION's: pixels of the micrograph, y being the row of the file.",
    source=Micrographs,
    methods={"": Pick},
    prepare=_prepare,
    files=FILES,
    results="picks.star, picks.cs, autopick.star, picks/",
    page=pick_page,
    uses=frozenset({"threads"}),
    useless=lambda summary: summary["failed"] == summary["micrographs"],
    aliases={"diameter_A": ("--diameter",), "template_pixel_size_A": ("--template-angpix",)},
    ignores=frozenset({"device", "memory", "every"}),
)
run_pick = function_of(TASK)
