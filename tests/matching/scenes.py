"""Small scenes for tests of matching: random images and references, their tiles, grids and twins."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import (
    ImageTile,
    PoseGrid,
    ReferenceBlock,
    References,
    RingBasis,
    disc_grid,
    in_blocks,
    make_references,
)
from vitreous.matching.prepare import ImagePreparation, PreparedParticles
from vitreous.optics import CTFParameters
from vitreous.testing import Blobs, polar_points, twin_scores

PIXEL_A = 4.0
OFFSET_SD_PX = 1.3


def ctf_parameters(n: int, astigmatism_A: float) -> CTFParameters:
    i = np.arange(n)
    mean = 9000.0 + 2500.0 * i
    ones = np.ones(n)
    return CTFParameters(
        defocus_u_A=mean + astigmatism_A / 2,
        defocus_v_A=mean - astigmatism_A / 2,
        defocus_angle_deg=20.0 + 31.0 * i,
        voltage_kV=300 * ones,
        cs_mm=2.7 * ones,
        amplitude_contrast=0.1 * ones,
        phase_shift_deg=0 * ones,
        b_factor_A2=40.0 * ones,
    )


def whole(references: References, images: int = 4, **options: int) -> ReferenceBlock:
    """All references in one block."""
    (block,) = in_blocks(references, images, **options)
    return block


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Images (n, L, L) and references (K, L, L), float64, not masked yet, with everything that scoring them needs."""

    basis: RingBasis
    images: np.ndarray
    references: np.ndarray
    ctf: CTFParameters | None
    noise_power: np.ndarray  # (R,)
    particles: PreparedParticles

    @property
    def tile(self) -> ImageTile:
        noise = torch.from_numpy(self.noise_power).float()[None]
        return self.particles.tile(np.arange(len(self.images)), self.basis.rings, noise)

    def grid(self, n_shifts_radius: float = 1.0, step: float = 1.0) -> PoseGrid:
        # Twice as many rotations as necessary: no harmonic of a shifted reference is folded back.
        n_psi = 4 * self.basis.harmonics
        return PoseGrid(basis=self.basis, n_psi=n_psi, shifts_px=disc_grid(step, n_shifts_radius))

    def reference_harmonics(self) -> torch.Tensor:
        return self.basis.unpack(self.basis.expand(torch.from_numpy(self.references).float()))

    def make_references(self, grid: PoseGrid, log_class_prior: torch.Tensor | None = None) -> References:
        flat = torch.zeros(len(self.references))
        return make_references(
            grid,
            self.reference_harmonics(),
            ctf_harmonics=self.particles.ctf_harmonics,
            log_class_prior=flat if log_class_prior is None else log_class_prior,
            offset_sd_px=OFFSET_SD_PX,
        )

    def twin(self, grid: PoseGrid, n_angles: int = 160) -> np.ndarray:
        """(n, K, S, n_psi) without priors."""
        return twin_scores(
            self.images * self.basis.mask,
            self.references * self.basis.mask,
            polar_points(self.basis, n_angles),
            grid.psi.numpy().astype(np.float64),
            grid.shifts_px.numpy().astype(np.float64),
            self.noise_power,
            ctf=self.ctf,
            pixel_size_A=PIXEL_A,
        )


def log_prior(grid: PoseGrid, log_class_prior: np.ndarray) -> np.ndarray:
    """Class prior + Gaussian prior on the shift, normalised over the grid, + uniform prior on rotations: (K, S, 1)."""
    distance = (grid.shifts_px.numpy().astype(np.float64) ** 2).sum(1)
    gauss = np.exp(-distance / (2 * OFFSET_SD_PX**2))
    return (log_class_prior[:, None] + np.log(gauss / gauss.sum()) - np.log(grid.n_psi))[:, :, None]


def prepared(basis: RingBasis, images: np.ndarray, ctf: CTFParameters | None) -> PreparedParticles:
    """Images as prepared particles: the working box is the box of the images."""
    return PreparedParticles(
        preparation=ImagePreparation(
            box_px=basis.box_px, pixel_size_A=PIXEL_A, particle_diameter_A=2 * basis.radius_px * PIXEL_A
        ),
        basis=basis,
        packed=basis.expand(torch.from_numpy(images).float()).numpy(),
        ctf=ctf,
        noise_group=np.zeros(len(images), np.int64),
        group_power=torch.ones(1, basis.rings),
        bad=np.zeros(len(images), bool),
    )


def make_scene(
    *,
    box_px: int = 24,
    rings: int = 6,
    n: int = 4,
    n_references: int = 3,
    astigmatism_A: float | None = None,
    noise_sd: float = 0.3,
    seed: int = 0,
) -> Scene:
    """Random blobs as references, noisy turned copies of them as images. astigmatism_A None: no CTF."""
    rng = np.random.default_rng(seed)
    basis = RingBasis(box_px=box_px, radius_px=box_px * 0.45, rings=rings)
    shapes = [Blobs.random(seed * 100 + k, reach_px=0.22 * box_px, width_px=1.6) for k in range(n_references)]
    psi, origin = 360 * rng.random(n), rng.normal(size=(n, 2))
    clean = np.stack([shapes[i % n_references].image(box_px, psi[i], tuple(origin[i])) for i in range(n)])
    images = clean + noise_sd * rng.normal(size=clean.shape)
    ctf = None if astigmatism_A is None else ctf_parameters(n, astigmatism_A)
    return Scene(
        basis=basis,
        images=images,
        references=np.stack([s.image(box_px) for s in shapes]),
        ctf=ctf,
        noise_power=(noise_sd + 0.2) ** 2 * basis.mask_power * (1 + 0.3 * np.arange(rings) / rings),
        particles=prepared(basis, images, ctf),
    )
