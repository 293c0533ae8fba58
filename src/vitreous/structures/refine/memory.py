"""What a refinement has in memory at its peak, by arithmetic, and how much of it there may be.

Four things: the program with its libraries; prepared images, which go to a file beyond a quarter of the memory; the
sums of the folds, each on a grid of ``(2 n + 3)^2 (n + 2)`` samples with n = 2 (R + 1) at R rings, there once, since a
pass overwrites them; and what is worked on: a volume that is solved for takes several grids of that size, tiles of
particles and shifted references of a search a share each. Only the number of folds changes a result.
"""

from vitreous.volumes import PADDING

__all__ = [
    "FEWEST_FOLDS",
    "IMAGES_SHARE",
    "PROGRAM_BYTES",
    "SEARCH_SHARE",
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
