"""Particles made ready for matching: normalised, cropped in Fourier space, masked, expanded in ring harmonics once.

What the images of a whole data set need in memory is (number of particles) x ``RingBasis.packed_size`` floats, about
3 kB per particle at 16 rings; beyond a budget they are kept in a file that is mapped into memory.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from vitreous.fourier import resize_images
from vitreous.matching.grid import PoseGrid
from vitreous.matching.rings import RingBasis, from_angles, to_angles
from vitreous.matching.score import ImageTile
from vitreous.matching.search import KEEP_NATS, SearchPlan, plan_search
from vitreous.matching.workers import ordered_map
from vitreous.optics import CTFParameters, ctf_1d, ctf_at, ctf_weight, normalise_images
from vitreous.particles.scratch import release, scratch_array
from vitreous.processes import ALONE, Processes, by_process

__all__ = [
    "ImagePreparation",
    "PreparedParticles",
    "most_shifts",
    "offset_within_box",
    "prepare_particles",
    "shifted_bytes",
]

DEFAULT_DIAMETER, LARGEST_DIAMETER = 7 / 8, 0.97  # of the box
DEFAULT_OFFSET, MOST_OFFSET = 0.06, 0.5  # of the box
FEWEST_PX = 8  # across a particle
LEAST_CTF_POWER = 1e-3  # mean C^2 of a ring that powers are divided by
BATCH_BYTES = 8 << 20
SHIFTED_SHARE = 1 / 2  # of the memory, for shifted references
MOST_SHIFTED_BYTES = 2 << 30  # for those of a single one, whatever the memory
BYTES_PER_SHIFTED = 60  # per ring harmonic of a shifted reference: its matrices, and transforms while it is made
ISOTROPIC_BELOW_RAD = 0.02  # phase difference at the outermost ring below which astigmatism is not modelled


@dataclass(frozen=True, kw_only=True)
class ImagePreparation:
    """How raw images become working images.

    box_px: side of the raw images; pixel_size_A; particle_diameter_A: of the circular mask; invert_contrast: for
    particles that are dark; normalise: background mean 0, standard deviation 1, ramp removed; finest_A: what is finer
    has been filtered away, and is neither compared nor claimed (None: nothing was).
    """

    box_px: int
    pixel_size_A: float
    particle_diameter_A: float
    invert_contrast: bool = False
    normalise: bool = True
    finest_A: float | None = None

    @classmethod
    def for_box(
        cls,
        box_px: int,
        pixel_size_A: float,
        particle_diameter_A: float | None = None,
        *,
        invert_contrast: bool = False,
        normalise: bool = True,
        finest_A: float | None = None,
    ) -> "ImagePreparation":
        """With a diameter of 7/8 of the box where none is given.

        Raises ValueError for a diameter that leaves no background in the box, or is fewer than 8 pixels.
        """
        side = box_px * pixel_size_A
        diameter = particle_diameter_A or DEFAULT_DIAMETER * side
        if diameter > LARGEST_DIAMETER * side:
            raise ValueError(
                f"particle_diameter_A: {diameter:g} A does not leave a background in a box of {side:g} A; "
                f"expected at most {LARGEST_DIAMETER * side:.0f}"
            )
        if diameter < FEWEST_PX * pixel_size_A:
            if particle_diameter_A is None:
                raise ValueError(
                    f"images of {box_px} pixels are too small: the particle, 7/8 of the box, has fewer than {FEWEST_PX}"
                )
            raise ValueError(
                f"particle_diameter_A: {diameter:g} A is fewer than {FEWEST_PX} pixels of {pixel_size_A:g} A"
            )
        return cls(
            box_px=box_px,
            pixel_size_A=pixel_size_A,
            particle_diameter_A=diameter,
            invert_contrast=invert_contrast,
            normalise=normalise,
            finest_A=finest_A,
        )

    @property
    def shells(self) -> int:
        """Fourier pixels of the raw box up to which the images hold something: to Nyquist, or to ``finest_A``."""
        if self.finest_A is None:
            return self.box_px // 2
        return max(1, min(self.box_px // 2, int(self.box_px * self.pixel_size_A / self.finest_A)))

    @property
    def radius_px(self) -> float:
        """Radius of the particle in pixels of the raw image."""
        return self.particle_diameter_A / self.pixel_size_A / 2

    @property
    def batch(self) -> int:
        """Images worked on at a time, so that a batch takes about 8 MB and its transforms a few times as much."""
        return max(16, BATCH_BYTES // (4 * self.box_px**2))

    def clean(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised images (n, L, L) and which are bad (n,) bool; bad images come back as zeros.

        Bad are images with values that are not finite, and those without any contrast, which is what images that
        cannot be used are read as (:class:`vitreous.particles.Usable`).
        """
        if self.normalise:
            images, bad = normalise_images(images, self.radius_px, remove_ramp=True)
        else:
            bad = ~torch.isfinite(images).all(-1).all(-1) | (images == images[:, :1, :1]).all(-1).all(-1)
            images = torch.where(bad[:, None, None], 0.0, images)
        return (-images if self.invert_contrast else images), bad

    def working_basis(self, rings: int) -> RingBasis:
        """Rings on the smallest Fourier-cropped box that holds them; none beyond ``finest_A``."""
        full = RingBasis(box_px=self.box_px, radius_px=self.radius_px, rings=1)
        rings = max(1, min(rings, full.max_rings))
        if self.finest_A is not None:
            rings = max(1, min(rings, int(full.window_px * self.pixel_size_A / self.finest_A)))
        box = min(self.box_px, 2 * math.ceil(rings * self.box_px / full.window_px + 2))
        scale = box / self.box_px
        while True:
            radius = self.radius_px * scale
            basis = RingBasis(box_px=box, radius_px=radius, rings=1, edge_px=max(1.5, 0.1 * radius))
            if basis.max_rings >= rings or box >= self.box_px:
                return basis.truncated(min(rings, basis.max_rings))
            box = min(self.box_px, box + 2)
            scale = box / self.box_px


class PackedRows(Protocol):
    """Rows of packed ring harmonics: an array, a mapped file, or rows that are made when they are asked for."""

    def __len__(self) -> int:
        """Number of particles."""

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """(m, packed_size) float32 of particles ``index`` (m,)."""


@dataclass(frozen=True)
class _OwnRows:
    """Rows of the particles of one process of several; it is never asked for others."""

    rows: np.ndarray
    processes: Processes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        own = np.array(self.rows[index // self.processes.size])
        release(self.rows)
        return own


@dataclass(frozen=True, kw_only=True)
class _GroupPower:
    power: torch.Tensor
    count: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class _Bad:
    bad: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PreparedParticles:
    """n particles as packed ring harmonics.

    packed: (n, packed_size) float32, in memory or mapped from a file, in units of the raw images' Fourier transform
    whatever the working box; ctf: of the particles, or None where the
    images have no CTF; pixel_size_A: of the working images; noise_group: (n,) int64; group_power: (G, R) mean |X|^2
    of the masked images, over mean C^2 for images that were premultiplied by C; bad: (n,) bool, images that cannot be
    used (their rings are zero); threads: that passes over the particles use; memory_bytes: of which shifted references
    may take half; no result depends on it.
    """

    preparation: ImagePreparation
    basis: RingBasis
    packed: PackedRows
    ctf: CTFParameters | None
    noise_group: np.ndarray
    group_power: torch.Tensor
    bad: np.ndarray
    device: str = "cpu"
    threads: int = 1
    memory_bytes: int = 4 << 30

    def __len__(self) -> int:
        return len(self.bad)

    @property
    def white_noise_power(self) -> float:
        """|X|^2 of a masked image of white noise with variance 1."""
        return self.preparation.box_px**2 * self.basis.mask_power / self.basis.box_px**2

    def picture(self, harmonics: torch.Tensor) -> torch.Tensor:
        """Ring harmonics (K, R, Q) of fewer or as many rings -> images (K, L, L) at the size of the raw images."""
        basis = self.basis.truncated(harmonics.shape[1])
        small = basis.synthesise(harmonics) * (basis.box_px / self.preparation.box_px) ** 2
        return resize_images(small, self.preparation.box_px)

    @property
    def pixel_size_A(self) -> float:
        """Pixel size of the working images."""
        return self.preparation.pixel_size_A * self.preparation.box_px / self.basis.box_px

    @cached_property
    def ctf_harmonics(self) -> int:
        """Harmonics 0, 2, .. of C^2 along a ring that the norm needs: 1 where astigmatism does not matter."""
        if self.ctf is None or len(self.ctf) == 0:
            return 1
        k = self.basis.k_per_px[-1] / self.pixel_size_A
        difference = np.abs(self.ctf.defocus_u_A - self.ctf.defocus_v_A).max()
        phase = 0.5 * np.pi * 0.04 * difference * k**2  # 0.04 A: a wavelength longer than any in use
        return 1 if phase < ISOTROPIC_BELOW_RAD else min(math.ceil(2 * phase + 3), self.basis.harmonics // 2)

    def tile(self, index: np.ndarray, rings: int, noise_power: torch.Tensor) -> ImageTile:
        """CTF- and noise-weighted rings of some particles; noise_power: (G, >= rings) sigma^2.

        Images that were premultiplied by their CTF are weighted by 1 instead of C (:func:`ctf_weight`).
        """
        packed = torch.from_numpy(np.ascontiguousarray(self.packed[index])).to(self.device)
        release(self.packed)
        data = self.basis.unpack(packed, rings)
        inverse = 1 / noise_power[torch.from_numpy(self.noise_group[index]).to(self.device), :rings]
        if self.ctf is None:
            power = inverse[:, :, None].to(torch.complex64)
            return ImageTile(data=data * inverse[:, :, None], ctf_power=power)
        params = self.ctf.take(index)
        k = torch.from_numpy(self.basis.k_per_px[:rings] / self.pixel_size_A).float().to(self.device)
        if self.ctf_harmonics == 1:
            ctf = ctf_1d(params, k)
            power = (ctf.square() * inverse)[:, :, None].to(torch.complex64)
            return ImageTile(data=data * (ctf_weight(params, ctf) * inverse)[:, :, None], ctf_power=power)
        return self._astigmatic_tile(data, params, k, inverse)

    def _astigmatic_tile(
        self, data: torch.Tensor, params: CTFParameters, k: torch.Tensor, inverse: torch.Tensor
    ) -> ImageTile:
        n_angles = 2 * data.shape[2] + 4 * self.ctf_harmonics
        angle = torch.arange(n_angles, device=self.device) * (2 * math.pi / n_angles)
        ctf = ctf_at(params, k[:, None] * torch.cos(angle), k[:, None] * torch.sin(angle))
        weighted = from_angles(to_angles(data, n_angles) * ctf_weight(params, ctf), data.shape[2]) * inverse[:, :, None]
        spectrum = torch.fft.rfft(ctf.square(), norm="forward")[..., : 2 * self.ctf_harmonics : 2]
        used = self.basis.used[: data.shape[1], : data.shape[2]].to(self.device)
        return ImageTile(data=weighted * used, ctf_power=spectrum * inverse[:, :, None])

    def mean_ctf_power(self, group: int, rings: int, most: int = 2048) -> torch.Tensor:
        """Mean gain of the signal's power over (at most ``most``) particles of a noise group, (rings,).

        That is C^2; of premultiplied images, whose powers are all divided by mean C^2, mean C^4 over mean C^2.
        """
        if self.ctf is None:
            return torch.ones(rings, device=self.device)
        members = np.flatnonzero(self.noise_group == group)
        members = members[:: max(1, len(members) // most)]
        k = torch.from_numpy(self.basis.k_per_px[:rings] / self.pixel_size_A).float().to(self.device)
        params = self.ctf.take(members)
        power = ctf_1d(params, k).square()
        if not params.premultiplied.any():
            return power.mean(0)
        return power.square().mean(0) / power.mean(0).clamp_min(LEAST_CTF_POWER)

    def noise_gain(self, index: np.ndarray) -> torch.Tensor | None:
        """What the noise of some particles has been multiplied by, (m, R); None where that is 1 for all."""
        if self.ctf is None or not self.ctf.premultiplied.any():
            return None
        return _noise_gain(self.ctf.take(index), self.basis.k_per_px / self.pixel_size_A)

    def grid(self, rings: int, offset_range_A: float) -> PoseGrid:
        """The pose grid for a number of rings.

        Shifted references are held in blocks, so neither their number nor the memory matters. Only where the shifted
        copies of a single one would take 2 GB does the step of the shifts widen, and the grid says so.
        """
        return PoseGrid.for_rings(
            self.basis,
            rings,
            offset_range_A / self.pixel_size_A,
            most_shifts=most_shifts(self.basis, rings),
            device=self.device,
        )

    def search(self, rings: int, offset_range_A: float, *, keep: float = KEEP_NATS) -> SearchPlan:
        """How references are searched within a range of origins.

        keep: nats below the best hypothesis of a particle that are returned.
        """
        grid = self.grid(rings, offset_range_A)
        return plan_search(grid, offset_range_A / self.pixel_size_A, keep=keep)


def _noise_gain(params: CTFParameters, k_per_A: np.ndarray) -> torch.Tensor:
    """|C| of premultiplied particles, 1 of others: (m, R)."""
    ctf = ctf_1d(params, torch.from_numpy(k_per_A).float()).abs()
    return torch.where(torch.from_numpy(params.premultiplied > 0)[:, None], ctf, 1.0)


def _noise_power_gain(
    ctf: CTFParameters | None, index: np.ndarray, basis: RingBasis, preparation: ImagePreparation
) -> torch.Tensor:
    """What the power of the noise of particles ``index`` has been multiplied by, (m, R)."""
    if ctf is None or not ctf.premultiplied.any():
        return torch.ones(len(index), basis.rings, dtype=torch.float64)
    pixel = preparation.pixel_size_A * preparation.box_px / basis.box_px
    return _noise_gain(ctf.take(index), basis.k_per_px / pixel).double().square()


def offset_within_box(offset_range_A: float | None, preparation: ImagePreparation) -> float:
    """A range of origins in Angstrom; None: 6% of the box. Raises ValueError for one beyond half of the box."""
    side = preparation.box_px * preparation.pixel_size_A
    offset = offset_range_A or DEFAULT_OFFSET * side
    if offset > MOST_OFFSET * side:
        raise ValueError(
            f"offset_range_A: {offset:g} A leads out of the box of {side:g} A; expected at most "
            f"{MOST_OFFSET * side:.0f}, half of it"
        )
    return offset


def most_shifts(basis: RingBasis, rings: int) -> int:
    """Shifts that are searched at most: as many copies of one reference as 2 GB hold.

    The limit is the same whatever memory a job may use, since the result would depend on it.
    """
    return max(1, MOST_SHIFTED_BYTES // shifted_bytes(basis, rings))


def shifted_bytes(basis: RingBasis, rings: int) -> int:
    """What one shifted copy of a reference takes."""
    return BYTES_PER_SHIFTED * rings * (int(basis.q_max[rings - 1]) + 1)


def prepare_particles(
    read: Callable[[np.ndarray], np.ndarray],
    n: int,
    preparation: ImagePreparation,
    *,
    rings: int,
    ctf: CTFParameters | None,
    noise_group: np.ndarray | None = None,
    store: Path | None = None,
    threads: int = 1,
    memory_bytes: int = 4 << 30,
    device: str = "cpu",
    processes: Processes = ALONE,
    progress: Callable[[int], None] | None = None,
) -> PreparedParticles:
    """Read every particle once and expand it; of several processes each reads its own.

    read: indices -> (m, L, L) float32; store: a file to map (None: memory); progress receives the number done.
    """
    basis = preparation.working_basis(rings)
    groups = np.zeros(n, np.int64) if noise_group is None else np.asarray(noise_group, np.int64)
    shares = by_process(np.arange(n), processes)
    mine = shares[processes.rank]
    shape = (len(mine), basis.packed_size)
    packed = np.empty(shape, np.float32) if store is None else scratch_array(store, np.float32, shape)
    wrong = np.zeros(len(mine), bool)
    power = torch.zeros(int(groups.max(initial=0)) + 1, basis.rings, dtype=torch.float64)
    count = torch.zeros_like(power)
    batch = preparation.batch
    places = [slice(start, start + batch) for start in range(0, len(mine), batch)]

    def expand(place: slice) -> tuple[slice, torch.Tensor, torch.Tensor, torch.Tensor]:
        images = torch.from_numpy(np.ascontiguousarray(read(mine[place]), dtype=np.float32)).to(device)
        images, unusable = preparation.clean(images)
        rings_of = basis.expand(resize_images(images, basis.box_px)) * (preparation.box_px / basis.box_px) ** 2
        ring_power = (basis.unpack(rings_of).abs().square() * basis.multiplicity.to(device)).sum(2)
        return place, rings_of.cpu(), unusable.cpu(), ring_power.double().cpu()

    for place, rings_of, unusable, ring_power in ordered_map(expand, places, threads if device == "cpu" else 1):
        packed[place], wrong[place] = rings_of.numpy(), unusable.numpy()
        release(packed)
        good, index = ~unusable, mine[place]
        which = torch.from_numpy(groups[index])[good]
        power.index_add_(0, which, ring_power[good])
        count.index_add_(0, which, _noise_power_gain(ctf, index, basis, preparation)[good])
        if progress is not None:
            progress(min(place.stop * processes.size, n))
    seen = processes.add(_GroupPower(power=power, count=count))
    overall = seen.power.sum(0) / seen.count.sum(0).clamp_min(LEAST_CTF_POWER)
    group_power = torch.where(seen.count > 0, seen.power / seen.count.clamp_min(LEAST_CTF_POWER), overall)
    bad = np.empty(n, bool)
    bad[np.concatenate(shares)] = processes.gather(_Bad(bad=wrong)).bad
    return PreparedParticles(
        preparation=preparation,
        basis=basis,
        packed=packed if processes.size == 1 else _OwnRows(packed, processes),
        ctf=ctf,
        noise_group=groups,
        group_power=group_power.float().to(device),
        bad=bad,
        device=device,
        threads=threads,
        memory_bytes=memory_bytes,
    )
