"""Point groups of rotations: Cn, Dn, T, O, I, with the axes where RELION has them."""

import math
import re

import torch

from vitreous.rotations.sampling import quaternions_to_matrices

__all__ = ["symmetry_matrices"]

_TOLERANCE = 1e-6  # elements of these groups differ by far more
_LARGEST_CYCLE = 200

# Directions of the fivefold and threefold axes of an icosahedron with twofold axes along x, y and z.
_FIVE_LONG, _FIVE_SHORT = math.sqrt((5 + math.sqrt(5)) / 10), math.sqrt((5 - math.sqrt(5)) / 10)
_THREE_LONG, _THREE_SHORT = math.sqrt((3 + math.sqrt(5)) / 6), math.sqrt((3 - math.sqrt(5)) / 6)

# (order, x, y, z) of the axes that generate a group.
_GENERATORS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "T": ((3, 0, 0, 1), (2, 0, math.sqrt(2 / 3), math.sqrt(1 / 3))),
    "O": ((4, 0, 0, 1), (3, 1, 1, 1)),
    "I1": ((2, 1, 0, 0), (5, _FIVE_LONG, 0, -_FIVE_SHORT), (3, _THREE_LONG, _THREE_SHORT, 0)),
    "I2": ((2, 0, 0, 1), (5, _FIVE_SHORT, 0, _FIVE_LONG), (3, 0, _THREE_SHORT, _THREE_LONG)),
}


def symmetry_matrices(group: str) -> torch.Tensor:
    """All rotations S of a point group, the identity first: float64 (order, 3, 3); ``V(S r) = V(r)``.

    ``group`` is C1, C2, ..., D1, D2, ..., T, O or I (either case; I is I2 as in RELION, and I1 is understood). The
    n-fold axis of Cn and Dn is z, the twofold axis of Dn is x. Poses G and S G are then the same view.

    Raises ValueError for any other name.
    """
    return _closure(torch.stack([_about(*axis) for axis in _axes(group)]))


def _axes(group: str) -> tuple[tuple[float, float, float, float], ...]:
    name = group.strip().upper()
    name = "I2" if name == "I" else name
    if name in _GENERATORS:
        return _GENERATORS[name]
    found = re.fullmatch(r"([CD])(\d+)", name)
    if not found or not 1 <= int(found[2]) <= _LARGEST_CYCLE:
        raise ValueError(f"symmetry group: expected C1, C2, ..., D2, ..., T, O or I, found {group!r}")
    cycle = (float(found[2]), 0.0, 0.0, 1.0)
    return (cycle,) if found[1] == "C" else (cycle, (2.0, 1.0, 0.0, 0.0))


def _about(order: float, x: float, y: float, z: float) -> torch.Tensor:
    axis = torch.tensor([x, y, z], dtype=torch.float64)
    half = math.pi / order
    return quaternions_to_matrices(
        torch.cat([torch.tensor([math.cos(half)], dtype=torch.float64), math.sin(half) * axis / axis.norm()])
    )


def _closure(generators: torch.Tensor) -> torch.Tensor:
    elements = torch.eye(3, dtype=torch.float64)[None]
    newest = elements
    while len(newest):
        products = (newest[:, None] @ generators).reshape(-1, 3, 3)
        newest = products[:0]
        for product in products:
            known = torch.cat([elements, newest])
            if (known - product).abs().amax(dim=(1, 2)).min() > _TOLERANCE:
                newest = torch.cat([newest, product[None]])
        elements = torch.cat([elements, newest])
    return elements
