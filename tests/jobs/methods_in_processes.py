"""What every process of a test does: work on its share, and keep what it knows at the end."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "averages"))
sys.path.insert(0, str(Path(__file__).parent.parent / "structures"))

from posed_scenes import DIAMETER_A, scene
from sets import settings, simulate

from vitreous.averages.class2d import class2d
from vitreous.averages.neighbours import Neighbours, neighbours
from vitreous.jobs.distributed import processes_of_this_job
from vitreous.matching import ImagePreparation
from vitreous.processes import Processes
from vitreous.structures.abinitio import Abinitio, abinitio
from vitreous.structures.refine import Refine, refine
from vitreous.testing import ArrayParticles
from vitreous.volumes.reconstruction import ART, Gridding, LeastSquares, PosedParticles, reconstruct

N, BAD = 320, 5
NEIGHBOURS = Neighbours(classes=16, neighbours=6, particle_diameter_A=130.0, averages=8, runs=1, passes=4, seed=3)


STRANGE = 11  # of the particles with known poses: one with a NaN
ABINITIO = Abinitio(particle_diameter_A=DIAMETER_A, resolution_limit_A=25.0, folds=4)
REFINE = Refine(particle_diameter_A=DIAMETER_A, folds=4, initial_lowpass_A=35.0)


def particles_of(snr: float) -> ArrayParticles:
    particles, truth = simulate(N, snr, 7)
    particles.images[BAD, 3, 3] = np.nan
    return ArrayParticles(
        images=particles.images, pixel_size_A=particles.pixel_size_A, shift_A=truth.origin_px * particles.pixel_size_A
    )


def structures_of(processes: Processes, *, quick: bool) -> dict[str, np.ndarray]:
    """Of all that makes maps from particles: maps, poses, and what is said of them; quick: by a few passes."""
    made, found = scene(120 if quick else 400, snr=1.0), {}
    made.particles.images[STRANGE, 3, 3] = np.nan
    first = abinitio(
        made.particles, ABINITIO, starts=1 if quick else 2, iterations=1 if quick else 6, processes=processes
    )
    found |= {"abinitio map": first.volumes[0].data, "abinitio rotation": first.poses.rotation}
    found |= {"abinitio evidence": np.array([start.evidence for start in first.starts])}
    starts = {"reference": {"reference": made.map}} | (
        {} if quick else {"poses": {"poses": made.start(5.0, 3.0, lost=0.1)}}
    )
    for name, start in starts.items():
        better = refine(made.particles, REFINE, iterations=2 if quick else 20, threads=1, processes=processes, **start)
        found |= {f"{name} map": better.full.data, f"{name} rotation": better.poses.rotation}
        found |= {f"{name} resolution": np.array([better.resolution_A]), f"{name} half": better.half}
        found |= {f"{name} sigma": better.sigma_direction_deg}
    particles = PosedParticles(
        read=made.particles.read,
        preparation=ImagePreparation.for_box(made.map.box_px, made.map.pixel_size_A, DIAMETER_A),
        ctf=made.particles.ctf,
        rotations=made.truth.rotation,
        origins_A=made.truth.origin_A,
    )
    kinds = (Gridding(),) if quick else (LeastSquares(iterations=5), ART(sweeps=1, blocks=2))
    for kind in kinds:
        volume = reconstruct(particles, kind, processes=processes)
        found |= {f"{type(kind).__name__} map": volume.full.data, f"{type(kind).__name__} fsc": volume.fsc.numpy()}
    return found


def result_of(method: str, processes: Processes) -> Any:
    if method == "class2d":
        return class2d(particles_of(0.2), settings(iterations=8), processes=processes)
    return neighbours(particles_of(0.3), NEIGHBOURS, processes=processes)


if __name__ == "__main__":
    with processes_of_this_job() as mine:
        quick = {"structures in a few passes": True, "structures": False}.get(sys.argv[1])
        found = vars(result_of(sys.argv[1], mine)) if quick is None else structures_of(mine, quick=quick)
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    np.savez(Path(sys.argv[2]) / f"rank{mine.rank}.npz", **arrays)
