"""Which references an image may show: local searches, branch and bound, orientation priors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Candidates"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Of m images among n_references: image i may show ``reference[start[i] : start[i + 1]]``.

    start: (m + 1,) int64; reference: int64. Raises ValueError for an image without a candidate and for a reference
    that is not there.
    """

    start: np.ndarray
    reference: np.ndarray
    n_references: int

    def __post_init__(self) -> None:
        count = np.diff(self.start)
        if len(count) == 0 or self.start[0] != 0 or self.start[-1] != len(self.reference) or (count < 0).any():
            raise ValueError(f"start: expected to rise from 0 to {len(self.reference)}, the number of candidates")
        if (count == 0).any():
            raise ValueError(
                f"candidates: image {int(np.flatnonzero(count == 0)[0])} (from 0) has none; leave it out of the search "
                "or allow it all references"
            )
        wrong = np.flatnonzero((self.reference < 0) | (self.reference >= self.n_references))
        if len(wrong):
            raise ValueError(
                f"candidates: expected references from 0 to {self.n_references - 1}, found {self.reference[wrong[0]]}"
            )

    def __len__(self) -> int:
        return len(self.start) - 1

    @classmethod
    def from_mask(cls, mask: np.ndarray) -> "Candidates":
        """From (m, K) bool."""
        start = np.concatenate([[0], np.cumsum(mask.sum(1))])
        return cls(start=start, reference=np.nonzero(mask)[1], n_references=mask.shape[1])

    @classmethod
    def from_lists(cls, lists: Sequence[np.ndarray], n_references: int) -> "Candidates":
        """From a list of references for every image."""
        start = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int64)
        return cls(start=start, reference=np.concatenate([*lists, []]).astype(np.int64), n_references=n_references)

    def mask(self, images: np.ndarray) -> np.ndarray:
        """(n, K) bool of some of the images (n,)."""
        out = np.zeros((len(images), self.n_references), bool)
        for row, i in zip(out, images, strict=True):
            row[self.reference[self.start[i] : self.start[i + 1]]] = True
        return out
