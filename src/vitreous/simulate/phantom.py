"""Made-up protein complexes: asymmetric, chiral, textured like chains, the same on every machine.

A phantom is a handful of ellipsoidal domains of different size and density. Each is filled by confined random
walks of pseudo-residues, which look like folded chains at 8-20 Angstrom; a tunnel or cleft is then carved out.
"""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.simulate.atoms import gaussian_density

__all__ = ["PHANTOMS", "phantom", "phantom_diameter_A"]

_STEP_A = 5.0  # between pseudo-residues along a chain
_SIGMA_A = 3.0
_CHAIN_LENGTH = 60
_VOLUME_PER_RESIDUE_A3 = 200.0


@dataclass(frozen=True, kw_only=True)
class _Domain:
    centre_A: tuple[float, float, float]
    semi_axes_A: tuple[float, float, float]
    turn_deg: float  # about z, of the ellipsoid
    weight: float


@dataclass(frozen=True, kw_only=True)
class _Tunnel:
    """Everything within ``radius_A`` of the segment from ``start_A`` to ``end_A`` is empty."""

    start_A: tuple[float, float, float]
    end_A: tuple[float, float, float]
    radius_A: float


def _domain(
    centre: tuple[float, float, float], axes: tuple[float, float, float], turn: float, weight: float
) -> _Domain:
    return _Domain(centre_A=centre, semi_axes_A=axes, turn_deg=turn, weight=weight)


_PHANTOMS: dict[str, tuple[tuple[_Domain, ...], tuple[_Tunnel, ...]]] = {
    "ribosome-like": (
        (
            _domain((0, -28, 0), (92, 62, 74), 8, 1.15),  # large body
            _domain((36, -34, 22), (36, 22, 30), 40, 1.4),  # dense core, off the middle
            _domain((10, 62, 6), (84, 30, 46), -12, 1.0),  # small body, across a cleft
            _domain((-72, 68, -20), (24, 26, 24), 25, 1.4),  # head of the small body
            _domain((-98, -34, 26), (30, 13, 14), -35, 1.5),  # stalk on the left
            _domain((104, -8, -30), (18, 14, 30), 20, 1.5),  # protuberance on the right
            _domain((22, -86, 44), (22, 24, 18), 0, 2.0),  # knob below
            _domain((-14, 30, 52), (12, 14, 16), 0, 2.2),  # factor in the cleft, on one side only
        ),
        (_Tunnel(start_A=(-8, 26, -4), end_A=(34, -110, -30), radius_A=11.0),),
    ),
    "channel": (
        (
            _domain((34, 0, 0), (26, 22, 52), 0, 1.0),
            _domain((0, 36, 4), (22, 26, 46), 0, 1.05),
            _domain((-35, -2, -6), (26, 20, 44), 10, 1.0),
            _domain((2, -34, 8), (20, 24, 54), 0, 0.95),
            _domain((26, 24, 62), (24, 16, 18), 35, 1.2),
            _domain((-30, -30, -56), (18, 24, 16), -20, 1.1),
            _domain((54, -24, 22), (16, 12, 20), 0, 1.3),
        ),
        (_Tunnel(start_A=(0, 0, -90), end_A=(4, 2, 90), radius_A=13.0),),
    ),
    "small": (
        (
            _domain((0, -16, 0), (32, 21, 24), 12, 1.0),
            _domain((8, 22, 5), (24, 15, 18), -18, 1.05),
            _domain((-33, 16, -9), (13, 15, 12), 30, 1.1),
            _domain((35, -6, 17), (11, 9, 17), 0, 1.2),
            _domain((-16, -36, -20), (12, 10, 14), 0, 0.9),
        ),
        (_Tunnel(start_A=(-40, 6, 6), end_A=(45, 4, -4), radius_A=6.0),),
    ),
}

PHANTOMS = tuple(_PHANTOMS)


def phantom(n: int, pixel_size_A: float, kind: str = "ribosome-like", *, seed: int = 0) -> torch.Tensor:
    """Density of a made-up complex, centre of mass at the centre of the box, maximum 1: float32 (n, n, n).

    ``kind``: "ribosome-like" (about 250 A), "channel" (about 170 A, a pore along z), "small" (about 100 A).
    ``seed`` changes the chains, not the domains. The particle is the same for every n and pixel size, smoothed to
    what the pixels can carry. Raises ValueError for an unknown kind or a box too small for the particle.
    """
    positions, weights = _residues(kind, seed)
    sigma = float(np.hypot(_SIGMA_A, 0.6 * pixel_size_A))
    diameter = 2.0 * float(np.linalg.norm(positions, axis=1).max())
    if n * pixel_size_A < diameter:
        raise ValueError(
            f'A box of {n} pixels of {pixel_size_A:g} A is smaller than the phantom "{kind}" ({diameter:.0f} A): '
            f"use at least {int(np.ceil(1.25 * diameter / pixel_size_A))} pixels."
        )
    volume = gaussian_density(positions, weights, sigma, n, pixel_size_A)
    return volume / volume.max()


def phantom_diameter_A(kind: str = "ribosome-like", *, seed: int = 0) -> float:
    """Diameter in Angstrom of the smallest sphere about the centre of mass that holds every pseudo-residue."""
    return 2.0 * float(np.linalg.norm(_residues(kind, seed)[0], axis=1).max())


def _residues(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (m, 3) about the centre of mass and weights (m,)."""
    if kind not in _PHANTOMS:
        raise ValueError(f'there is no phantom "{kind}"; there are: {", ".join(PHANTOMS)}')
    domains, tunnels = _PHANTOMS[kind]
    chains = [_chains(d, np.random.default_rng([seed, i])) for i, d in enumerate(domains)]
    positions = np.concatenate(chains)
    weights = np.concatenate([np.full(len(c), d.weight) for c, d in zip(chains, domains, strict=True)])
    for tunnel in tunnels:
        keep = _distance_to_segment(positions, np.array(tunnel.start_A), np.array(tunnel.end_A)) > tunnel.radius_A
        positions, weights = positions[keep], weights[keep]
    return positions - np.average(positions, axis=0, weights=weights), weights


def _chains(domain: _Domain, rng: np.random.Generator) -> np.ndarray:
    """Confined persistent random walks that fill an ellipsoid: (m, 3)."""
    axes = np.array(domain.semi_axes_A)
    residues = round(4.0 / 3.0 * np.pi * axes.prod() / _VOLUME_PER_RESIDUE_A3)
    count = -(-residues // _CHAIN_LENGTH)
    heading = rng.normal(size=(count, 3))
    radius = rng.uniform(size=(count, 1)) ** (1 / 3)
    here = axes * radius * heading / np.linalg.norm(heading, axis=1, keepdims=True)
    walk = np.empty((_CHAIN_LENGTH, count, 3))
    for step in range(_CHAIN_LENGTH):
        walk[step] = here
        heading = heading / np.linalg.norm(heading, axis=1, keepdims=True) + 0.45 * rng.normal(size=(count, 3))
        ahead = here + _STEP_A * heading / np.linalg.norm(heading, axis=1, keepdims=True)
        leaving = (((ahead / axes) ** 2).sum(axis=1) > 1.0)[:, None]
        heading = np.where(leaving, -here / axes**2 * axes.min() + 0.3 * heading, heading)
        here = here + _STEP_A * heading / np.linalg.norm(heading, axis=1, keepdims=True)
    points = walk.transpose(1, 0, 2).reshape(-1, 3)[:residues]
    a = np.deg2rad(domain.turn_deg)
    turn = np.array([[np.cos(a), -np.sin(a), 0.0], [np.sin(a), np.cos(a), 0.0], [0.0, 0.0, 1.0]])
    return points @ turn.T + np.array(domain.centre_A)


def _distance_to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = end - start
    t = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
    return np.linalg.norm(points - start - t[:, None] * along, axis=1)
