"""What every process of a test does: classify its share, and keep what it knows at the end."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "averages"))

from sets import settings, simulate

from vitreous.averages.class2d import class2d
from vitreous.jobs.distributed import processes_of_this_job
from vitreous.processes import Processes

N = 320


def classified(processes: Processes):
    particles, truth = simulate(N, 0.2, 7)
    particles.images[5, 3, 3] = np.nan
    return class2d(particles, settings(iterations=8), processes=processes), truth


if __name__ == "__main__":
    with processes_of_this_job() as mine:
        result, _ = classified(mine)
    arrays = {name: value for name, value in vars(result).items() if isinstance(value, np.ndarray)}
    np.savez(Path(sys.argv[1]) / f"rank{mine.rank}.npz", **arrays)
