"""The time that is left is foreseen within a factor of two from a fifth of a run on."""

from itertools import accumulate

import pytest

from vitreous.jobs.forecast_abinitio import forecast_abinitio
from vitreous.jobs.forecasts import forecast_class2d, forecast_refine

# What jobs on the simulated 70S ribosome (64 px, SNR 0.1, one thread) recorded, CPU seconds in place of seconds: rings,
# particles, share of poses that moved, nats per image, seconds.
ABINITIO = [
    (7, 896, 1.0, 2.65, 1.25), (7, 1800, 0.65, 9.21, 1.39), (8, 1800, 0.51, 16.5, 1.47), (8, 1360, 0.37, 22.6, 1.03),
    (9, 1000, 0.46, 32.9, 1.09), (9, 896, 0.49, 47.7, 1.42), (9, 896, 0.28, 62.4, 1.16), (9, 896, 0.11, 66.7, 1.11),
    (9, 896, 0.01, 68.1, 1.37), (9, 896, 0.0, 68.5, 1.54), (9, 896, 0.0, 67.8, 1.34),
]  # fmt: skip
ABINITIO_AFTER_S = 3.1
# rings, resolution (A), searched, found elsewhere, spread, seconds
REFINE = [
    (8, 40.0, 0, 0, False, 0.15), (13, 24.6, 0, 0, False, 0.33), (18, 17.8, 0, 0, False, 0.85),
    (23, 16.0, 0, 0, False, 1.13), (23, 16.0, 334, 1, False, 2.17), (23, 16.0, 0, 0, True, 1.46),
]  # fmt: skip
REFINE_AFTER_S = 3.8
# SNR 0.02, 5,000 particles.
REFINE_NOISY = [
    (8, 40.0, 0, 0, False, 0.4), (13, 24.6, 0, 0, False, 0.96), (18, 21.3, 0, 0, False, 1.67),
    (18, 21.3, 0, 0, False, 1.16), (18, 21.3, 400, 51, False, 2.45), (18, 20.0, 5000, 577, False, 17.06),
    (19, 20.0, 0, 0, False, 1.38), (19, 20.0, 0, 0, True, 4.65), (24, 20.0, 0, 0, True, 5.57),
]  # fmt: skip
REFINE_NOISY_AFTER_S = 5.0
# 5,000 particles in 50 classes: rings, resolved ones, share of particles that changed class, seconds. Pixels allow 31.
CLASS2D = [
    (5, 5, 1.0, 0.91), (5, 5, 0.48, 0.35), (5, 5, 0.76, 0.27), (5, 5, 0.41, 0.31), (6, 6, 0.35, 0.36),
    (6, 6, 0.31, 0.37), (6, 6, 0.16, 0.29), (6, 6, 0.10, 0.31), (7, 7, 0.148, 0.39), (8, 8, 0.22, 0.39),
    (8, 8, 0.154, 0.47), (8, 8, 0.07, 0.41), (9, 9, 0.07, 0.64), (10, 10, 0.06, 1.38), (11, 11, 0.05, 1.4),
    (12, 12, 0.04, 1.18), (13, 13, 0.035, 1.32), (14, 13, 0.032, 1.09), (15, 13, 0.024, 1.49),
]  # fmt: skip
CLASS2D_AFTER_S = 5.0


def of_abinitio(start):
    names = ("rings", "batch_size", "moved_fraction", "log_likelihood", "seconds")
    return [{"start": start, "pass": i + 1, **dict(zip(names, row, strict=True))} for i, row in enumerate(ABINITIO)]


def of_refine(rows):
    names = ("rings", "resolution_A", "searched", "rescued", "spread", "seconds")
    made = [{"iteration": i + 1, **dict(zip(names, row, strict=True))} for i, row in enumerate(rows)]
    return [{**row, "search_resolution_A": 320 / row["rings"], "converged": row is made[-1]} for row in made]


def ratios(infos, after_s, forecast, share=0.2):
    """Foreseen over true time left after every pass, from a share of the run on."""
    spent = list(accumulate(info["seconds"] for info in infos))
    total = spent[-1] + after_s
    return [forecast(infos[: i + 1]) / (total - s) for i, s in enumerate(spent) if s >= share * total]


def test_ab_initio_with_one_start_and_with_three():
    for starts in (1, 3):
        infos = [info for start in range(1, starts + 1) for info in of_abinitio(start)]
        found = ratios(
            infos,
            ABINITIO_AFTER_S,
            lambda done, starts=starts: forecast_abinitio(done, starts=starts, most_rings=9, particles=2000, passes=50),
        )
        assert 0.5 < min(found) < max(found) < 2.0
        mean_pass = sum(i["seconds"] for i in infos) / len(infos)
        assert mean_pass * (50 * starts - len(infos)) > 5 * ABINITIO_AFTER_S  # what was said in the end before


def test_refinement_foresees_finer_rings_and_the_last_passes():
    found = ratios(
        of_refine(REFINE),
        REFINE_AFTER_S,
        lambda done: forecast_refine(done, passes=25, most_rings=31, particles=2000),
    )
    assert 0.5 < min(found) < max(found) < 2.0


def test_refinement_of_noisy_particles_is_foreseen_once_it_is_known_that_all_look():
    """Before a sample has shown that a search helps, nobody knows of it: it takes two fifths of this run."""
    infos = of_refine(REFINE_NOISY)
    found = ratios(
        infos, REFINE_NOISY_AFTER_S, lambda done: forecast_refine(done, passes=25, most_rings=31, particles=5000), 0.15
    )
    assert len(found) == 5
    assert 0.5 < min(found) < max(found) < 2.0


def test_a_search_that_helps_is_foreseen_for_all_particles():
    """Of 400 particles, it took 1 s and brought a tenth of them elsewhere: all 4,000 will look."""
    local, sample = (18, 17.8, 0, 0, False, 2.0), (18, 17.8, 400, 40, False, 3.0)
    infos = [*of_refine([local, local]), of_refine([local, local, sample, sample])[2]]
    helped = forecast_refine(infos, passes=25, most_rings=31, particles=4000)
    in_vain = forecast_refine([*infos[:2], {**infos[2], "rescued": 1}], passes=25, most_rings=31, particles=4000)
    more = 10 + 2.0 * (2 + 2.5)  # the search, two more local passes, and one more that spreads
    assert helped - in_vain == pytest.approx(more, rel=0.01)


def of_class2d(rows):
    names = ("rings", "resolved_rings", "changed_fraction", "seconds")
    made = [
        {"iteration": i + 1, "batch_size": 4750, **dict(zip(names, row, strict=True))} for i, row in enumerate(rows)
    ]
    return [{**row, "converged": row["changed_fraction"] < 0.03} for row in made]


def test_classification_ends_long_before_the_most_passes_and_before_nyquist():
    found = ratios(
        of_class2d(CLASS2D),
        CLASS2D_AFTER_S,
        lambda done: forecast_class2d(done, passes=60, most_rings=31, particles=4750),
    )
    assert len(found) > 8
    assert 0.5 < min(found) < max(found) < 2.0


def class2d_left(rows, passes=60, most_rings=31):
    return forecast_class2d(of_class2d(rows), passes=passes, most_rings=most_rings, particles=4750)


def test_a_classification_that_has_converged_has_its_end_before_it_alone():
    """A pass takes 1 s; the end takes about four of them."""
    waits = [(14, 12, 0.05, 1.0), (14, 12, 0.04, 1.0)]
    ended = class2d_left([*waits, (14, 12, 0.02, 1.0)])
    assert ended == pytest.approx(4.0)
    assert class2d_left([*waits, (14, 12, 0.04, 1.0)]) == pytest.approx(ended + 3.0)  # it has waited for three


def test_rings_that_are_not_resolved_are_the_last_ones():
    """Two rings of which the first has not been resolved: the end is near, however many the pixels allow."""
    resolved = class2d_left([(13, 13, 0.1, 1.0)])
    assert class2d_left([(13, 12, 0.1, 1.0)]) < resolved
    assert class2d_left([(13, 12, 0.1, 1.0)], most_rings=60) == class2d_left([(13, 12, 0.1, 1.0)])
    assert class2d_left([(13, 13, 0.1, 1.0)], passes=2) == pytest.approx(1.0 + 4.0)  # no more passes than there may be


@pytest.mark.parametrize("batch", [500, 4000])
def test_more_particles_in_later_passes_are_foreseen(batch):
    info = {"iteration": 5, "rings": 12, "resolved_rings": 12, "seconds": 1.0, "batch_size": batch}
    left = forecast_class2d(
        [{**info, "changed_fraction": 0.1, "converged": False}], passes=60, most_rings=31, particles=4000
    )
    later = 4000 / batch
    assert left < 20 * later  # seven passes, and the end
    assert left > (5 if batch == 500 else 8) * later
