"""Random numbers from (seed, purpose, id), never from the order of calls.

A particle draws the same numbers in whatever batch, process or resumed run it is met.

>>> a = generator(1, "initial classes", index=7).random()
>>> b = generator(1, "initial classes", index=7).random()
>>> a == b, a == generator(1, "initial classes", index=8).random()
(True, False)
"""

import hashlib

import numpy as np
import torch

__all__ = ["generator", "normal_images", "torch_generator", "uniforms"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # odd, 2^64 / golden ratio: consecutive ids fall far apart


def generator(seed: int, *purpose: str | int, index: int | None = None) -> np.random.Generator:
    """A NumPy generator for this seed, purpose (any words and numbers) and optional item index."""
    return np.random.default_rng(_key(seed, purpose, index, size=32))


def torch_generator(
    seed: int, *purpose: str | int, index: int | None = None, device: str | torch.device = "cpu"
) -> torch.Generator:
    """A PyTorch generator on ``device``; different devices give different numbers for the same key."""
    rng = torch.Generator(device=device)
    return rng.manual_seed(_key(seed, purpose, index, size=7))


def uniforms(seed: int, *purpose: str | int, ids: np.ndarray, count: int = 1) -> np.ndarray:
    """Uniform numbers in [0, 1) for many items at once: float64 (len(ids), count).

    Row i depends on (seed, purpose, ids[i]) only. The generator is SplitMix64 (Steele, Lea, Flood 2014) used as a
    counter-based hash.
    """
    key = np.uint64(_key(seed, purpose, None, size=8))
    with np.errstate(over="ignore"):
        row = _mix(key + np.asarray(ids).astype(np.uint64) * GOLDEN)
        cell = _mix(row[:, None] + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)
    return (cell >> np.uint64(11)) * 2.0**-53


def normal_images(seed: int, *purpose: str | int, ids: np.ndarray, box_px: int) -> np.ndarray:
    """White noise of variance 1, one image for every id: float32 (len(ids), box_px, box_px)."""
    key = np.uint64(_key(seed, purpose, None, size=8))
    with np.errstate(over="ignore"):
        keys = _mix(key + np.asarray(ids).astype(np.uint64) * GOLDEN)
    out = np.empty((len(ids), box_px, box_px), np.float32)
    for row, own in zip(out, keys, strict=True):
        np.random.Generator(np.random.SFC64(int(own))).standard_normal(dtype=np.float32, out=row)
    return out


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _key(seed: int, purpose: tuple[str | int, ...], index: int | None, *, size: int) -> int:
    text = repr((int(seed), purpose, None if index is None else int(index)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "little")
