"""Our search for neighbours, or our denoising, as a measured child that counts its stages.

``python -m benchmarks.vitreous_neighbours WHAT particles.star out-folder SETTINGS``; WHAT: ``neighbours`` or
``denoise``; SETTINGS: JSON object, what differs from the defaults.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.stages import Stages
from vitreous.averages.covariance import (
    estimate_covariance,
    estimate_mean,
    posterior_covariance,
    prepare_matched,
    steerable_plan,
    wiener_filter,
)
from vitreous.averages.neighbours import Neighbours, prepare_neighbours
from vitreous.iterate import run
from vitreous.matching import ImagePreparation
from vitreous.particles import ParticleSet, read_particles

ENDED_BY = {"profiles": "classes", "averages": "profiles and search"}  # first word of what begins -> what has ended
BATCH = 500


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


def denoise(particles: ParticleSet, out: Path, stages: Stages) -> None:
    """All particles through the covariance Wiener filter, in units of the background noise."""
    plan = steerable_plan(ImagePreparation.for_box(particles.box_px, particles.pixel_size_A, None))
    matched = prepare_matched(particles, plan, ctf=particles.ctf if particles.has_ctf else None)
    stages.end("prepare")
    mean = estimate_mean(matched.moments, matched.information)
    prior = estimate_covariance(matched.moments, matched.information, mean)
    posterior = posterior_covariance(prior, matched.information)
    stages.end("mean and covariance")
    shape = (len(particles), plan.box_px, plan.box_px)
    images = np.lib.format.open_memmap(out / "denoised.npy", "w+", np.float32, shape)
    for start in range(0, len(particles), BATCH):
        rows = slice(start, start + BATCH)
        z, group = torch.from_numpy(np.array(matched.matched[rows])), torch.from_numpy(matched.group[rows])
        filtered = wiener_filter(plan.basis, prior, matched.information, posterior, z, group)
        images[rows] = plan.basis.evaluate(filtered.coefficients).numpy()
    images.flush()
    stages.end("filter")


def main(what: str, star: str, folder: str, settings: str = "{}") -> None:
    """Run one of them; what it found and its stages go to the folder."""
    stages, out = Stages(), Path(folder)
    stages.end("start")
    particles = read_particles(star)
    with torch.no_grad():
        if what == "neighbours":
            neighbours(particles, Neighbours(**json.loads(settings)), out, stages)
        else:
            denoise(particles, out, stages)
    stages.write(out / "stages.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
