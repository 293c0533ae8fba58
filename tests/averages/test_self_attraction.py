"""Leave-one-fold-out scoring: what it prevents (SCIENCE.md section 3), built from the public parts.

The naive way differs in one thing only: the averages that a particle is scored against hold its own fold.
"""

import numpy as np
import pytest
import torch
from sets import adjusted_rand_index, ready, settings, simulate

from vitreous.averages.class2d import class2d
from vitreous.averages.class2d.em import class_log_prior, deal
from vitreous.averages.class2d.model import FoldSums, left_out
from vitreous.matching import Alignments, accumulate_at, best, expect, plan_search
from vitreous.randomness import uniforms

REACH_A = 12.0


def references_for(sums, fold, plan, data, naive):
    signal, power = (sums.signal.sum(0), sums.power.sum(0)) if naive else left_out(sums, fold)
    rings, harmonics = plan.fine.rings, plan.fine.harmonics
    averages = signal[:, :rings, :harmonics] / power[:, :rings, None].clamp_min(1e-20)  # K-means: plain means
    return plan.references(
        averages,
        ctf_harmonics=data.ctf_harmonics,
        log_class_prior=class_log_prior(sums.members),
        offset_sd_px=2.0,
    )


def kmeans(particles, classes: int, rings: int, passes: int, naive: bool, seed: int) -> tuple:
    """K-means with alignment, fold by fold: (particles, labels, share of them that changed class in every pass)."""
    prepared, state = ready(particles, classes=classes, seed=seed)
    data, sums, members = prepared.data(rings), state.sums, folds_of(prepared)
    plan = plan_search(data.grid(rings, REACH_A), REACH_A / data.pixel_size_A)
    label, changes = np.zeros(len(particles), int), []
    for _ in range(passes):
        before = label.copy()
        for fold, index in enumerate(members):
            references = references_for(sums, fold, plan, data, naive)
            new, outcome = expect(data, index, plan, references, state.noise_power, choice=best)
            sums = with_fold(sums, fold, new)
            label[index] = outcome.reference
        changes.append(float((label != before).mean()))
    dealt = np.sort(np.concatenate(members))
    return dealt, label[dealt], changes


def folds_of(prepared) -> list[np.ndarray]:
    return deal(np.arange(len(prepared.particles)), prepared.settings.folds, prepared.settings.seed).folds


def with_fold(sums: FoldSums, fold: int, new) -> FoldSums:
    fields = {}
    for name in sums.__dataclass_fields__:
        value = getattr(sums, name).clone()
        value[fold] = 0
        one = getattr(new, name)
        value[(fold, *(slice(0, s) for s in one.shape))] = one
        fields[name] = value
    return FoldSums(**fields)


def stays(naive: bool, n: int = 160, classes: int = 16, rings: int = 10) -> float:
    """Share of pure-noise particles that return to the random class which they were put in."""
    particles, _ = simulate(n, 0, 4)
    prepared, state = ready(particles, classes=classes)
    data, members = prepared.data(rings), folds_of(prepared)
    plan = plan_search(data.grid(rings, REACH_A), REACH_A / data.pixel_size_A)
    random = uniforms(9, "test", ids=np.arange(n), count=2)
    label = (random[:, 0] * classes).astype(np.int64)
    psi = 2 * np.pi * np.floor(random[:, 1] * plan.fine.n_psi) / plan.fine.n_psi
    start = Alignments.from_shifts(np.arange(n), label, psi, np.zeros((n, 2)))
    parts = [accumulate_at(data, start.take(i), classes, state.noise_power) for i in members]
    sums = FoldSums(**{f: torch.stack([getattr(p, f) for p in parts]) for f in state.sums.__dataclass_fields__})
    found = np.zeros(n, int)
    for fold, index in enumerate(members):
        references = references_for(sums, fold, plan, data, naive)
        found[index] = expect(data, index, plan, references, state.noise_power, choice=best)[1].reference
    dealt = np.concatenate(members)
    return float((found[dealt] == label[dealt]).mean())


def test_noise_is_drawn_to_its_own_average_and_only_there():
    """Ten images per class and some 160 coefficients: an image's own noise is worth 16 nats to it."""
    chance, error = 1 / 16, (1 / 16 * 15 / 16 / 160) ** 0.5
    assert stays(naive=True) > 6 * chance
    assert stays(naive=False) == pytest.approx(chance, abs=4 * error)


@pytest.mark.slow
def test_naive_scoring_freezes_and_leaving_out_does_not():
    """Five starts at SNR 0.05, 100 particles per class.

    Naive classes freeze early near chance; the same K-means without self-attraction goes on moving and ends nearer to
    the truth; soft classes (the program) find it.
    """
    moving, agreement, seeds = {}, {}, range(5)
    particles, truth = simulate(400, 0.05, 7)
    for naive in (True, False):
        runs = [kmeans(particles, 4, 8, 10, naive, seed) for seed in seeds]
        moving[naive] = np.mean([np.mean(changes[1:4]) for _, _, changes in runs])
        agreement[naive] = np.mean([adjusted_rand_index(label, truth.label[i]) for i, label, _ in runs])
    program = [class2d(particles, settings(seed=seed)).class_number - 1 for seed in seeds]
    assert moving[True] < 0.8 * moving[False]
    assert agreement[True] < 0.3
    assert agreement[False] > agreement[True] + 0.1
    assert np.median([adjusted_rand_index(label, truth.label) for label in program]) > 0.6
