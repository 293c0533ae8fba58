"""A small micrograph with known particles: dark discs with a hole off their centre, in noise on a slope."""

import numpy as np

__all__ = ["DIAMETER_A", "PIXEL_A", "micrograph", "shape", "spread"]

PIXEL_A, DIAMETER_A = 5.0, 100.0  # 20 pixels


def shape(size: int = 32, psi_rad: float = 0.0) -> np.ndarray:
    """A disc with a hole off its centre, white, centre at index size // 2, turned by psi (conventions)."""
    axis = np.arange(size) - size // 2
    x, y = np.meshgrid(axis, axis)
    turned = np.cos(psi_rad) * x - np.sin(psi_rad) * y, np.sin(psi_rad) * x + np.cos(psi_rad) * y
    disc = 1.0 / (1.0 + np.exp(2.0 * (np.hypot(*turned) - 9.0)))
    hole = np.exp(-((turned[0] - 4.0) ** 2 + turned[1] ** 2) / 12.0)
    return disc * (1.0 - 0.9 * hole)


def spread(n: int, size: tuple[int, int], seed: int, apart: float = 34.0) -> np.ndarray:
    """(at most n, 2) whole places x, y that keep their distance from each other and from the edge."""
    rng = np.random.default_rng(seed)
    places: list[np.ndarray] = []
    for _ in range(200 * n):
        place = rng.integers(20, [size[1] - 20, size[0] - 20])
        if len(places) < n and all(np.hypot(*(place - other)) > apart for other in places):
            places.append(place)
    return np.array(places).reshape(-1, 2)


def micrograph(
    n: int = 14, *, size: tuple[int, int] = (320, 384), contrast: float = 2.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(picture (rows, columns), places x, y of the particles); noise of standard deviation 1 on a ground of 100."""
    rng = np.random.default_rng(seed)
    places = spread(n, size, seed)
    signal = np.zeros(size)
    for x, y in places:
        signal[y - 16 : y + 16, x - 16 : x + 16] += shape(32, rng.uniform(0, 2 * np.pi))
    dose = 1.0 + 0.1 * np.linspace(-1, 1, size[1])
    picture = dose * (100.0 - contrast * signal) + np.sqrt(dose) * rng.normal(size=size)
    return picture.astype(np.float32), places
