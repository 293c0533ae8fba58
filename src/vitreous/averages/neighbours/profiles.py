"""Likelihood profiles: an image described by how well every class explains it.

The feature of image i has 2 K entries, one for every class in both mirror states,

    f_i = sqrt( softmax( v_i / temperature ) ),     v_i = log sum_psi exp( log p(y_i | class turned by psi) )

with a temperature of a third of the standard deviation of v_i. The inner product of two features is the
Bhattacharyya coefficient of two distributions over views, so that it is 1 for images that cannot be told apart by any
class; the mirror image of a particle has the two mirror states exchanged. Several independent classifications are
averaged: their errors differ. Source: SCIENCE.md section 6 (own method).
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from vitreous.averages.neighbours.classes import ClassSums, Probes, class_log_prior, class_members, probes, tiles
from vitreous.averages.neighbours.principal import PrincipalImages
from vitreous.matching import MIRROR_STATES, rotation_scores, survey
from vitreous.matching.workers import ordered_map
from vitreous.processes import ALONE, Processes, joined

__all__ = ["Profiles", "exchange_mirror", "log_evidence", "profile_features", "profile_images"]

TEMPERATURE = 1 / 3  # of the standard deviation of an image's log likelihoods
POSES = 8  # classes whose rotation is kept for every image


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """Log likelihoods of n images under K classes in both mirror states, rotations integrated out.

    log_likelihood: (n, 2 K) float32, entry 2 k + mirrored; best: (n, P) int64 the likeliest entries, best first;
    psi_rad: (n, P) the likeliest rotation in each of these.
    """

    log_likelihood: torch.Tensor
    best: torch.Tensor
    psi_rad: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Profiles of m images, as in :class:`Profiles`."""

    log_likelihood: np.ndarray
    best: np.ndarray
    psi_rad: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Nothing:
    """A survey for profiles gives nothing to the classes."""


def profile_images(
    images: PrincipalImages,
    folds: list[np.ndarray],
    parts: tuple[ClassSums, ...],
    *,
    threads: int = 1,
    processes: Processes = ALONE,
) -> Profiles:
    """Profiles of all images, each under averages that its own fold is not in."""
    n, classes = len(images), len(parts[0].signal)
    kept = min(POSES, classes * MIRROR_STATES)
    none = _Rows(  # a process may have no image of a small fold
        log_likelihood=np.zeros((0, classes * MIRROR_STATES), np.float32),
        best=np.zeros((0, kept), np.int64),
        psi_rad=np.zeros((0, kept), np.float32),
    )

    def match(others: ClassSums, _: Any, index: np.ndarray) -> tuple[Any, _Rows]:
        probe = probes(images, others)
        work = tiles(index, len(probe.references), images.grid.angles)
        return _Nothing(), joined([none, *ordered_map(partial(_profile, images, probe), work, threads)])

    _, index, found = survey(enumerate(folds), parts, match, processes=processes)

    def in_order(values: np.ndarray) -> torch.Tensor:
        out = np.empty((n, values.shape[1]), values.dtype)
        out[index] = values
        return torch.from_numpy(out)

    return Profiles(
        log_likelihood=in_order(found.log_likelihood), best=in_order(found.best), psi_rad=in_order(found.psi_rad)
    )


def _profile(images: PrincipalImages, probe: Probes, tile: np.ndarray) -> _Rows:
    rows = torch.from_numpy(tile)
    kept = min(POSES, len(probe.references) * MIRROR_STATES)
    scores = rotation_scores(images.natural[rows], probe.references, images.grid)
    scores -= probe.norms[images.group[rows]][:, :, None, None]
    scores = scores.reshape(len(tile), len(probe.references) * MIRROR_STATES, -1)
    likelihood = scores.logsumexp(2)
    best = likelihood.topk(kept, dim=1).indices
    turned = scores.gather(1, best[:, :, None].expand(-1, -1, scores.shape[2])).argmax(2)
    return _Rows(log_likelihood=likelihood.numpy(), best=best.numpy(), psi_rad=images.grid.psi_rad[turned].numpy())


def log_evidence(profile: Profiles, parts: tuple[ClassSums, ...], angles: int) -> torch.Tensor:
    """Log evidence of every image under the averages without its fold, in nats over that of the mean image: (n,).

    Classes have their share of the images as prior, mirror states and rotations a uniform one; angles: rotations of
    the grid. About zero or below for images without common signal.
    """
    prior = class_log_prior(class_members(parts)).repeat_interleave(MIRROR_STATES)
    return (profile.log_likelihood + prior).logsumexp(1) - math.log(MIRROR_STATES * angles)


def profile_features(profiles: list[Profiles]) -> torch.Tensor:
    """Features of unit length, (n, 2 K R) for R classifications."""
    parts = []
    for profile in profiles:
        v = profile.log_likelihood
        temperature = (TEMPERATURE * v.std(1, keepdim=True)).clamp_min(torch.finfo(v.dtype).tiny)
        parts.append(torch.softmax(v / temperature, 1).sqrt_())
    return torch.cat(parts, 1) / len(profiles) ** 0.5


def exchange_mirror(features: torch.Tensor) -> torch.Tensor:
    """Features of the mirror images."""
    return features.reshape(len(features), -1, MIRROR_STATES).flip(2).reshape(features.shape)
