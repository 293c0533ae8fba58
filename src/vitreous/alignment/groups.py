"""Many groups of images at once, each aligned to the average of its own members.

A group is a class, or one of several starts of it; a row is a particle in a group, so that a particle may be in many.
Every group has one average, and all groups of a pass share the products of the core: the reference-free alignment of
200 classes in five starts each is one call.

The criterion is the squared norm of the sum of the aligned images (:mod:`vitreous.alignment.criteria`). It is climbed
as its source suggests: every image is aligned anew to the average of the *others*. While all rotations and shifts are
searched, "the others" are the other folds of the group, so that no image meets its own noise; the last refinement
leaves out exactly the image itself (:mod:`vitreous.alignment.leave_one_out`).

Source: Penczek, Radermacher and Frank, Ultramicroscopy 40 (1992) 33-53; SCIENCE.md section 2.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.matching import (
    Alignments,
    Candidates,
    Outcome,
    PreparedParticles,
    References,
    SearchPlan,
    Sums,
    accumulate_at,
    best,
    expect,
    reflected_rings,
    signal_power,
    visit,
    wiener,
)
from vitreous.randomness import uniforms

__all__ = ["GroupPass", "Groups", "Matching", "align_once", "align_to", "random_alignments", "sums_of_folds"]

LEAST_POWER = 1e-3  # of the strongest ring: what the signal of a ring is taken for at least


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """m rows: particle (m,) int64 of the prepared ones, in group (m,) int64 from 0 of ``count``."""

    particle: np.ndarray
    group: np.ndarray
    count: int

    def __len__(self) -> int:
        return len(self.particle)

    @classmethod
    def of_labels(cls, label: np.ndarray, starts: int = 1) -> "Groups":
        """Of particles with a label (n,) from 0 (-1: in no group), ``starts`` times over.

        Start s of label k is group ``s K + k``; rows are in the order of the starts, then of the particles.
        """
        particle = np.flatnonzero(label >= 0)
        group = label[particle].astype(np.int64)
        return cls(particle=particle, group=group, count=int(label.max(initial=-1)) + 1).repeated(starts)

    def repeated(self, starts: int) -> "Groups":
        """The same rows ``starts`` times over: start s of group k is group ``s K + k``."""
        group = self.group[None, :] + self.count * np.arange(starts)[:, None]
        return Groups(particle=np.tile(self.particle, starts), group=group.ravel(), count=starts * self.count)

    def folds(self, number: int, seed: int) -> tuple[np.ndarray, ...]:
        """Rows dealt into folds at random, every group evenly; within a fold in the order of the groups."""
        key = uniforms(seed, "folds of groups", ids=np.arange(len(self)))[:, 0]
        order = np.lexsort((key, self.group))
        size = np.bincount(self.group, minlength=self.count)
        place = np.arange(len(self)) - (np.cumsum(size) - size)[self.group[order]]
        fold = (place + self.group[order]) % number
        return tuple(order[fold == f] for f in range(number))


@dataclass(frozen=True, kw_only=True)
class Matching:
    """How images are compared with averages.

    offset_range_A: farthest origin; mirror: whether an image may show the mirror image of its average; weighted: by the
    noise and the signal of every ring (else plain correlation, in which all rings count alike).
    """

    offset_range_A: float
    mirror: bool = False
    weighted: bool = True

    def noise(self, noise_power: torch.Tensor) -> torch.Tensor:
        """Noise power (G, R) that images are weighted with."""
        return noise_power if self.weighted else noise_power.mean(1, keepdim=True).expand_as(noise_power).contiguous()

    def averages(self, sums: Sums, tau2: torch.Tensor) -> torch.Tensor:
        """Averages (K, R, Q) for sums of R rings: Wiener filtered with the signal's power (R,), or plain means."""
        if not self.weighted:
            return sums.signal / sums.power.clamp_min(torch.finfo(torch.float32).tiny)[..., None]
        return wiener(sums.signal, sums.power, torch.maximum(tau2, LEAST_POWER * tau2.amax()))

    def references(
        self, averages: torch.Tensor, data: PreparedParticles, plan: SearchPlan
    ) -> tuple[References | None, References]:
        """Averages (K, R, Q) ready for a search; where mirror images are allowed, theirs are K ... 2 K - 1."""
        both = torch.cat([averages, reflected_rings(averages)]) if self.mirror else averages
        return plan.references(
            both,
            ctf_harmonics=data.ctf_harmonics,
            log_class_prior=torch.zeros(len(both), device=both.device),
            offset_sd_px=self.offset_range_A / 2 / data.pixel_size_A,
        )


@dataclass(frozen=True, kw_only=True)
class GroupPass:
    """After a pass: sums of every fold (K groups), alignments of all rows in their order, and what they scored.

    log_evidence: (m,) of rows, against averages without their own fold; moved: share of the rows that turned by more
    than a step of the grid, or changed their mirror state.
    """

    parts: tuple[Sums, ...]
    alignments: Alignments
    log_evidence: np.ndarray
    moved: float


def random_alignments(groups: Groups, seed: int, *, mirror: bool) -> Alignments:
    """Every row turned at random (and reflected, where that is allowed), not shifted."""
    random = uniforms(seed, "first alignments", ids=np.arange(len(groups)), count=2)
    start = Alignments.from_shifts(groups.particle, groups.group, 2 * np.pi * random[:, 0], np.zeros((len(groups), 2)))
    return replace(start, mirror=random[:, 1] < 0.5) if mirror else start


def sums_of_folds(
    data: PreparedParticles, groups: Groups, folds: tuple[np.ndarray, ...], at: Alignments, noise_power: torch.Tensor
) -> tuple[Sums, ...]:
    """What every fold gives to the averages at alignments ``at`` of all rows."""
    return tuple(accumulate_at(data, at.take(rows), groups.count, noise_power) for rows in folds)


def align_once(
    data: PreparedParticles,
    groups: Groups,
    folds: tuple[np.ndarray, ...],
    parts: tuple[Sums, ...],
    before: Alignments,
    noise_power: torch.Tensor,
    matching: Matching,
    rings: int,
    *,
    progress: Callable[[int], None] | None = None,
) -> GroupPass:
    """Visit every fold once: each row goes to the best pose on the average of its group without its fold."""
    plan = data.search(rings, matching.offset_range_A)
    noise = matching.noise(noise_power)

    def match(others: Sums, parts: tuple[Sums, ...], rows: np.ndarray) -> tuple[Sums, Outcome]:
        averages = matching.averages(_cut(others, plan), signal_power(parts, data.basis)[: plan.fine.rings])
        return _to_own_group(data, groups, rows, averages, plan, noise, matching)

    parts, rows, outcome = visit(folds, parts, match, progress=progress)
    order = np.argsort(rows)
    found = _alignments(data, groups, rows, outcome).take(order)
    turned = np.abs(np.angle(np.exp(1j * (found.psi_rad - before.psi_rad))))
    moved = (turned > 3 * np.pi / plan.fine.n_psi) | (found.mirror != before.mirror)
    return GroupPass(parts=parts, alignments=found, log_evidence=outcome.log_evidence[order], moved=float(moved.mean()))


def align_to(
    data: PreparedParticles,
    groups: Groups,
    references: torch.Tensor,
    noise_power: torch.Tensor,
    matching: Matching,
    rings: int,
) -> tuple[Alignments, np.ndarray]:
    """Every row to the reference of its group, (K, >= rings, Q): alignments, and the log evidence (m,) of each."""
    plan, rows = data.search(rings, matching.offset_range_A), np.arange(len(groups))
    averages = references[:, : plan.fine.rings, : plan.fine.harmonics]
    _, outcome = _to_own_group(data, groups, rows, averages, plan, matching.noise(noise_power), matching)
    return _alignments(data, groups, rows, outcome), outcome.log_evidence


def _alignments(data: PreparedParticles, groups: Groups, rows: np.ndarray, outcome: Outcome) -> Alignments:
    """Of rows that were matched with averages and their mirror images."""
    found = Alignments.from_shifts(
        groups.particle[rows], outcome.reference % groups.count, outcome.psi_rad, outcome.shift_px * data.pixel_size_A
    )
    return replace(found, mirror=outcome.reference >= groups.count)


def _cut(sums: Sums, plan: SearchPlan) -> Sums:
    """The rings and harmonics of the plan."""
    rings, harmonics = plan.fine.rings, plan.fine.harmonics
    return replace(sums, signal=sums.signal[:, :rings, :harmonics], power=sums.power[:, :rings])


def _to_own_group(
    data: PreparedParticles,
    groups: Groups,
    rows: np.ndarray,
    averages: torch.Tensor,
    plan: SearchPlan,
    noise: torch.Tensor,
    matching: Matching,
) -> tuple[Sums, Outcome]:
    """Match rows with the average of their group, and with its mirror image where that is allowed.

    Mirror images are references K ... 2 K - 1; what they gather is reflected back.
    """
    states = 2 if matching.mirror else 1
    references = matching.references(averages, data, plan)
    allowed = groups.group[rows][:, None] + groups.count * np.arange(states)
    candidates = Candidates(
        start=states * np.arange(len(rows) + 1), reference=allowed.ravel(), n_references=states * groups.count
    )
    sums, outcome = expect(data, groups.particle[rows], plan, references, noise, choice=best, candidates=candidates)
    return (_folded(sums, groups.count) if matching.mirror else sums), outcome


def _folded(sums: Sums, count: int) -> Sums:
    """Sums of K averages from those of K averages and their K mirror images."""
    direct = Sums(**{name: getattr(sums, name)[:count] for name in Sums.__dataclass_fields__})
    mirror = Sums(**{name: getattr(sums, name)[count:] for name in Sums.__dataclass_fields__})
    added = {name: getattr(direct, name) + getattr(mirror, name) for name in Sums.__dataclass_fields__}
    return replace(Sums(**added), signal=direct.signal + reflected_rings(mirror.signal))
