"""Leave-one-fold-out scoring: what it prevents (SCIENCE.md section 3), built from the public parts.

The naive way differs in one thing only: the averages that a particle is scored against hold its own fold.
"""

import numpy as np
import pytest
from sets import adjusted_rand_index, ready, settings, simulate

from vitreous.averages.class2d import class2d
from vitreous.averages.class2d.em import class_log_prior
from vitreous.matching import Alignments, accumulate_at, best, deal, expect, left_out, stacked, total, visit
from vitreous.randomness import uniforms

REACH_A = 12.0


def whole(parts, fold):
    """The naive way: the averages that a particle is scored against hold its own fold."""
    return total(parts)


def nearest_average(data, plan, noise_power):
    """The match of K-means: plain means as references, all weight on the best hypothesis."""
    rings, harmonics = plan.fine.rings, plan.fine.harmonics

    def match(others, parts, index):
        means = others.signal[:, :rings, :harmonics] / others.power[:, :rings, None].clamp_min(1e-20)
        prior = class_log_prior(stacked(parts, "members"))
        references = plan.references(means, ctf_harmonics=data.ctf_harmonics, log_class_prior=prior, offset_sd_px=2.0)
        return expect(data, index, plan, references, noise_power, choice=best)

    return match


def kmeans(particles, classes: int, rings: int, passes: int, against, seed: int) -> tuple:
    """K-means with alignment: (particles, labels, share of them that changed class in every pass)."""
    prepared, state = ready(particles, classes=classes, seed=seed)
    data, parts, folds = prepared.data(rings), state.parts, prepared.dealt(prepared.data(rings), seed).folds
    match = nearest_average(data, data.search(rings, REACH_A), state.noise_power)
    label, changes = np.zeros(len(particles), int), []
    for _ in range(passes):
        parts, index, outcome = visit(folds, parts, match, against=against)
        changes.append(float((label[index] != outcome.reference).mean()))
        label[index] = outcome.reference
    return np.sort(index), label[np.sort(index)], changes


def stays(against, n: int = 160, classes: int = 16, rings: int = 10) -> float:
    """Share of pure-noise particles that return to the random class which they were put in."""
    particles, _ = simulate(n, 0, 4)
    prepared, state = ready(particles, classes=classes)
    data, folds = prepared.data(rings), deal(np.arange(n), 8, 1).folds
    plan = data.search(rings, REACH_A)
    random = uniforms(9, "test", ids=np.arange(n), count=2)
    label = (random[:, 0] * classes).astype(np.int64)
    psi = 2 * np.pi * np.floor(random[:, 1] * plan.fine.n_psi) / plan.fine.n_psi
    start = Alignments.from_shifts(np.arange(n), label, psi, np.zeros((n, 2)))
    parts = tuple(accumulate_at(data, start.take(i), classes, state.noise_power) for i in folds)
    _, index, outcome = visit(folds, parts, nearest_average(data, plan, state.noise_power), against=against)
    return float((outcome.reference == label[index]).mean())


def test_noise_is_drawn_to_its_own_average_and_only_there():
    """Ten images per class and some 160 coefficients: an image's own noise is worth 16 nats to it."""
    chance, error = 1 / 16, (1 / 16 * 15 / 16 / 160) ** 0.5
    assert stays(whole) > 6 * chance
    assert stays(left_out) == pytest.approx(chance, abs=4 * error)


@pytest.mark.slow
def test_naive_scoring_freezes_and_leaving_out_does_not():
    """Five starts at SNR 0.05, 100 particles per class.

    Naive classes freeze early near chance; the same K-means without self-attraction goes on moving and ends nearer to
    the truth; soft classes (the program) find it.
    """
    moving, agreement, seeds = {}, {}, range(5)
    particles, truth = simulate(400, 0.05, 7)
    for naive, against in ((True, whole), (False, left_out)):
        runs = [kmeans(particles, 4, 8, 10, against, seed) for seed in seeds]
        moving[naive] = np.mean([np.mean(changes[1:4]) for _, _, changes in runs])
        agreement[naive] = np.mean([adjusted_rand_index(label, truth.label[i]) for i, label, _ in runs])
    program = [class2d(particles, settings(seed=seed)).class_number - 1 for seed in seeds]
    assert moving[True] < 0.8 * moving[False]
    assert agreement[True] < 0.3
    assert agreement[False] > agreement[True] + 0.1
    assert np.median([adjusted_rand_index(label, truth.label) for label in program]) > 0.6
