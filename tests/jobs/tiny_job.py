"""A whole new job: the mean image of the particles. Settings, algorithm, files, page; command and function for free."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.report.page import Gallery, Page, Section, Tile, picture
from vitreous.jobs.sources import Particles
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.particles import ParticleSet, open_stack, write_mrc_stack

HALVES = "mean_halves.mrcs"


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Settings of the mean image.

    Parameters
    ----------
    invert_contrast
        For particles that are dark on a bright background.
    seed
        Of the division into halves.
    """

    invert_contrast: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class MeanState:
    """The first ``iteration`` of two halves are averaged; (2, L, L)."""

    iteration: int
    seed: int
    halves: np.ndarray


def mean_algorithm(particles: ParticleSet, settings: Mean) -> Algorithm[MeanState, np.ndarray]:
    """A step for each half of the particles."""
    shape = (2, particles.box_px, particles.box_px)

    def step(state: MeanState) -> tuple[MeanState, Mapping[str, Any]]:
        mine = np.random.default_rng(state.seed).permutation(len(particles)) % 2 == state.iteration
        halves = state.halves.copy()
        halves[state.iteration] = particles.read(np.flatnonzero(mine)).mean(0) * (-1 if settings.invert_contrast else 1)
        return MeanState(iteration=state.iteration + 1, seed=state.seed, halves=halves), {"averaged": int(mine.sum())}

    return Algorithm(
        init=lambda seed: MeanState(iteration=0, seed=seed, halves=np.zeros(shape, np.float32)),
        step=step,
        done=lambda state: state.iteration == 2,
        finalise=lambda state: state.halves,
    )


def _prepare(source: Particles, settings: Mean, resources: Resources) -> Prepared[MeanState, np.ndarray]:
    particles = source.open()
    return Prepared(
        settings=settings,
        inputs=(particles.path,),
        algorithm=mean_algorithm(particles, settings),
        state=MeanState,
        steps=2,
        write=partial(_write, particles),
        screen=(f"data     {particles.path}: {len(particles):,} particles",),
    )


def _write(particles: ParticleSet, folder: Path, halves: np.ndarray, state: MeanState) -> Outcome:
    write_mrc_stack(folder / HALVES, halves, particles.pixel_size_A)
    correlation = float(np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1])
    return Outcome(
        words=f"the halves correlate by {correlation:.2f}", summary={"correlation_of_halves": round(correlation, 4)}
    )


def mean_page(folder: Path) -> Page:
    """Both halves, and how alike they are."""
    if not (folder / HALVES).is_file():
        raise JobFolderError(f"{folder} has no {HALVES}: it is not the folder of a finished mean image")
    images = open_stack(folder / HALVES).read(np.arange(2))
    tiles = tuple(Tile(pictures=(picture(image, "mean"),), name=f"half {i}") for i, image in enumerate(images, 1))
    alike = f"{np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1]:.2f}"
    return Page(
        kind="mean image",
        headline="Two halves of the particles, averaged",
        key_figures=(("correlation", alike, "of the halves"),),
        sections=(Section(name="halves", title="Halves", panels=(Gallery(tiles=tiles),)),),
    )


TASK = Task(
    name="mean",
    title="averaging",
    source=Particles,
    methods={"": Mean},
    prepare=_prepare,
    files=(HALVES,),
    results=HALVES,
    page=mean_page,
    uses=frozenset({"threads"}),
)
