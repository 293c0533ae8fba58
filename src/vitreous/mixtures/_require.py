"""What settings and priors have to be, with one wording for all of them."""

import math
from collections.abc import Iterable, Mapping

__all__ = ["require_at_least", "require_components", "require_positive"]

_FEWEST_COMPONENTS = 2


def require_at_least(settings: object, least: Mapping[str, int]) -> None:
    """ValueError for the first field that is below what ``least`` (field -> number) says."""
    for name, low in least.items():
        if not getattr(settings, name) >= low:
            raise ValueError(f"{name}: expected at least {low}, found {getattr(settings, name)}")


def require_positive(settings: object, names: Iterable[str]) -> None:
    """ValueError for the first of these fields that is not a positive, finite number."""
    for name in names:
        value = getattr(settings, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a positive number, found {value}")


def require_components(fine_components: int | str) -> None:
    """ValueError for what is neither a number of components nor the word that has it chosen from the data."""
    if fine_components == "auto":
        return
    if isinstance(fine_components, str) or not fine_components >= _FEWEST_COMPONENTS:
        raise ValueError(f'fine_components: expected at least {_FEWEST_COMPONENTS}, or "auto", found {fine_components}')
