"""A classification in the middle of its run, in the form of a result, for the files of an iteration."""

import numpy as np

from vitreous.averages.class2d import Class2DRun
from vitreous.averages.class2d.em import State
from vitreous.averages.result import Class2DResult

__all__ = ["result_so_far"]


def result_so_far(run: Class2DRun, state: State) -> Class2DResult:
    """Averages and assignments as they stand. Particles that were not seen yet have class number 0.

    What only the final pass measures is left empty: FRC and SSNR 0, entropies NaN, noise as that of the normalised
    background (white, variance 1).
    """
    snapshot = run.snapshot(state)
    averages, number = snapshot["averages"], snapshot["class_number"]
    n, n_classes, box = len(number), len(averages), averages.shape[-1]
    shells = box // 2 + 1
    population = np.bincount(number, minlength=n_classes + 1)[1:]
    return Class2DResult(
        pixel_size_A=run.plan.pixel_size_A,
        particle_diameter_A=run.plan.particle_diameter_A,
        averages=averages,
        averages_half=np.zeros((2, *averages.shape), np.float32),
        frc=np.zeros((n_classes, shells)),
        ssnr=np.zeros((n_classes, shells)),
        resolution_A=snapshot["resolution_A"],
        population=population,
        distribution=snapshot["distribution"],
        effective_number=np.full(n_classes, np.nan),
        class_number=number,
        psi_deg=snapshot["psi_deg"],
        origin_x_A=snapshot["origin_x_A"],
        origin_y_A=snapshot["origin_y_A"],
        weight=(number > 0).astype(np.float64),
        max_probability=snapshot["max_probability"],
        entropy=np.full(n, np.nan),
        effective_classes=np.full(n, np.nan),
        significant=np.zeros(n, np.int64),
        log_likelihood=snapshot["log_likelihood"],
        noise_power=np.ones((run.plan.noise_groups, shells)),
        noise_group=run.particles.optics_group,
        found_signal=True,
    )
