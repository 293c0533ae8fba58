"""Two images: all rotations and all shifts of one against the other, with its mirror image, then below the grid.

Rotation and shift depend on each other, so all shifts within reach are tried and, for each, all rotations by one
transform along the rings (SCIENCE.md section 2). Over white noise the least squares are the maximum of the
cross-correlation; for noise of power sigma^2(k) every ring is divided by it. Many pairs are aligned at once.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from vitreous.matching import (
    Alignments,
    ImagePreparation,
    ImageTile,
    PreparedParticles,
    SearchPlan,
    best,
    find_rows,
    prepare_particles,
    refine_poses,
    reflected_rings,
    to_angles,
)

__all__ = ["PairAlignment", "align_images", "align_pairs"]

MEMORY_BYTES = 1 << 30  # for shifted references; no result depends on it
TILE = 64  # pairs at a time: the products of a tile are for all of its images and references


@dataclass(frozen=True, kw_only=True, eq=False)
class PairAlignment:
    """n images aligned to one reference each.

    alignments: image i to reference i; correlation: (n,) with it over all rings, weighted as they were compared.
    """

    alignments: Alignments
    correlation: np.ndarray


def align_images(
    images: np.ndarray,
    references: np.ndarray,
    *,
    pixel_size_A: float = 1.0,
    particle_diameter_A: float | None = None,
    offset_range_A: float,
    mirror: bool = False,
    noise_power: np.ndarray | None = None,
    resolution_limit_A: float | None = None,
) -> PairAlignment:
    """Align images (n, L, L) to references (n, L, L), or all to one reference (L, L); images have no CTF.

    The result follows :mod:`vitreous.conventions`: image i is its reference at ``R(psi) (r + o)``.

    noise_power: (L // 2 + 1,) power of the noise of the images by Fourier shell; None: white, which is plain
    correlation. mirror: try the mirror image of the reference, too. Raises ValueError for shapes that do not fit,
    a diameter that leaves no background and a noise power that is not positive.
    """
    images, references = np.asarray(images, np.float32), np.asarray(references, np.float32)
    if images.ndim != 3 or images.shape[1] != images.shape[2] or len(images) == 0:
        raise ValueError(f"images: expected (n, L, L) with at least one image, found {images.shape}")
    if references.shape not in (images.shape, images.shape[1:]):
        raise ValueError(f"references: expected {images.shape} or {images.shape[1:]}, found {references.shape}")
    references = np.broadcast_to(references, images.shape)
    box, n = images.shape[1], len(images)
    preparation = ImagePreparation.for_box(box, pixel_size_A, particle_diameter_A, normalise=False)
    rings = preparation.working_basis(1 << 20).rings
    if resolution_limit_A is not None:
        full = preparation.working_basis(rings)
        rings = max(1, min(rings, int(full.window_px * box / full.box_px * pixel_size_A / resolution_limit_A)))
    both = np.concatenate([images, references])
    data = prepare_particles(lambda index: both[index], 2 * n, preparation, rings=rings, ctf=None)
    noise = _noise(noise_power, data)
    plan = data.search(data.basis.rings, offset_range_A)
    ones = torch.ones(1, data.basis.rings)
    parts = []
    for start in range(0, n, TILE):
        index = np.arange(start, min(start + TILE, n))
        tile = data.tile(index, data.basis.rings, noise)
        templates = data.tile(index + n, data.basis.rings, ones).data
        parts.append(align_pairs(tile, templates, plan, mirror=mirror, particle=index, pixel_size_A=data.pixel_size_A))
    return PairAlignment(
        alignments=_joined([p.alignments for p in parts]), correlation=np.concatenate([p.correlation for p in parts])
    )


def align_pairs(
    tile: ImageTile,
    references: torch.Tensor,
    plan: SearchPlan,
    *,
    mirror: bool,
    particle: np.ndarray,
    pixel_size_A: float,
    ctf_harmonics: int = 1,
) -> PairAlignment:
    """Align n prepared images to n references (n, R, Q), each to its own, with flat priors.

    particle: (n,) what the alignments are said to be of; pixel_size_A: of the working images.
    """
    n = len(tile)
    both = torch.cat([references, reflected_rings(references)]) if mirror else references
    prepared = plan.references(
        both, ctf_harmonics=ctf_harmonics, log_class_prior=torch.zeros(len(both)), offset_sd_px=1e6
    )
    own = torch.eye(n, dtype=torch.bool).repeat(1, 2 if mirror else 1)
    rows = find_rows([tile], plan, plan.blocks(prepared, n, MEMORY_BYTES), allowed=[own])[0]
    weight = best(rows, n).weight
    row, psi = weight.nonzero(as_tuple=True)
    order = torch.argsort(rows.image[row])
    row, psi = row[order], psi[order]
    reference = rows.reference[row]
    found_psi, found_shift = refine_poses(
        tile, both[reference], plan.fine, plan.fine.psi[psi], plan.fine.shifts_px[rows.shift[row]], offset_sd_px=1e6
    )
    alignments = Alignments.from_shifts(particle, np.arange(n), found_psi.numpy(), found_shift.numpy() * pixel_size_A)
    flipped = (reference >= n).numpy()
    alignments = Alignments(**{**vars(alignments), "mirror": flipped})
    return PairAlignment(
        alignments=alignments, correlation=_correlation(tile, both[reference], plan, found_psi, found_shift).numpy()
    )


def _noise(noise_power: np.ndarray | None, data: PreparedParticles) -> torch.Tensor:
    """(1, R) by ring, from a spectrum over shells of the raw box."""
    if noise_power is None:
        return torch.ones(1, data.basis.rings)
    spectrum = np.asarray(noise_power, np.float64)
    shells = data.preparation.box_px // 2 + 1
    if spectrum.shape != (shells,):
        raise ValueError(f"noise_power: expected {shells} positive numbers, found {spectrum.shape}")
    if not (spectrum[1:] > 0).all():
        raise ValueError(f"noise_power: expected {shells} positive numbers, found {spectrum[1:].min():g} among them")
    at = data.basis.k_per_px * data.basis.box_px  # of the working box, whose shells are those of the raw one
    return torch.from_numpy(np.interp(at, np.arange(shells), spectrum)).float()[None]


def _correlation(
    tile: ImageTile, references: torch.Tensor, plan: SearchPlan, psi: torch.Tensor, shift_px: torch.Tensor
) -> torch.Tensor:
    """Weighted correlation at the poses found: (n,); of images without CTF."""
    grid = plan.fine
    inner = partial(_inner, weight=grid.basis.ring_weight[:, None] / grid.n_psi)
    power = tile.ctf_power[:, : grid.rings, :1].real
    turn = torch.exp(-1j * psi[:, None] * torch.arange(grid.harmonics))
    data = to_angles(tile.truncated(grid).data * turn[:, None, :].to(tile.data.dtype), grid.n_psi)
    along = shift_px[:, :1] * torch.cos(grid.psi) + shift_px[:, 1:] * torch.sin(grid.psi)
    k = torch.from_numpy(grid.basis.k_per_px).float()
    phase = 2 * np.pi * along[:, None, :] * k[None, :, None]
    there = to_angles(references[:, : grid.rings, : grid.harmonics], grid.n_psi)
    there = there * torch.polar(torch.ones_like(phase), phase)
    norms = inner(data / power, data) * inner(there * power, there)
    return inner(data, there) / norms.clamp_min(torch.finfo(torch.float32).tiny).sqrt()


def _inner(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (weight * (a.conj() * b).real).sum((1, 2))


def _joined(parts: list[Alignments]) -> Alignments:
    return Alignments(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0])})
