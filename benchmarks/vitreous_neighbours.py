"""Our search for neighbours, or our denoising, as a measured child that counts its stages.

``python -m benchmarks.vitreous_neighbours WHAT particles.star out-folder SETTINGS``; WHAT: ``neighbours``, a chain
(``published``, ``published without VDM``, ``bispectrum only``, ``exhaustive``) or ``denoise``; SETTINGS: JSON object,
what differs from the defaults.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.stages import Stages
from vitreous.averages.denoise import Denoise, prepare_denoising
from vitreous.averages.neighbours import (
    ImagePosteriors,
    NeighbourLists,
    Neighbours,
    exhaustive_neighbours,
    image_posteriors_of,
    invariant_features,
    mahalanobis_neighbours,
    nearest,
    prepare_neighbours,
)
from vitreous.iterate import run
from vitreous.particles import ParticleSet, read_particles

CHAINS: dict[str, Callable[[ImagePosteriors, int], NeighbourLists]] = {
    "published": mahalanobis_neighbours,
    "published without VDM": partial(mahalanobis_neighbours, eigenvectors=0),
    "bispectrum only": lambda posteriors, k: nearest(invariant_features(posteriors.components, posteriors.orders), k),
    "exhaustive": exhaustive_neighbours,
}
ENDED_BY = {"profiles": "classes", "averages": "profiles and search"}  # first word of what begins -> what has ended


def neighbours(particles: ParticleSet, settings: Neighbours, out: Path, stages: Stages) -> None:
    """What :func:`vitreous.averages.neighbours.neighbours` does, with the time of its parts."""
    job = prepare_neighbours(particles, settings, threads=1)
    job.data()
    stages.end("prepare")
    running = dict(ENDED_BY)

    def progress(done: int, total: int, what: str) -> None:
        if what in running:
            stages.end(running.pop(what))

    job.on_progress = progress
    result, _ = run(job.algorithm, seed=settings.seed)
    stages.end("averages")
    np.savez(
        out / "neighbours.npz",
        neighbours=result.neighbours,
        mirrored=result.mirrored,
        psi_deg=result.psi_deg,
        average_of=result.average_of,
        averages=result.averages,
    )


def chain(what: str, particles: ParticleSet, settings: Neighbours, out: Path, stages: Stages) -> None:
    """The chains of image with image, on the same principal components."""
    job = prepare_neighbours(particles, settings, threads=1)
    images, good = job.data().images, job.data().good
    stages.end("prepare")
    posteriors = image_posteriors_of(images)
    lists = CHAINS[what](posteriors, settings.neighbours)
    stages.end("chain")
    np.savez(
        out / "neighbours.npz",
        neighbours=good[lists.index.numpy()],
        mirrored=lists.mirrored.numpy(),
        **({} if lists.psi_rad.isnan().any() else {"psi_deg": np.rad2deg(lists.psi_rad.numpy())}),
    )


def denoise(particles: ParticleSet, settings: Denoise, out: Path, stages: Stages) -> None:
    """What :func:`vitreous.denoise` does, batch by batch into a file, with the time of its parts."""
    job = prepare_denoising(particles, settings)
    job.model()
    stages.end("prepare, mean and covariance")
    n, box = len(particles), particles.box_px
    images = np.lib.format.open_memmap(out / "denoised.npy", "w+", np.float32, (n, box, box))
    for rows in np.array_split(np.arange(n), -(-n // job.batch)):
        images[rows] = job.images(rows)
    images.flush()
    stages.end("filter")


def main(what: str, star: str, folder: str, settings: str = "{}") -> None:
    """Run one of them; what it found and its stages go to the folder."""
    stages, out = Stages(), Path(folder)
    stages.end("start")
    particles = read_particles(star)
    changed = json.loads(settings)
    with torch.no_grad():
        if what == "neighbours":
            neighbours(particles, Neighbours(**changed), out, stages)
        elif what in CHAINS:
            chain(what, particles, Neighbours(**changed), out, stages)
        else:
            denoise(particles, Denoise(**changed), out, stages)
    stages.write(out / "stages.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
