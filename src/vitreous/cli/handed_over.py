"""``initial --method em`` and ``sgd``: models from particles, which are the job ``abinitio``.

A model from class averages and one from particles answer the same question, and the second has methods of its own. They
are found under either name; there is one job for them, one folder and one report.
"""

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["FROM_PARTICLES", "hand_over"]

FROM_PARTICLES = ("em", "sgd")
_OPTION = "--method"


def hand_over(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line as the job that it is for has it, and what is said about that."""
    words = list(words)
    if words[:1] != ["initial"]:
        return words, []
    chosen = [after for word, after in pairwise(words) if word == _OPTION]
    chosen += [word.partition("=")[2] for word in words if word.startswith(f"{_OPTION}=")]
    if not chosen or chosen[-1] not in FROM_PARTICLES:
        return words, []
    note = f"initial --method {chosen[-1]} takes particles, not class averages: the job is `vitreous abinitio`"
    return ["abinitio", *words[1:]], [note]
