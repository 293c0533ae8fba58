"""The ``pick`` job: micrographs in; coordinates of particles, and a report, out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

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
    image_templates,
    list_micrographs,
    pick_algorithm,
    projection_templates,
    rotated_bank,
)
from vitreous.micrographs.algorithm import AT_ONCE
from vitreous.particles import open_stack, read_stack, read_volume

__all__ = ["TASK", "Micrographs", "run_pick"]

MOST_TEMPLATES = 500
FAILURES_SAID = 5


@dataclass(frozen=True, kw_only=True)
class Micrographs:
    """Micrographs, and what is looked for in them.

    Parameters
    ----------
    micrographs
        Micrographs (.mrc; .tif, .png and .jpg where Pillow is installed), or a .star list of them with the CTF. A
        pattern in quotes will do, too.
    templates
        A stack of images of the particle (.mrcs), such as class averages: particles white, of any greyscale and pixel
        size.
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


def _prepare(source: Micrographs, settings: Pick, resources: Resources) -> Prepared[PickState, PickState]:
    given: tuple[Path, ...] = tuple(np.atleast_1d(np.array(source.micrographs, dtype=object)))
    listed = list_micrographs(given, project=source.project, pixel_size_A=source.pixel_size_A)
    looked = _looked(source, settings)
    used = settings.chosen(ball=looked.ball)
    algorithm = pick_algorithm(listed, _banks(looked, used), used, looked.diameter_A, threads=resources.threads)
    lists = [path for path in given if path.suffix.lower() == ".star"]
    return Prepared(
        settings=used,
        inputs=tuple(path for path in (*lists, source.templates, source.map) if path is not None),
        algorithm=algorithm,
        state=PickState,
        steps=-(-len(listed) // AT_ONCE),
        each=partial(_write_each, listed),
        write=partial(_write, listed, looked.diameter_A),
        screen=_screen(listed, looked, used),
        notes=_notes(listed, source, used),
        plan={"micrographs": len(listed), "diameter_A": looked.diameter_A},
        remark=_remark,
    )


def _looked(source: Micrographs, settings: Pick) -> _Looked:
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
        return _Looked(at=at, ball=False, diameter_A=diameter, words=words)
    if source.templates is not None:
        images, pixel_A = _templates(source.templates, stated)
        diameter = diameter or round(extent_of_images(images, pixel_A), 1)
        words = f"{len(images)} images of {source.templates}"
        return _Looked(
            at=partial(image_templates, images, pixel_A, diameter), ball=False, diameter_A=diameter, words=words
        )
    if stated is not None:
        raise ValueError("template_pixel_size_A: there are no templates and no map whose pixel size it could be")
    if diameter is None:
        raise ValueError("diameter_A: without templates and map, expected the diameter of the particle, found none")
    return _Looked(at=partial(ball_templates, diameter), ball=True, diameter_A=diameter, words="a ball")


def _templates(path: Path, stated_A: float | None) -> tuple[np.ndarray, float]:
    stack = open_stack(path)
    pixel_A = stated_A or stack.header.pixel_size_A
    if not pixel_A > 0:
        raise ValueError(f"{path}: the header has no pixel size; give it by --template-pixel-size-A")
    if len(stack) > MOST_TEMPLATES:
        raise ValueError(f"{path}: {len(stack)} images; expected at most {MOST_TEMPLATES} templates: give averages")
    images = read_stack(path)
    flat = np.array([not np.isfinite(image).all() or image.std() == 0 for image in images])
    if flat.all():
        raise ValueError(f"{path}: all {len(images)} images are flat or hold NaN")
    return images[~flat], float(pixel_A)


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
    rotations = "" if looked.ball else f" in {settings.angles} rotations"
    return (
        f"data     {len(listed):,} micrographs, {ctf}",
        f"settings {looked.words}{rotations}, diameter {looked.diameter_A:.0f} Å, {settings.false_picks:g} false picks "
        "of noise expected per micrograph",
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
    picks = write_tables(folder, listed, result)
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
    about="Without templates and map a ball of --diameter-A is looked for. Particles are dark in micrographs, unless "
    "--no-invert-contrast is given. Coordinates are RELION's: pixels of the micrograph, y being the row of the file.",
    source=Micrographs,
    methods={"": Pick},
    prepare=_prepare,
    files=FILES,
    results="picks.star, autopick.star, picks/",
    page=pick_page,
    uses=frozenset({"threads"}),
    aliases={"diameter_A": ("--diameter",), "template_pixel_size_A": ("--template-angpix",)},
    ignores=frozenset({"device", "memory", "every"}),
)
run_pick = function_of(TASK)
