"""Maximum a-posteriori 2D classification: soft classes, leave-out averages, marching resolution."""

from vitreous.averages.class2d.settings import Class2D
from vitreous.averages.class2d.task import Class2DPlan, Class2DRun, class2d, prepare_run

__all__ = ["Class2D", "Class2DPlan", "Class2DRun", "class2d", "prepare_run"]
