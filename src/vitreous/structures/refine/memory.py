"""What a refinement has in memory at its peak, by arithmetic, and how much of it there may be.

Four things: the program with its libraries; prepared images, which go to a file beyond a quarter of the memory; the
sums of the folds, each on a grid of ``(2 n + 3)^2 (n + 2)`` samples with n = 2 (R + 1) at R rings, there once, since a
pass overwrites them; and what is worked on: a volume that is solved for takes several grids of that size, tiles of
particles and shifted references of a search a share each. Only the number of folds changes a result.
"""

from dataclasses import dataclass

from vitreous.matching import ImagePreparation
from vitreous.volumes import PADDING

__all__ = [
    "PROGRAM_BYTES",
    "RINGS_AT_START",
    "SEARCH_SHARE",
    "Room",
    "folds_in_memory",
    "peak_bytes",
    "sums_bytes",
    "tile_bytes",
    "tiles_in_memory",
]

PROGRAM_BYTES = 600 << 20  # Python, PyTorch, compiled loops, tables of samples: 340 MB at the start, 560 at 53 rings
BYTES_PER_SAMPLE = 12  # of the sums of a fold: a complex and a real number
GRIDS_AT_WORK = 8  # grids of that size while a volume is solved for and halves are compared, as was measured
IMAGES_SHARE = 1 / 4  # of the memory, for prepared images
SEARCH_SHARE = 1 / 8  # of the memory, for shifted references of a search of all views, of all threads together
TILES_SHARE = 1 / 16  # of the memory, for tiles of particles
BYTES_PER_POINT = 60  # of a particle at a ring point, its CTF and what they are made from
FEWEST_FOLDS = 4
RINGS_AT_START = 24  # that images are prepared on, until these do not suffice


def sums_bytes(rings: int) -> int:
    """Of the sums of one fold."""
    samples = PADDING * (rings + 1)
    return BYTES_PER_SAMPLE * (2 * samples + 3) ** 2 * (samples + 2)


def peak_bytes(folds: int, rings: int, images_bytes: int, memory_bytes: int) -> int:
    """Of a pass on so many rings, with ``images_bytes`` of prepared images in memory."""
    shares = int((TILES_SHARE + SEARCH_SHARE) * memory_bytes)
    return PROGRAM_BYTES + images_bytes + shares + (folds + GRIDS_AT_WORK) * sums_bytes(rings)


def folds_in_memory(wanted: int, rings: int, images_bytes: int, memory_bytes: int) -> int:
    """As many folds as are wanted, or the largest even number of them that the memory holds; 0 for fewer than four."""
    for folds in range(wanted, FEWEST_FOLDS - 1, -2):
        if peak_bytes(folds, rings, images_bytes, memory_bytes) <= memory_bytes:
            return folds
    return 0


def tile_bytes(particles: int, points: int) -> int:
    """Of a tile of particles at so many ring points."""
    return BYTES_PER_POINT * particles * points


def tiles_in_memory(wanted: int, bytes_of_one: int, memory_bytes: int) -> int:
    """How many tiles are in memory at a time; at least one."""
    return max(1, min(wanted, int(TILES_SHARE * memory_bytes) // bytes_of_one))


@dataclass(frozen=True, kw_only=True)
class Room:
    """The images of so many particles, and the memory for them and for the folds.

    stored: whether images that the memory does not hold go to a file.
    """

    particles: int
    preparation: ImagePreparation
    memory_bytes: int
    stored: bool

    @property
    def rings(self) -> int:
        """All that the images have."""
        return self.preparation.working_basis(1 << 20).rings

    @property
    def window_A(self) -> float:
        """Field of the rings: ring r has the resolution window / r."""
        basis = self.preparation.working_basis(1)
        return basis.window_px * self.preparation.pixel_size_A * self.preparation.box_px / basis.box_px

    def prepared_bytes(self, rings: int = RINGS_AT_START) -> int:
        """Of the images on so many rings; without a number, on those that it begins with."""
        return self.particles * self.preparation.working_basis(rings).packed_size * 4

    def in_memory(self, rings: int = RINGS_AT_START) -> bool:
        """Whether images on so many rings are in memory."""
        return not self.stored or self.prepared_bytes(rings) < IMAGES_SHARE * self.memory_bytes

    def planned(self, folds: int, limit_A: float | None) -> tuple[int, int]:
        """The most rings that are ever prepared, and the number of folds, that the memory holds.

        As many folds as are wanted, or fewer; and where not even four fit at all rings (or at those that a resolution
        limit asks for), fewer rings. ValueError where four do not fit at those that it begins with.
        """
        wanted = self.rings if limit_A is None else max(1, min(self.rings, int(self.window_A / limit_A)))
        fewest = min(wanted, RINGS_AT_START)
        for rings in range(wanted, fewest - 1, -1):
            fitting = folds_in_memory(folds, rings, self._images_bytes(rings), self.memory_bytes)
            if fitting:
                return self.rings if rings == wanted else rings, fitting
        raise ValueError(self._too_little(fewest))

    def _too_little(self, rings: int) -> str:
        """Why the memory does not do for four folds on so many rings, and what would help."""
        needed, least = (
            peak_bytes(FEWEST_FOLDS, some, self._images_bytes(some), self.memory_bytes) for some in (rings, 1)
        )
        return (
            f"memory: four folds at {self.window_A / rings:.1f} A need {needed / 2**30:.1f} GB, and "
            f"{self.memory_bytes / 2**30:.1f} are allowed; allow more"
            + (", or give a resolution limit" if least <= self.memory_bytes else "")
        )

    def _images_bytes(self, rings: int) -> int:
        """Of the images that are in memory."""
        return self.prepared_bytes(rings) if self.in_memory(rings) else 0
