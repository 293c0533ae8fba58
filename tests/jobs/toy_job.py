"""A job that is easy to interrupt: noisy averaging with randomness in every step. Run as a program by the tests."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.iterate import Algorithm, run
from vitreous.jobs.folder import open_job
from vitreous.jobs.manifest import new_manifest
from vitreous.randomness import generator

STEPS = 40


@dataclass(frozen=True, kw_only=True)
class ToyState:
    iteration: int
    mean: torch.Tensor
    total: float


def toy(pause: float = 0.0) -> Algorithm[ToyState, np.ndarray]:
    def step(state: ToyState):
        rng = generator(5, "toy", index=state.iteration)
        mean = 0.9 * state.mean + torch.from_numpy(rng.standard_normal(2000)).sin()
        time.sleep(pause)
        total = state.total + float(mean.sum()) / 3
        return ToyState(iteration=state.iteration + 1, mean=mean, total=total), {"total": total}

    return Algorithm(
        init=lambda seed: ToyState(iteration=0, mean=torch.full((2000,), float(seed)), total=0.1),
        step=step,
        done=lambda state: state.iteration == STEPS,
        finalise=lambda state: np.append(state.mean.numpy(), state.total),
    )


def main(folder: Path, pause: float) -> np.ndarray:
    with open_job(folder, new_manifest("toy", {}, seed=1), command="toy", resume=True) as job:
        state = job.restore(ToyState)
        print("ready", 0 if state is None else state.iteration, flush=True)
        result, _ = run(
            toy(pause), seed=1, state=state, on_step=job.record, save=job.save, interrupted=job.abort_requested
        )
        np.save(folder / "result.npy", result)
        return result


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
