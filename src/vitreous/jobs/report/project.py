"""The report of a ``project`` job: some of the projections, and where they look from."""

from pathlib import Path

import torch

from vitreous.jobs.report.maps import directions_chart
from vitreous.jobs.report.page import Charts, Gallery, Page, Section, Tile, picture
from vitreous.jobs.results.project import ProjectFolder, read_projections
from vitreous.rotations import euler_to_matrix

__all__ = ["project_page"]

MOST, MOST_DOTS = 100, 1000


def project_page(folder: Path) -> Page:
    """The page of a finished ``project`` folder. Raises JobFolderError when the folder lacks the results."""
    found = read_projections(folder, most=MOST)
    box = found.images.shape[-1]
    few = "" if len(found.shown) == found.count else f" {len(found.shown)} of {found.count:,} are shown."
    some = found.angles_deg[:: max(1, found.count // MOST_DOTS)]
    rotations = euler_to_matrix(torch.from_numpy(some)).numpy()
    return Page(
        kind="projections",
        headline=f"{found.count:,} projections of a map.",
        key_figures=(
            ("projections", f"{found.count:,}", "with their poses in projections.star"),
            ("images", f"{box} x {box}", f"{found.pixel_size_A:g} Å per pixel"),
        ),
        sections=(
            Section(
                name="projections",
                title="Projections",
                hint=f"Number, and the angles rot, tilt, psi.{few}",
                panels=(Gallery(tiles=_tiles(found), small=True),),
            ),
            Section(
                name="views",
                title="Views",
                panels=(Charts(drawings=(("Viewing directions", directions_chart(rotations)),)),),
            ),
        ),
    )


def _tiles(found: ProjectFolder) -> tuple[Tile, ...]:
    return tuple(
        Tile(
            pictures=(picture(image, f"Projection {number + 1}", largest=96),),
            name=f"{number + 1}",
            notes=(" ".join(f"{angle:.0f}°" for angle in found.angles_deg[number]),),
        )
        for number, image in zip(found.shown.tolist(), found.images, strict=True)
    )
