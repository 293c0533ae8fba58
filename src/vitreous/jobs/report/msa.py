"""The report of an ``msa`` job: classes, eigenimages, walks along them, maps, the tree, reconstituted images."""

from pathlib import Path
from typing import Any

import numpy as np

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.msa_charts import eigenvalue_chart, map_chart, score_chart, tree_chart
from vitreous.jobs.report.page import (
    Charts,
    Drawing,
    Gallery,
    KeyFigure,
    Page,
    Panel,
    Rows,
    Section,
    Text,
    Tile,
    TileRows,
    picture,
)
from vitreous.jobs.report.selection import selection_section
from vitreous.jobs.results.msa import MSAFolder, open_msa_folder
from vitreous.words import counted

__all__ = ["msa_page"]

STEPS_SD = (-2, -1, 0, 1, 2)  # of the walks along a factor
MOST_WALKS = 10
NOTICED = 0.5  # share of a factor from which on it is said what it looks like
NOTHING_FOUND = (
    "No factor varies by more than noise of this level does. There is one class, and eigenimages are those of noise.",
    "Worth checking: that the images are aligned, the particle diameter or mask, the contrast, and whether there are "
    "enough images.",
)


def msa_page(folder: Path) -> Page:
    """The page of a finished ``msa`` folder. Raises JobFolderError when the folder lacks the results."""
    found, manifest = open_msa_folder(folder), read_manifest(folder)
    summary = {} if manifest is None else manifest.summary
    significant = int(found.figures["significant"])
    return Page(
        kind="multivariate analysis",
        headline=_headline(found, significant),
        key_figures=tuple(_key_figures(found, summary)),
        nothing_found=() if significant else NOTHING_FOUND,
        sections=(
            _classes(found),
            *(section for section in (selection_section(folder, found.averages),) if section is not None),
            _factors(found, significant),
            *((_walks(found, significant), *_maps(found), _tree(found)) if significant else ()),
            _reconstituted(found, significant),
        ),
    )


def _headline(found: MSAFolder, significant: int) -> str:
    total = f"{found.population.sum():,} images"
    if not significant:
        return f"{total}: nothing varies but noise."
    factors = "one factor varies" if significant == 1 else f"{significant} factors vary"
    return f"{total}: {factors} by more than noise, {counted(len(found.population), 'class')}."


def _key_figures(found: MSAFolder, summary: dict[str, Any]) -> list[KeyFigure]:
    significant, total = int(found.figures["significant"]), max(found.figures["total_variance"], 1e-300)
    share = 100 * found.eigenvalues[:significant].sum() / total
    figures = [
        ("significant factors", f"{significant}", f"of {len(found.eigenvalues)} computed"),
        ("their variance", f"{share:.1f} %", "of that of all pixels, most of which is noise"),
        ("classes", f"{len(found.population)}", "in the space of these factors"),
    ]
    if significant:
        figures.append(("K-means and Ward", f"{found.figures['agreement']:.2f}", "agreement: 1 for the same classes"))
    if summary.get("pixels"):
        figures.append(("pixels", f"{summary['pixels']:,}", "within the mask"))
    return figures


def _classes(found: MSAFolder) -> Section:
    tiles = []
    for k, (image, size) in enumerate(zip(found.averages, found.population, strict=True), 1):
        resolution = found.resolution_A[k - 1]
        note = f"{resolution:.1f} Å" if np.isfinite(resolution) else "no resolution"
        tiles.append(
            Tile(pictures=(picture(image, f"Class {k}"),), name=f"class {k}", figure=f"{size:,}", notes=(note,))
        )
    return Section(
        name="classes",
        title="Classes",
        hint="Averages of the classes from the original pixels, corrected for the CTF where it is known.",
        panels=(Gallery(tiles=tuple(tiles)),),
    )


def _factors(found: MSAFolder, significant: int) -> Section:
    limit = found.figures["noise_limit"]
    tiles = []
    for k, image in enumerate(found.eigenimages):
        over = f"{found.eigenvalues[k] / limit:.2f} x" if np.isfinite(limit) and limit > 0 else "-"
        notes = () if k < significant else ("noise",)
        name = f"factor {k + 1}"
        tiles.append(Tile(pictures=(picture(image, name),), name=name, figure=over, notes=notes, pale=k >= significant))
    drawings: list[Drawing] = [("Eigenvalues", eigenvalue_chart(found))]
    if len(found.scores) > 1:
        drawings.append(("Number of classes: lower is better", score_chart(found)))
    panels: list[Panel] = [Gallery(tiles=tuple(tiles), small=True), Charts(drawings=tuple(drawings))]
    if significant:
        panels.append(_likeness(found, significant))
    return Section(
        name="factors",
        title="Factors",
        hint="Eigenimages by their eigenvalues, over the largest one that noise of this level has (one set of noise in "
        "a thousand exceeds it). Bright and dark vary against each other; the sign is arbitrary.",
        panels=tuple(panels),
    )


def _likeness(found: MSAFolder, significant: int) -> Rows:
    rows = []
    for k in range(significant):
        alignment, contrast, defocus = found.likeness[k]
        looks = [
            words
            for words, share in (
                ("errors of alignment", alignment),
                ("differences of contrast", contrast),
                ("differences of defocus", defocus),
            )
            if share >= NOTICED
        ]
        signal = found.signal_variance[k] / max(found.eigenvalues[k], 1e-300)
        shares = (f"{100 * share:.0f} %" for share in (signal, alignment, contrast, defocus))
        rows.append((f"{k + 1}", *shares, " and ".join(looks) or "-"))
    head = ("factor", "signal in it", "like alignment errors", "like contrast", "follows defocus", "may be")
    return Rows(head=head, rows=tuple(rows))


def _walks(found: MSAFolder, significant: int) -> Section:
    rows = []
    for k in range(min(significant, MOST_WALKS)):
        sd = float(np.sqrt(found.signal_variance[k]))
        tiles = []
        for step in STEPS_SD:
            name = f"{step:+d} sd".replace("-", "−") if step else "average"
            image = found.average + step * sd * found.eigenimages[k]
            tiles.append(Tile(pictures=(picture(image, f"Factor {k + 1}, {name}"),), name=name))
        rows.append(((f"Factor {k + 1}", tuple(tiles)),))
    return Section(
        name="walks",
        title="Walks along the factors",
        hint="The average, with more and less of an eigenimage: up to two standard deviations of what varies, without "
        "the noise.",
        panels=(TileRows(rows=tuple(rows)),),
    )


def _maps(found: MSAFolder) -> tuple[Section, ...]:
    drawings = tuple(
        (f"Factors {shown.first + 1} and {shown.second + 1}", map_chart(found, shown)) for shown in found.maps
    )
    if not drawings:
        return ()
    return (
        Section(
            name="maps",
            title="Factor maps",
            hint="Every point is an image (at most 1,500 are drawn), coloured by its class. Pictures are averages of "
            "the images that lie around them, not reconstituted ones.",
            panels=(Charts(wide=drawings),),
        ),
    )


def _tree(found: MSAFolder) -> Section:
    panels: tuple[Panel, ...] = (Text(text="All images are in one branch."),)
    if len(found.kept["branches"]):
        panels = (Charts(wide=(("The last joins", tree_chart(found)),)),)
    return Section(
        name="tree",
        title="Hierarchical classification",
        hint="Ward's criterion: classes are joined whose union raises the sum of squares least. Below, the average of "
        "the images of every branch.",
        panels=panels,
    )


def _reconstituted(found: MSAFolder, significant: int) -> Section:
    tiles = []
    for particle, pair in zip(found.kept["examples"], found.kept["example_images"], strict=True):
        label = int(found.kept["label"][particle])
        names = ("as it was analysed", "reconstituted", f"average of class {label + 1}")
        images = (*pair, found.averages[label])
        tiles.append(
            Tile(
                pictures=tuple(
                    picture(image, f"Particle {particle + 1}, {name}")
                    for image, name in zip(images, names, strict=True)
                ),
                name=f"particle {particle + 1:,}",
                figure=f"class {label + 1}",
            )
        )
    what = "the average" if not significant else f"the average and {significant} factors"
    return Section(
        name="reconstituted",
        title="Reconstituted images",
        hint=f"Left: an image as it was analysed. Middle: {what}. Right: the average of its class.",
        panels=(Gallery(tiles=tuple(tiles)),),
    )
