"""What an input was like when a job began: a few bytes that change with it."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

__all__ = ["content_of", "digest_of"]

WHOLE_BYTES = 256 << 20  # a file up to this size is read whole
BLOCKS, BLOCK_BYTES = 256, 1 << 16  # of a larger one, evenly spread


def digest_of(path: Path) -> str:
    """Of the bytes of a file; of a large one its size and 16 MB of it. "" for a folder, and what cannot be read."""
    try:
        if not path.is_file():
            return ""
        size = path.stat().st_size
        found = blake2b(str(size).encode(), digest_size=16)
        with path.open("rb") as file:
            if size <= WHOLE_BYTES:
                while block := file.read(1 << 20):
                    found.update(block)
            else:
                for i in range(BLOCKS):
                    file.seek((size - BLOCK_BYTES) * i // (BLOCKS - 1))
                    found.update(file.read(BLOCK_BYTES))
    except OSError:
        return ""
    return found.hexdigest()


def content_of(inputs: Sequence[Path], pixels: str = "") -> dict[str, str]:
    """Of all inputs, by path; ``pixels``: of the images that they name."""
    found = {str(path): digest for path in inputs if (digest := digest_of(Path(path)))}
    return found | ({"images": pixels} if pixels else {})
