"""How the inner loops of this room are compiled."""

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, without the interpreter lock, and keep the machine code on disk where that is possible.

    Sums may be reordered and products fused; NaN and infinity keep their meaning. Numba refuses to keep code when
    neither the folder of the package nor the user's own can be written; then it compiles again in every process.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz", "arcp"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
