"""The stages of a job that consists of jobs: of each a row, with what it says and what it shows first."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.progress import describe_duration
from vitreous.jobs.report.class2d_view import ClassView
from vitreous.jobs.report.page import Page, Picture, Section, Slices, Stage, StageRows, Tile
from vitreous.jobs.report.pick import PickedPicture

__all__ = ["PageOf", "stages_section"]

PageOf = Callable[[str], Callable[[Path], Page]]  # name of a job -> what makes the page of its folder
MOST_PICTURES = 8  # of a stage
HINT = "Every stage has its own report, in its sub-folder; the first pictures of each are here."


def stages_section(folder: Path, titles: Mapping[str, str], page_of: PageOf) -> Section:
    """The rows of the stages that have a record in ``folder``, in the order of ``titles`` (sub-folder -> title)."""
    rows = tuple(
        _stage(folder, name, title, manifest, page_of)
        for name, title in titles.items()
        if (manifest := read_manifest(folder / name)) is not None
    )
    return Section(name="stages", title="Stages", hint=HINT, panels=(StageRows(stages=rows),))


def _stage(folder: Path, name: str, title: str, manifest: Manifest, page_of: PageOf) -> Stage:
    page = _page(folder / name, page_of(manifest.task))
    seconds = manifest.summary.get("seconds")
    return Stage(
        title=title,
        address=f"{name}/report.html",
        remark=manifest.status if seconds is None else f"{manifest.status}, {describe_duration(seconds)}",
        headline="" if page is None else page.headline,
        pictures=() if page is None else tuple(islice(_first_pictures(page), MOST_PICTURES)),
    )


def _page(folder: Path, page: Callable[[Path], Page]) -> Page | None:
    """The page of a stage; None where it has not come to results."""
    try:
        return page(folder)
    except JobFolderError:
        return None


def _first_pictures(page: Page) -> Iterator[Picture]:
    """Those of the first panel that has any."""
    for section in page.sections:
        for panel in section.panels:
            found = list(_pictures(panel))
            if found:
                yield from found
                return


def _pictures(value: Any) -> Iterator[Picture]:
    """The pictures in a panel: the last one of a tile, which is the result; the first map of several."""
    if isinstance(value, Picture):
        yield value
    elif isinstance(value, Tile):
        yield from value.pictures[-1:]
    elif isinstance(value, ClassView):
        yield value.average
    elif isinstance(value, PickedPicture):
        yield Picture(address=value.address, alt=value.name)
    elif isinstance(value, Slices):
        yield from (picture for _, picture in value.maps[0][1])
    elif isinstance(value, tuple):
        for one in value:
            yield from _pictures(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _pictures(getattr(value, field.name))
