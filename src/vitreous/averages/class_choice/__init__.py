"""Which classes are worth keeping, and why the others are not: figures of every class, and criteria on them."""

from vitreous.averages.class_choice.criteria import REASONS, ClassVerdicts, Typical, outliers, verdicts
from vitreous.averages.class_choice.figures import ClassFigures, measure_classes
from vitreous.averages.class_choice.settings import ClassChoice
from vitreous.averages.class_choice.task import JudgedClasses, judge_classes

__all__ = [
    "REASONS",
    "ClassChoice",
    "ClassFigures",
    "ClassVerdicts",
    "JudgedClasses",
    "Typical",
    "judge_classes",
    "measure_classes",
    "outliers",
    "verdicts",
]
