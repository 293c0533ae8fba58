"""A new page is a little Python and no template; whatever its words are, it is well-formed, escaped and complete."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from parsed_page import ParsedPage

from vitreous.jobs.manifest import Manifest, Run, new_manifest, write_manifest
from vitreous.jobs.report.axes import axis
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.report.maps import MOST_PAIRS, pairs, slices
from vitreous.jobs.report.page import (
    Charts,
    Columns,
    Gallery,
    Page,
    Rows,
    Section,
    Slices,
    Stage,
    StageRows,
    Text,
    Tile,
    TileRows,
    picture,
)
from vitreous.jobs.report.surface import surface
from vitreous.jobs.report.writer import render, write_page

SIZE = 16  # box of the pictures, pixels
HOSTILE = """<b onclick="alert(1)">'&</b>"""


# What a new job would have to write: the page of a folder with images, their doubles, and a curve.
def folding_page(folder: Path) -> Page:
    with np.load(folder / "folded.npz") as kept:
        images, folded, score = kept["images"], kept["folded"], kept["score"]
    steps = np.arange(1.0, len(score) + 1)
    drawing = curves(
        [Curve(x=steps, y=score, name="score")],
        x=axis(1, len(score), "step", whole=True, widen=False),
        y=axis(float(score.min()), float(score.max()), "score"),
        title="Score by step",
    )
    shown = [picture(image, f"Image {i}") for i, image in enumerate(images, start=1)]
    after = [picture(image, f"Image {i} folded") for i, image in enumerate(folded, start=1)]
    rows = tuple((f"{i}", f"{image.std():.2f}") for i, image in enumerate(images, start=1))
    return Page(
        kind="folding",
        headline=f"{len(images)} images, folded.",
        key_figures=(("images", f"{len(images)}", "all usable"), ("last score", f"{score[-1]:.1f}", "")),
        sections=(
            Section(
                name="images",
                title="Images as they are",
                hint="In the order of the file.",
                panels=(Gallery(tiles=tuple(Tile(pictures=(one,), name="image") for one in shown), small=True),),
            ),
            Section(
                name="pairs",
                title="Images and what became of them",
                panels=(
                    Gallery(tiles=tuple(Tile(pictures=both, name="pair") for both in zip(shown, after, strict=True))),
                ),
            ),
            Section(name="convergence", title="Convergence", panels=(Charts(drawings=(("Score", drawing),)),)),
            Section(name="contrast", title="Contrast", panels=(Rows(head=("image", "deviation"), rows=rows),)),
        ),
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    images = np.random.default_rng(0).normal(size=(3, SIZE, SIZE))
    np.savez(tmp_path / "folded.npz", images=images, folded=images[:, ::-1], score=np.array([1.0, 5.0, 7.5]))
    write_manifest(tmp_path, manifest_with("the box is 302 A wide"))
    return tmp_path


def manifest_with(*messages: str) -> Manifest:
    """Of one run in a box of 302 A."""
    manifest = new_manifest("fold", {"box_size_A": 302.0}, seed=7, inputs=["in.star"])
    run = Run(command="vitreous fold in.star", started="2026-01-01T10:00:00", status="finished")
    return replace(manifest, runs=(run,), messages=messages)


def test_a_new_page_is_little_python_and_no_template(folder):
    path = write_page(folder, folding_page(folder))
    assert path == folder / "report.html"
    page = ParsedPage(path.read_text(encoding="utf-8"))
    assert [a["id"] for a in page.of("section") if "id" in a] == [
        "images",
        "pairs",
        "convergence",
        "contrast",
        "provenance",
    ]
    assert len(page.of("img")) == 3 + 2 * 3
    assert all(a.get("alt") for a in page.of("img"))
    assert [a["aria-label"] for a in page.of("svg")] == ["Score by step"]
    for words in ("3 images, folded.", "last score 7.5", "In the order of the file.", "image deviation", "Convergence"):
        assert words in page.text


def test_every_page_says_what_the_job_was(folder):
    text = ParsedPage(render(folder, folding_page(folder))).text
    for words in ("vitreous fold in.star", "box size (Å) 302", "seed 7", "the box is 302 Å wide", "complete in itself"):
        assert words in text


def test_notes_stand_before_the_messages_of_the_job(folder):
    page = Page(kind="test", headline="Nothing.", notes=("a note",), sections=())
    items = ParsedPage(render(folder, page)).text
    assert items.index("a note") < items.index("the box is 302 Å wide")


def test_a_folder_without_a_manifest_has_a_page_too(folder):
    (folder / "job.json").unlink()
    text = ParsedPage(render(folder, folding_page(folder))).text
    assert "Provenance" in text
    assert "seed" not in text


def test_sections_without_panels_are_left_out_of_page_and_contents(folder):
    page = Page(kind="test", headline="One.", sections=(Section(name="void", title="Void", panels=()),))
    assert "oid" not in ParsedPage(render(folder, page)).text


def every_panel(words: str) -> tuple:
    """One panel of each kind, with ``words`` wherever a panel takes words."""
    image = np.eye(SIZE)
    tile = Tile(pictures=(picture(image, words),), name=words, figure=words, notes=(words,))
    density = np.zeros((SIZE,) * 3)
    density[6:10, 6:10, 6:10] = 1.0
    drawing = curves(
        [Curve(x=np.arange(3.0), y=np.arange(3.0), name=words)], x=axis(0, 2, words), y=axis(0, 2, words), title=words
    )
    return (
        Gallery(tiles=(tile,)),
        TileRows(rows=(((words, (tile,)),),)),
        Charts(drawings=((words, drawing),), wide=((words, drawing),)),
        Rows(head=(words,), rows=((words,),)),
        StageRows(stages=(Stage(title=words, address=words, remark=words, headline=words),)),
        Text(heading=words, text=words),
        Columns(
            left=(surface(density, 2.0, title=words),),
            right=(Slices(maps=(slices(words, density), slices("", density))),),
        ),
    )


def test_words_from_outside_are_escaped_everywhere(folder):
    panels = every_panel(HOSTILE)
    section = Section(name="all", title=HOSTILE, hint=HOSTILE, panels=panels)
    page = Page(
        kind=HOSTILE,
        headline=HOSTILE,
        key_figures=((HOSTILE,) * 3,),
        sections=(section,),
        nothing_found=(HOSTILE,),
        notes=(HOSTILE,),
    )
    write_manifest(folder, manifest_with(HOSTILE))
    text = render(folder, page)
    parsed = ParsedPage(text)
    assert not [a for _, a in parsed.elements if "onclick" in a]
    assert HOSTILE not in text
    assert parsed.text.count("<b onclick") > 20


def test_scripts_come_once_and_only_where_a_panel_needs_them(folder):
    turned = every_panel("words")[-1]
    several = Page(kind="test", headline="x", sections=(Section(name="a", title="A", panels=(turned, turned)),))
    assert render(folder, several).count("Marching tetrahedra") == 1
    assert "<script" not in render(folder, folding_page(folder))


def test_of_many_pairs_the_worst_are_shown_in_the_order_of_the_file():
    correlation = np.linspace(1.0, 0.0, MOST_PAIRS + 5)
    images = np.zeros((len(correlation), SIZE, SIZE))
    tiles = pairs(images, images, correlation, what="Average").tiles
    assert [int(tile.name) for tile in tiles] == list(range(6, MOST_PAIRS + 6))
    assert (tiles[0].figure, tiles[-1].figure) == (f"{correlation[5]:.3f}", "0.000")
    assert tiles[0].pictures[0].alt == "Average 6"
