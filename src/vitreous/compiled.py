"""How inner loops are compiled."""

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, without the interpreter lock, and keep the machine code on disk where possible.

    Sums may be reordered and products fused; NaN and infinity keep their meaning. Numba refuses to keep code when
    neither the folder of the package nor the user's own can be written; then it compiles again in every process.
    """
    try:
        return _compiler(keep=True)(function)
    except RuntimeError:
        return _compiler(keep=False)(function)


def _compiler(*, keep: bool) -> Callable[..., Any]:
    return numba.njit(cache=keep, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
