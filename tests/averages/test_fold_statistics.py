"""Signal power, Wiener averages, folds, passes, priors and moving classes, on made-up statistics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from vitreous.averages.class2d import Class2D
from vitreous.averages.class2d.em import class_log_prior, deal, dying, move_classes, pass_size, redundant
from vitreous.averages.class2d.model import FoldSums, left_out, resolved_rings, signal_power, wiener
from vitreous.matching import Outcome, RingBasis

BASIS = RingBasis(box_px=32, radius_px=14.0, rings=10)
FOLDS, CLASSES = 8, 20


def made_up(average: torch.Tensor, seed: int = 0, power_scale: float = 1.0) -> FoldSums:
    """Statistics of folds whose images are ``average`` (K, R, Q) with noise of power sigma^2: sum C X / sigma^2."""
    rng = torch.Generator().manual_seed(seed)
    power = power_scale * (0.5 + torch.rand(FOLDS, CLASSES, BASIS.rings, generator=rng))
    shape = (FOLDS, CLASSES, BASIS.rings, BASIS.harmonics)
    noise = torch.randn(shape, generator=rng, dtype=torch.complex64) * BASIS.used
    # Power 1 on every ring, as sigma^2 in units of sigma^2: sum over harmonics of m |n|^2.
    noise = noise / (BASIS.multiplicity * BASIS.used).sum(1).sqrt()[:, None]
    members = 10 * power.mean(2)
    return FoldSums(
        signal=power[..., None] * average + power.sqrt()[..., None] * noise,
        power=power,
        members=members,
        square_members=members,
        offset_square_px2=torch.ones(FOLDS, CLASSES),
    )


def averages(power: torch.Tensor, seed: int = 5) -> torch.Tensor:
    """Random references (K, R, Q) whose power on every ring is ``power`` (R,) exactly."""
    rng = torch.Generator().manual_seed(seed)
    a = torch.randn(CLASSES, BASIS.rings, BASIS.harmonics, generator=rng, dtype=torch.complex64) * BASIS.used
    now = (a.abs().square() * BASIS.multiplicity).sum(2)
    return a * (power / now).sqrt()[..., None]


def test_signal_power_is_the_power_of_the_signal():
    true = torch.linspace(4.0, 0.5, BASIS.rings)
    found = torch.stack([signal_power(made_up(averages(true), seed), BASIS) for seed in range(20)])
    error = found.std(0) / 20**0.5
    assert ((found.mean(0) - true).abs() < 5 * error + 1e-3).all()
    assert (found.std(0) < 0.2 * true).all()


def test_pure_noise_has_no_signal_power():
    """The power of the noise in the averages is 1/8 (eight folds of power 1); what is found is its scatter."""
    nothing = torch.zeros(CLASSES, BASIS.rings, BASIS.harmonics)
    found = torch.stack([signal_power(made_up(nothing, seed), BASIS) for seed in range(20)])
    assert found.min() >= 0
    assert found.mean() < 0.01
    assert (found == 0).float().mean() > 0.3  # cross power has either sign, and is cut at zero


def test_empty_classes_do_not_count():
    true = torch.full((BASIS.rings,), 2.0)
    sums = made_up(averages(true))
    signal, power = sums.signal.clone(), sums.power.clone()
    signal[:, 3], power[:, 3] = 0, 0
    signal[1::2, 4], power[1::2, 4] = 0, 0  # nothing in one of the halves
    found = signal_power(replace(sums, signal=signal, power=power), BASIS)
    assert torch.allclose(found, true, rtol=0.2)
    nobody = replace(sums, signal=0 * signal, power=0 * power)
    assert torch.equal(signal_power(nobody, BASIS), torch.zeros(BASIS.rings))


def test_wiener_is_the_posterior_mean():
    """Least squares with a Gaussian prior: minimise sum |x_i - c_i a|^2 / s_i + |a|^2 / tau^2 over a."""
    rng = np.random.default_rng(0)
    c, s, tau2 = rng.normal(size=5), 0.5 + rng.random(5), 0.7
    x = rng.normal(size=5) + 1j * rng.normal(size=5)
    design = np.concatenate([c / np.sqrt(s), [1 / np.sqrt(tau2)]])[:, None]
    expected = np.linalg.lstsq(design, np.concatenate([x / np.sqrt(s), [0]]), rcond=None)[0][0]
    signal, power = torch.tensor([[[(c * x / s).sum()]]]), torch.tensor([[(c**2 / s).sum()]])
    assert complex(wiener(signal, power, torch.tensor([tau2]))[0, 0, 0]) == pytest.approx(expected)
    assert not wiener(signal, power, torch.tensor([0.0])).any()
    per_class = wiener(signal.repeat(2, 1, 1), power.repeat(2, 1), torch.tensor([[tau2], [0.0]]))
    assert complex(per_class[0, 0, 0]) == pytest.approx(expected)
    assert not per_class[1].any()


@pytest.mark.parametrize("fold", [0, 3, FOLDS - 1])
def test_a_fold_that_is_left_out_has_no_say(fold):
    sums = made_up(averages(torch.ones(BASIS.rings)))
    signal, power = left_out(sums, fold)
    torch.testing.assert_close(signal, sums.signal.sum(0) - sums.signal[fold], rtol=1e-4, atol=1e-4)
    changed = sums.signal.clone()
    changed[fold] = torch.nan
    again, _ = left_out(replace(sums, signal=changed), fold)
    assert torch.equal(again, signal)
    torch.testing.assert_close(power, sums.power.sum(0) - sums.power[fold], rtol=1e-4, atol=1e-4)


def test_resolution_ends_before_the_first_ring_without_signal():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    enough = 1 / sums.power.sum(0).mean(0)
    gain = torch.tensor([9, 5, 2, 1.1, 0.9, 3, 1, 1, 1, 1])
    assert resolved_rings(sums, enough * gain) == 4
    assert resolved_rings(sums, (enough * 2)[:6]) == 6
    assert resolved_rings(sums, torch.zeros(BASIS.rings)) == 0


@given(n=st.integers(2, 2000), folds=st.integers(2, 9), seed=st.integers(0, 2**31))
@examples(max_examples=50, deadline=None)
def test_particles_are_dealt_into_equal_folds_and_a_jury(n, folds, seed):
    good = np.random.default_rng(seed).permutation(3 * n)[:n]
    members = deal(np.sort(good), folds, seed)
    assert sorted(np.concatenate([*members.folds, members.jury]).tolist()) == sorted(good.tolist())
    sizes = [len(m) for m in members.folds]
    assert max(sizes) - min(sizes) <= 1
    assert min(n // 10, 250) <= len(members.jury) <= min(250, max(n // 5, n // 10))
    again = deal(good, folds, seed)
    assert all(np.array_equal(a, b) for a, b in zip(members.folds, again.folds, strict=True))


def test_folds_depend_on_the_seed():
    a, b = (deal(np.arange(100), 4, seed).folds[0].tolist() for seed in (0, 1))
    assert a != b


def test_passes_grow_to_the_whole_set():
    settings = Class2D(classes=3, subset=100)
    sizes = [pass_size(settings, 1000, i) for i in range(20)]
    assert sizes[:3] == [100, 125, 156]
    assert sizes[-1] == 1000
    assert pass_size(Class2D(classes=3), 10**6, 0) == 5000
    assert pass_size(Class2D(classes=200), 10**6, 0) == 20000
    assert pass_size(Class2D(), 300, 0) == 300


def test_class_priors_lie_halfway_to_uniform():
    members = torch.tensor([[1.0, 0.0, 5.0], [3.0, 0.0, 3.0]])
    prior = class_log_prior(members).exp()
    torch.testing.assert_close(prior, torch.tensor([8.0, 4.0, 12.0]) / 24)
    torch.testing.assert_close(class_log_prior(torch.zeros(2, 3)).exp(), torch.full((3,), 1 / 3))


def test_dying_classes_are_those_below_a_tenth_of_the_average():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    members = torch.full((FOLDS, CLASSES), 10.0)
    members[:, 7], members[:, 9] = 0.5, 1.5
    assert dying(replace(sums, members=members)) == [7]


def test_a_moved_class_shares_the_folds_of_the_largest():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    members = torch.full((FOLDS, CLASSES), 10.0)
    members[:, 7], members[:, 3] = 0.5, 30.0
    sums = replace(sums, members=members)
    moved = move_classes(sums, [7])
    # What the dying class had is given up; everything else stays, fold by fold.
    for name in sums.__dataclass_fields__:
        before, after = getattr(sums, name), getattr(moved, name)
        torch.testing.assert_close(after[:, 7] + after[:, 3], before[:, 3])
        others = [k for k in range(CLASSES) if k not in (3, 7)]
        assert torch.equal(after[:, others], before[:, others])
        assert before is not after
    assert moved.members[:, 7].sum() == moved.members[:, 3].sum() == 120
    for half in (0, 1):  # both stay visible to the cross power of even and odd folds
        assert moved.members[half::2, 7].sum() > 0
        assert moved.members[half::2, 3].sum() > 0
    for fold in range(FOLDS):
        _, power = left_out(moved, fold)
        assert (power[[3, 7]] > 0).all()


def test_more_free_classes_than_others_are_moved_as_far_as_they_go():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    free = list(range(1, CLASSES))
    moved = move_classes(sums, free)
    torch.testing.assert_close(moved.members[:, 0] + moved.members[:, 1], sums.members[:, 0])
    assert torch.equal(moved.members[:, 2:], sums.members[:, 2:])


def outcome_of(reference: np.ndarray, own: np.ndarray, following: np.ndarray) -> Outcome:
    n = len(reference)
    zero = np.zeros(n)
    return Outcome(
        reference=reference,
        psi_rad=zero,
        shift_px=np.zeros((n, 2)),
        max_probability=zero,
        class_probability=own,
        next_probability=following,
        entropy=zero,
        significant=zero,
        log_evidence=zero,
    )


def test_redundant_classes_are_those_that_another_class_replaces():
    """Two classes of one view (odds near 1) are redundant; a rare view of its own (few, but sure) is not."""
    reference = np.repeat(np.arange(20), 10)
    own, following = np.full(200, 0.99), np.full(200, 0.001)
    own[reference == 4], following[reference == 4] = 0.5, 0.49
    keep = np.flatnonzero((reference != 11) | (np.arange(200) % 10 < 8))  # class 11 has 8 members
    found = redundant(outcome_of(reference[keep], own[keep], following[keep]), 20)
    assert found == [4]
