"""What is said of an initial model that has been compared with a map of the same particle."""

import numpy as np

from vitreous.quality import MapAgreement

__all__ = ["agreement_lines"]


def agreement_lines(found: MapAgreement, name: str = "the true volume") -> list[str]:
    """For reading; ``name`` is what the model is compared with."""
    better, other = ("initial_other_hand.mrc", "initial.mrc")[:: 1 if found.other_hand else -1]
    return [
        f"{better} agrees with {name} to {_resolution(found.resolution_A)} (FSC 0.5), correlation "
        f"{found.correlation:.3f}",
        f"{other}, the mirror image, to {_resolution(found.mirrored_resolution_A)}, correlation "
        f"{found.mirrored_correlation:.3f}; averages do not tell which of the two is right",
    ]


def _resolution(value_A: float) -> str:
    return f"{value_A:.1f} Å" if np.isfinite(value_A) else "no resolution at all"
