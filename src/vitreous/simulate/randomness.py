"""Random numbers that belong to a particle: seeded by (seed, particle id, purpose), never by the order of calls."""

import zlib

import numpy as np

__all__ = ["normal_images", "uniforms"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seed: int, purpose: str, ids: np.ndarray, count: int) -> np.ndarray:
    """``count`` uniform numbers in (0, 1) for every id: float64 (len(ids), count).

    A counter-based generator (SplitMix64, Steele et al. 2014): the numbers of an id are a pure function of
    (seed, purpose, id, column).
    """
    keys = _keys(seed, purpose, ids)
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        bits = _mix(keys[:, None] + steps)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal_images(seed: int, purpose: str, ids: np.ndarray, n: int) -> np.ndarray:
    """White noise of variance 1 for every id: float32 (len(ids), n, n)."""
    out = np.empty((len(ids), n, n), dtype=np.float32)
    for row, key in zip(out, _keys(seed, purpose, ids), strict=True):
        np.random.Generator(np.random.SFC64(int(key))).standard_normal(dtype=np.float32, out=row)
    return out


def _keys(seed: int, purpose: str, ids: np.ndarray) -> np.ndarray:
    """One well-mixed 64-bit key for every id."""
    with np.errstate(over="ignore"):
        base = _mix(np.array([seed % 2**64], dtype=np.uint64) + _GOLDEN)
        base = _mix(base ^ np.uint64(zlib.crc32(purpose.encode())))
        return _mix(base + np.asarray(ids).astype(np.uint64) * _GOLDEN)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
