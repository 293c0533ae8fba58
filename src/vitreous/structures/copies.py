"""Words for a point group that is imposed on a map whose particles do not have it."""

from vitreous.matching import RingBasis

__all__ = ["coarsest_detail", "wrong_group"]

DETAIL = 3.0  # parts of the diameter: what is coarser is much the same in all directions
AGREES = 0.5  # of the power that halves have in common, the copies have: less is another object


def coarsest_detail(basis: RingBasis, diameter_px: float) -> int:
    """The first ring that shows a third of the diameter, both in working pixels."""
    return max(1, min(basis.rings, round(DETAIL * basis.window_px / diameter_px)))


def wrong_group(name: str, agreement: float) -> list[str]:
    """What to say of a group whose copies agree so far (:func:`vitreous.volumes.copies_agreement`); nothing if well."""
    if agreement >= AGREES:
        return []
    return [
        f"Not the symmetry {name}: turned by one of its rotations, half of the particles has {max(agreement, 0):.0%} "
        "of the detail in common with the other half that it has unturned. The map looks symmetric because it was made "
        "so: the group is another one, or its axes lie elsewhere."
    ]
