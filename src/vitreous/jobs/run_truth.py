"""A classification of simulated particles against their truth: the folders of two jobs."""

from pathlib import Path

import numpy as np
import torch

from vitreous.particles import open_stack, read_star, read_volume
from vitreous.quality import ClassTruth, class_frame_poses, compare_classes

__all__ = ["compare_with_truth"]


def compare_with_truth(classified: Path, simulated: Path) -> ClassTruth:
    """Compare the folder of a ``class2d`` job with that of the ``simulate`` job (one volume) that it started from."""
    data, truth = (read_star(p)["particles"] for p in (classified / "run_data.star", simulated / "truth.star"))
    number = data["rlnClassNumber"].astype(int)
    used = np.flatnonzero(number > 0)
    label, poses = number[used] - 1, class_frame_poses(data, truth)[torch.from_numpy(used)]
    averages = open_stack(classified / "run_classes.mrcs").read(np.arange(label.max() + 1))
    volume = torch.from_numpy(read_volume(simulated / "volume_1.mrc").data)
    return compare_classes(torch.from_numpy(averages), volume, poses, label)
