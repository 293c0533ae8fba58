"""K maps from particles: which particle shows which, and whether there are K at all."""

from vitreous.structures.class3d.result import Class3DResult, ClassMap, Start3D
from vitreous.structures.class3d.settings import Class3D
from vitreous.structures.class3d.state import Class3DState
from vitreous.structures.class3d.task import Class3DRun, class3d, prepare_class3d

__all__ = [
    "Class3D",
    "Class3DResult",
    "Class3DRun",
    "Class3DState",
    "ClassMap",
    "Start3D",
    "class3d",
    "prepare_class3d",
]
