"""What a report's page is made of: a head, and sections of panels. Each kind of panel has one template of its own."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from vitreous.pictures import data_address, show

__all__ = [
    "Charts",
    "Columns",
    "Drawing",
    "Gallery",
    "KeyFigure",
    "Page",
    "Panel",
    "Picture",
    "Rows",
    "Section",
    "Slices",
    "Stage",
    "StageRows",
    "Surface",
    "Text",
    "Tile",
    "TileRows",
    "picture",
]

KeyFigure = tuple[str, str, str]  # (name, figure, remark)
Drawing = tuple[str, str]  # (heading, SVG of charts.py, which escapes the words in it)


class Panel(Protocol):
    """A part of a section. ``template`` is a file of ``page/``; ``assets`` are styles and scripts that it needs."""

    template: ClassVar[str]
    assets: ClassVar[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image as a data address; ``alt`` says in words what it shows."""

    address: str
    alt: str


def picture(
    image: np.ndarray, alt: str, *, largest: int = 192, fade: bool = False, span: tuple[float, float] | None = None
) -> Picture:
    """An image (L, L) ready for the page; see :func:`vitreous.pictures.show`."""
    return Picture(address=data_address(show(image, largest=largest, fade=fade, span=span)), alt=alt)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Pictures that belong together, with a caption: a name, a figure opposite, and notes on lines of their own."""

    pictures: tuple[Picture, ...]
    name: str
    figure: str = ""
    notes: tuple[str, ...] = ()
    pale: bool = False


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Tiles that fill the width. A tile is as wide as its number of pictures asks for, unless ``small``."""

    template: ClassVar[str] = "gallery.html.j2"
    assets: ClassVar[tuple[str, ...]] = ()
    tiles: tuple[Tile, ...]
    small: bool = False

    @property
    def pictures_per_tile(self) -> int:
        """1 in an empty gallery."""
        return max((len(tile.pictures) for tile in self.tiles), default=1)


@dataclass(frozen=True, kw_only=True)
class TileRows:
    """Rows of groups of small tiles; a group is its heading and its tiles."""

    template: ClassVar[str] = "tile_rows.html.j2"
    assets: ClassVar[tuple[str, ...]] = ()
    rows: tuple[tuple[tuple[str, tuple[Tile, ...]], ...], ...]


@dataclass(frozen=True, kw_only=True)
class Charts:
    """Drawings with their headings; ``wide`` ones take the place of two."""

    template: ClassVar[str] = "charts.html.j2"
    assets: ClassVar[tuple[str, ...]] = ()
    drawings: tuple[Drawing, ...] = ()
    wide: tuple[Drawing, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table."""

    template: ClassVar[str] = "rows.html.j2"
    assets: ClassVar[tuple[str, ...]] = ()
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Slices of maps: for every map its heading, and its slices by name."""

    template: ClassVar[str] = "slices.html.j2"
    assets: ClassVar[tuple[str, ...]] = ()
    maps: tuple[tuple[str, tuple[tuple[str, Picture], ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A surface that can be turned: what the script draws, and the threshold shown first (a share of the peak)."""

    template: ClassVar[str] = "surface.html.j2"
    assets: ClassVar[tuple[str, ...]] = ("surface.js",)
    title: str
    data: dict[str, Any]
    level: float


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A job within the job: a link to its report relative to this one, what it says, and pictures of it."""

    title: str
    address: str
    remark: str
    headline: str = ""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StageRows:
    """Stages, one under the other."""

    template: ClassVar[str] = "stage_rows.html.j2"
    assets: ClassVar[tuple[str, ...]] = ()
    stages: tuple[Stage, ...]


@dataclass(frozen=True, kw_only=True)
class Text:
    """A small heading and a sentence or two; either may be empty."""

    template: ClassVar[str] = "text.html.j2"
    assets: ClassVar[tuple[str, ...]] = ()
    heading: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Panels side by side; under each other on a narrow screen."""

    template: ClassVar[str] = "columns.html.j2"
    assets: ClassVar[tuple[str, ...]] = ()
    left: tuple[Panel, ...]
    right: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A titled part of the page. ``name`` is one lower-case word: its address, and its name in the list of sections."""

    name: str
    title: str
    hint: str = ""
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report, less what every report says (messages, provenance, version, time): the writer adds that."""

    kind: str  # of job, in words
    headline: str
    key_figures: tuple[KeyFigure, ...] = ()
    sections: tuple[Section, ...]
    nothing_found: tuple[str, ...] = ()  # paragraphs of a warning at the top
    notes: tuple[str, ...] = ()  # before the messages of the job
    complete: bool = True  # needs no other file
