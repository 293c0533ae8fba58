"""The ``demo`` job: simulate particles, go all the way to a refined map, compare with the truth."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from vitreous.averages.class2d import Class2D
from vitreous.jobs.options import RunOptions, tell
from vitreous.jobs.results.reference import REFINED_NAMES, agreement_lines, read_agreement
from vitreous.jobs.results.refine import read_refined
from vitreous.jobs.tasks.class2d import run_class2d
from vitreous.jobs.tasks.pipeline import Pipeline, run_pipeline
from vitreous.jobs.tasks.simulate import run_simulate
from vitreous.particles import open_stack, read_particles, read_star, read_volume
from vitreous.quality import (
    ClassTruth,
    PoseTruth,
    class_frame_poses,
    compare_classes,
    compare_with_true_poses,
)
from vitreous.simulate import SimulateSettings
from vitreous.structures import Poses

__all__ = ["compare_with_truth", "run_demo"]


def run_demo(
    output: str | Path,
    *,
    particles: int = 3000,
    classes: int = 30,
    seed: int = 0,
    model: bool = True,
    options: RunOptions | None = None,
    command: str = "vitreous.run_demo",
) -> ClassTruth:
    """Simulate particles into ``output/simulated``, classify them into ``output/class2d``, and score the result.

    With ``model`` the particles go on to a first model and a refined map (:func:`vitreous.run_pipeline`); poses and map
    are compared with the true ones, over both hands. The particles: a ribosome-like phantom in random views, 64 x 64
    pixels of 5 A, SNR 0.1 (see :class:`vitreous.simulate.SimulateSettings`), 7 defocus groups, shifts within 2 pixels.
    """
    options = options or RunOptions()
    simulated, classified = Path(output) / "simulated", Path(output) / "class2d"
    star = run_simulate(simulated, SimulateSettings(particles=particles, seed=seed), options, command=command)
    if model:
        true = simulated / "volume_1.mrc"
        settings = Pipeline(classes=classes, seed=seed)
        report = run_pipeline(star, output, settings, options, command=command, reference=true)
    else:
        report = run_class2d(star, classified, Class2D(classes=classes, seed=seed), options, command=command)
    truth = compare_with_truth(classified, simulated)
    lines, figures = truth.lines(), {**asdict(truth), "report": str(report)}
    if model:
        of_map, of_poses = _of_map(Path(output), simulated)
        lines, figures = [*lines, *of_map, *of_poses.lines()], {**figures, "poses": asdict(of_poses)}
    text = "\n".join(["", "against the truth:", *(f"  {line}" for line in lines), "", f"open {report}"])
    tell(options, text, "truth", figures)
    return truth


def _of_map(run: Path, simulated: Path) -> tuple[list[str], PoseTruth]:
    """What is said of the refined map, and of its poses against the true ones."""
    refined, found = read_refined(run / "refine"), read_agreement(run)
    claimed = refined.post.resolution_A
    lines = [f"half maps that never met agree to {claimed:.1f} Å in their mask (FSC 0.143)"]
    if found is not None:
        lines += agreement_lines(found[0], names=REFINED_NAMES)
    poses, true = (
        Poses.from_particles(read_particles(path))
        for path in (run / "refine" / "refined_data.star", simulated / "truth.star")
    )
    table = read_star(run / "refine" / "refined_data.star")["particles"]
    used = np.flatnonzero(table.numbers("rlnRandomSubset") > 0)
    rows = np.array([int(name.split("@")[0]) - 1 for name in table["rlnImageName"]])[used]
    return lines, compare_with_true_poses(poses.rotation[used], true.rotation[rows], np.eye(3)[None])


def compare_with_truth(classified: Path, simulated: Path) -> ClassTruth:
    """Compare the folder of a ``class2d`` job with that of the ``simulate`` job (one volume) that it started from."""
    data, truth = (read_star(p)["particles"] for p in (classified / "run_data.star", simulated / "truth.star"))
    number = data["rlnClassNumber"].astype(int)
    used = np.flatnonzero(number > 0)
    label, poses = number[used] - 1, class_frame_poses(data, truth)[torch.from_numpy(used)]
    averages = open_stack(classified / "run_classes.mrcs").read(np.arange(label.max() + 1))
    volume = torch.from_numpy(read_volume(simulated / "volume_1.mrc").data)
    return compare_classes(torch.from_numpy(averages), volume, poses, label)
