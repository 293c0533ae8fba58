"""Particle images with known truth, batch by batch.

Image model of a particle: projections of a volume at their shifts, times the CTF, plus noise, normalised to
background mean 0 and sd 1. Every random number belongs to its particle, so results do not depend on the batch size
and any number of particles streams through the same memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.fourier import central_slices, centred_irfft2, prepare_volume, shift_phase
from vitreous.optics import colour_noise, ctf_2d, normalise_images
from vitreous.randomness import normal_images, uniforms
from vitreous.rotations import euler_to_matrix
from vitreous.simulate.draws import Micrographs, draw_classes, draw_junk, draw_micrographs, draw_shifts_px, draw_views
from vitreous.simulate.settings import SimulateSettings

__all__ = ["clean_images", "coloured_noise_power", "signal_variance", "simulate_batches"]

_VARIANCE_SAMPLE = 512  # particles that the signal variance is measured on
_VARIANCE_IDS = 2**48  # beyond the ids of any set
_COPIES = 6  # most projections in one image
_Batch = tuple[np.ndarray, dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class _Placements:
    """Projections to add up: one entry per projection, for the image in ``row``."""

    row: np.ndarray  # (m,) int
    angles_deg: np.ndarray  # (m, 3)
    shift_px: np.ndarray  # (m, 2)


def simulate_batches(
    volumes: torch.Tensor, settings: SimulateSettings, *, batch: int = 512, device: torch.device | str = "cpu"
) -> Iterator[_Batch]:
    """Yield (images, truth) for ``settings.particles`` particles of volumes (sources, n, n, n), in order.

    images: float32 (b, n, n), white particles, background mean 0 and sd 1. truth: columns of length b:
    rlnAngleRot/Tilt/Psi, rlnOriginX/YAngst, rlnDefocusU/V/Angle, rlnPhaseShift, rlnOpticsGroup, rlnMicrographName,
    vtrTrueVolume (from 1; 0 where the image is empty) and vtrJunk ("none" or the kind).

    Junk: "empty" is noise; "off-centre" particles sit a quarter to 45 % of the box away; "neighbours" have one or
    two more particles at about half a box; "aggregates" are four to six particles on one heap. What leaves the box
    on one side comes in on the other.
    """
    _check_volumes(volumes, settings)
    prepared = [prepare_volume(v.to(device)) for v in volumes]
    noise_sd = (signal_variance(prepared, settings) / settings.snr) ** 0.5
    radius = settings.background_radius_px or settings.box_px * 15 / 32
    power = coloured_noise_power(settings.box_px, settings.pixel_size_A).to(device)
    for start in range(0, settings.particles, batch):
        ids = np.arange(start, min(start + batch, settings.particles))
        clean, truth = clean_images(prepared, settings, ids)
        noise = torch.from_numpy(normal_images(settings.seed, "noise", ids=ids, box_px=settings.box_px)).to(device)
        if settings.noise == "coloured":
            noise = colour_noise(noise, power)
        images, _ = normalise_images(clean + noise_sd * noise, radius)
        yield images.cpu().numpy(), truth


def clean_images(
    prepared: list[torch.Tensor], settings: SimulateSettings, ids: np.ndarray
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Noise-free images (b, n, n) with CTF, and truth columns, of the particles ``ids``.

    ``prepared``: the volumes through :func:`vitreous.fourier.prepare_volume`.
    """
    n = settings.box_px
    device = prepared[0].device
    micrographs = draw_micrographs(settings, ids)
    classes, junk = draw_classes(settings, ids), draw_junk(settings, ids)
    placed = _placements(settings, ids, junk)
    fts = torch.zeros(len(ids), n, n // 2 + 1, dtype=prepared[0].dtype, device=device)
    for number, volume_ft in enumerate(prepared):
        mine = np.flatnonzero((classes[placed.row] == number) & (junk[placed.row] != "empty"))
        if len(mine) == 0:
            continue
        matrices = euler_to_matrix(torch.from_numpy(placed.angles_deg[mine])).to(device, torch.float32)
        shift = torch.from_numpy(placed.shift_px[mine]).to(device, torch.float32)
        slices = central_slices(volume_ft, matrices, n) * shift_phase(shift, n)
        fts.index_add_(0, torch.from_numpy(placed.row[mine]).to(device), slices)

    _, first, inverse = np.unique(micrographs.index, return_index=True, return_inverse=True)
    ctf = ctf_2d(micrographs.ctf.take(first), n, settings.pixel_size_A, device=device)
    images = centred_irfft2(fts * ctf[torch.from_numpy(inverse).to(device)], n)

    truth = (
        _optics_columns(micrographs)
        | {
            "rlnAngleRot": placed.angles_deg[: len(ids), 0],
            "rlnAngleTilt": placed.angles_deg[: len(ids), 1],
            "rlnAnglePsi": placed.angles_deg[: len(ids), 2],
            "rlnOriginXAngst": -settings.pixel_size_A * placed.shift_px[: len(ids), 0],  # the shift that centres it
            "rlnOriginYAngst": -settings.pixel_size_A * placed.shift_px[: len(ids), 1],
            "vtrTrueVolume": np.where(junk == "empty", 0, classes + 1),
            "vtrJunk": junk,
        }
    )
    return images, truth


def signal_variance(prepared: list[torch.Tensor], settings: SimulateSettings) -> float:
    """Mean over particles of the variance over all pixels of the clean image (junk not counted).

    Measured on 512 particles that are not in the set (ids of their own), so that the set can be streamed and the
    noise level does not depend on its size. Raises ValueError for volumes without contrast.
    """
    without_junk = replace(settings, junk_fraction=0.0)
    parts = np.split(np.arange(_VARIANCE_SAMPLE) + _VARIANCE_IDS, 4)
    variances = [clean_images(prepared, without_junk, ids)[0].var(dim=(-2, -1), correction=0) for ids in parts]
    variance = float(torch.cat(variances).mean())
    if not variance > 0:
        raise ValueError("the volumes have no contrast: their projections are constant, so no noise level follows")
    return variance


def coloured_noise_power(n: int, pixel_size_A: float) -> torch.Tensor:
    """Noise power by ring (n // 2 + 1,), high at low frequency like ice and carbon, about 1 on average.

    Falls from 6 to 0.6 (before scaling) with a half-width of 1 / 40 A.
    """
    k = torch.arange(n // 2 + 1) / (n * pixel_size_A)
    shape = 0.6 + 5.4 / (1.0 + (k * 40.0) ** 2)
    area = torch.arange(n // 2 + 1, dtype=torch.float32).clamp(min=0.25)
    area[-1] += n * n / (2.0 * torch.pi) - area.sum()  # the corners of the plane belong to the last ring
    return shape * area.sum() / (shape * area).sum()


def _placements(settings: SimulateSettings, ids: np.ndarray, junk: np.ndarray) -> _Placements:
    """The particle itself first (rows 0..b-1), then the extra ones of junk images."""
    shifts = draw_shifts_px(settings, "shift", ids)
    u = uniforms(settings.seed, "junk placement", ids=ids, count=2 + 2 * _COPIES)
    far = settings.box_px * (0.25 + 0.2 * u[:, 0])
    away = 2.0 * np.pi * u[:, 1]
    off = (junk == "off-centre")[:, None]
    shifts = np.where(off, far[:, None] * np.stack([np.cos(away), np.sin(away)], axis=1), shifts)

    rows, angles, moves = [np.arange(len(ids))], [draw_views(settings, "view", ids)], [shifts]
    kinds = [junk == "neighbours", junk == "aggregates"]
    extra = np.select(kinds, [1 + (u[:, 0] < 0.5), 3 + (3 * u[:, 0]).astype(int)], default=0)
    for copy in range(1, _COPIES):
        who = np.flatnonzero(extra >= copy)
        angle = 2.0 * np.pi * u[who, 2 * copy]
        near, spread = np.where(junk[who] == "neighbours", 0.45, 0.05), np.where(junk[who] == "neighbours", 0.1, 0.2)
        radius = settings.box_px * (near + spread * u[who, 2 * copy + 1])
        rows.append(who)
        angles.append(draw_views(settings, f"view of copy {copy}", ids[who]))
        moves.append(radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return _Placements(row=np.concatenate(rows), angles_deg=np.concatenate(angles), shift_px=np.concatenate(moves))


def _optics_columns(micrographs: Micrographs) -> dict[str, np.ndarray]:
    ctf = micrographs.ctf
    return {
        "rlnMicrographName": np.array([f"mic_{i + 1:05d}.mrc" for i in micrographs.index]),
        "rlnDefocusU": ctf.defocus_u_A,
        "rlnDefocusV": ctf.defocus_v_A,
        "rlnDefocusAngle": ctf.defocus_angle_deg,
        "rlnPhaseShift": ctf.phase_shift_deg,
        "rlnOpticsGroup": np.ones(len(ctf), dtype=np.int64),
    }


def _check_volumes(volumes: torch.Tensor, settings: SimulateSettings) -> None:
    expected = (len(settings.source), *[settings.box_px] * 3)
    if tuple(volumes.shape) != expected:
        raise ValueError(f"volumes: expected {expected} for the settings, found {tuple(volumes.shape)}")
