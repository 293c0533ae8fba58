"""Block ART with blobs: algebraic reconstruction that compares projections with images, block after block.

The density is a sum of Kaiser-Bessel blobs on the voxels, so that its transform is ``B(k) c(k)`` with B that of a blob
(Lewitt 1990; Matej and Lewitt 1996: order 2, radius 2 voxels, alpha 10.4; Marabini, Herman and Carazo 1998 put them on
a body-centred grid). For every block of particles

    c <- m ( c + relaxation * F^-1[ blocks * B sum_i C_i S_i^* (X_i - C_i S_i P_i B c) / (B^2 sum C^2 + floor) ] )

in which projections are central slices, the CTF is part of the projection, m is the particle's sphere, and the
denominator is the sum over all particles: the normalisation of SIRT (one block is SIRT, one image for each block ART).
It stays noisy where few images have been, and smooth where the relaxation is small: there is no prior. The map is
filtered at the end by the signal-to-noise ratio of the halves, each of which is a run of its own; the whole is their
mean.
"""

import numpy as np
import torch
from scipy import special

from vitreous.fourier import insert_points, prepare_volume, slice_points
from vitreous.processes import Processes, by_process
from vitreous.randomness import uniforms
from vitreous.volumes.reconstruction.grid import (
    from_real_space,
    half_ssnr,
    on_grid,
    shell_means,
    shell_radius,
    to_real_space,
)
from vitreous.volumes.reconstruction.posed import PosedParticles
from vitreous.volumes.reconstruction.settings import ART
from vitreous.volumes.reconstruction.solve import Solved, sphere
from vitreous.volumes.reconstruction.statistics import (
    PADDING,
    DiscPoints,
    ReconstructionSums,
    coset_matrices,
    empty_sums,
    full_circle,
)

__all__ = ["art_solved", "art_step", "blob_transform"]

RADIUS, ALPHA, ORDER = 2.0, 10.4, 2  # of a blob: voxels, taper, smoothness at its rim
FLOOR = 0.1  # of the mean of a shell


def blob_transform(k_per_voxel: torch.Tensor) -> torch.Tensor:
    """Transform of a blob of integral 1 at frequencies in cycles per voxel (Lewitt 1990, equation A3)."""
    order = ORDER + 1.5
    turn = 2 * np.pi * RADIUS * k_per_voxel.double().numpy()
    inside, outside = np.sqrt(np.clip(ALPHA**2 - turn**2, 1e-6, None)), np.sqrt(np.clip(turn**2 - ALPHA**2, 1e-6, None))
    values = np.where(
        turn < ALPHA, special.iv(order, inside) / inside**order, special.jv(order, outside) / outside**order
    )
    return torch.from_numpy(values / (special.iv(order, ALPHA) / ALPHA**order)).float()


def art_step(
    particles: PosedParticles,
    usable: np.ndarray,
    sums: tuple[ReconstructionSums, ReconstructionSums],
    coefficients: torch.Tensor,
    settings: ART,
    number: int,
    *,
    seed: int,
    group: torch.Tensor,
    processes: Processes,
) -> torch.Tensor:
    """Coefficients of the two halves (2, n, n, n) after one more block.

    usable: particles with a pose, a weight and a good image; sums: complete ones of all particles; number: of blocks
    that have been visited before.
    """
    n, device = particles.preparation.box_px, coefficients.device
    chance = uniforms(seed, "blocks", number // settings.blocks, ids=usable)[:, 0]
    block = np.sort(usable[np.argsort(chance, kind="stable")[number % settings.blocks :: settings.blocks]])
    blob = blob_transform(shell_radius(PADDING * (n // 2)) / n).to(device)
    mask = sphere(n, particles.preparation.radius_px).to(device)
    own = by_process(block, processes)[processes.rank]
    found = []
    for half in (0, 1):
        members = own[particles.half_of[own] == half]
        residual = processes.add(
            _residual(particles, members, blob * prepare_volume(coefficients[half], PADDING), group)
        )
        weight = sums[half].denominator * blob.square()
        floor = FLOOR * on_grid(shell_means(weight, n // 2 + 1), weight.shape[-1] - 2)
        update = settings.blocks * blob * full_circle(residual, group).numerator / (weight + floor).clamp_min(1e-20)
        found.append(mask * (coefficients[half] + settings.relaxation * to_real_space(update, n)))
    return torch.stack(found)


def _residual(
    particles: PosedParticles, index: np.ndarray, volume_ft: torch.Tensor, group: torch.Tensor
) -> ReconstructionSums:
    """Statistics of images less the projections of a volume: numerator ``sum w C S^* (X - C S P V) / sigma^2``."""
    preparation = particles.preparation
    sums = empty_sums(preparation.box_px, volume_ft.device)
    points = DiscPoints.of(preparation.box_px, preparation.pixel_size_A, volume_ft.device)
    for start in range(0, len(index), preparation.batch):
        part = index[start : start + preparation.batch]
        pixels = np.ascontiguousarray(particles.read(part), dtype=np.float32)
        images, _ = preparation.clean(torch.from_numpy(pixels).to(volume_ft.device))
        values, power = points.weighted(particles, part, images, particles.origins_A[part])
        rotations = torch.from_numpy(particles.rotations[part]).to(torch.float64)
        seen = slice_points(volume_ft, rotations.float().to(volume_ft.device), points.plane)
        for copy in coset_matrices(group):
            matrices = (copy @ rotations).float().to(volume_ft.device)
            insert_points(sums.numerator, sums.denominator, values - power * seen, power, matrices, points.plane)
    return sums


def art_solved(coefficients: torch.Tensor, radius_px: float) -> Solved:
    """Maps from the coefficients (2, n, n, n) of the halves."""
    n = coefficients.shape[-1]
    h = PADDING * (n // 2)
    blob = blob_transform(shell_radius(h) / n).to(coefficients.device)
    halves = [to_real_space(from_real_space(c, n) * blob, n, correct=False) for c in coefficients]
    fsc, ssnr = half_ssnr((halves[0], halves[1]), radius_px)
    gain = on_grid(ssnr / (1 + ssnr), h)
    full = to_real_space(from_real_space(0.5 * (halves[0] + halves[1]), n) * gain, n, correct=False)
    return Solved(full=full, halves=(halves[0], halves[1]), fsc=fsc, ssnr=ssnr)
