"""Particles to try things on, without files: a made-up complex in random views."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vitreous.particles import ParticleSet, from_arrays
from vitreous.require import nearest
from vitreous.simulate.particles import simulate_batches
from vitreous.simulate.settings import SimulateSettings
from vitreous.simulate.sources import load_volumes

__all__ = ["EXAMPLES", "example"]

EXAMPLES = {"ribosome": ("ribosome-like", 5.0), "channel": ("channel", 3.5), "small": ("small", 2.5)}  # A per pixel
TRUTH = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "vtrTrueVolume")


def example(
    name: str = "ribosome", n: int = 1000, snr: float = 0.1, *, box_px: int = 64, seed: int = 0, truth: bool = False
) -> ParticleSet:
    """n simulated particles of a made-up complex in random views, with CTF, in memory.

    name: "ribosome" (250 A across, the box is 320 A), "channel" (170 A, 224 A) or "small" (100 A, 160 A). snr: variance
    of the clean images over that of the noise. box_px: side of the images; the field stays as it is. truth: with the
    columns of the true poses, which methods that look at poses would start from. A thousand take a second or two. For
    more choices: :class:`SimulateSettings` and :func:`simulate_batches`.

    Raises ValueError for another name, and for numbers that make no sense.
    """
    if name not in EXAMPLES:
        raise ValueError(f"there is no example {name!r}{nearest(name, EXAMPLES)}; there are {', '.join(EXAMPLES)}")
    source, pixel = EXAMPLES[name]
    settings = SimulateSettings(
        source=(source,), particles=n, snr=snr, box_px=box_px, pixel_size_A=pixel * 64 / box_px, seed=seed
    )
    batches = list(simulate_batches(load_volumes(settings), settings))
    columns = {key: np.concatenate([known[key] for _, known in batches]) for key in batches[0][1]}
    given = {key: columns[key] for key in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift")}
    optics = {"cs_mm": settings.cs_mm, "voltage_kV": settings.voltage_kV}
    made = from_arrays(
        np.concatenate([images for images, _ in batches]),
        settings.pixel_size_A,
        {**given, **optics, "amplitude_contrast": settings.amplitude_contrast},
    )
    kept = {key: columns[key] for key in ("rlnMicrographName", *(TRUTH if truth else ()))}
    return replace(made.with_columns(**kept), path=Path(f"example-{name}"))
