"""Signal power, Wiener averages, folds, passes, priors and moving classes, on made-up statistics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from vitreous.averages.class2d import Class2D
from vitreous.averages.class2d.em import class_log_prior, first_pass_size
from vitreous.averages.class2d.moves import dying, move_classes, redundant
from vitreous.matching import (
    Outcome,
    RingBasis,
    Sums,
    deal,
    held_out_size,
    left_out,
    own_half,
    pass_size,
    replaced,
    resolved_rings,
    signal_power,
    stacked,
    total,
    wiener,
)

BASIS = RingBasis(box_px=32, radius_px=14.0, rings=10)
FOLDS, CLASSES = 8, 20


def made_up(average: torch.Tensor, seed: int = 0, power_scale: float = 1.0) -> tuple[Sums, ...]:
    """Statistics of folds whose images are ``average`` (K, R, Q) with noise of power sigma^2: sum C X / sigma^2."""
    rng = torch.Generator().manual_seed(seed)
    power = power_scale * (0.5 + torch.rand(FOLDS, CLASSES, BASIS.rings, generator=rng))
    shape = (FOLDS, CLASSES, BASIS.rings, BASIS.harmonics)
    noise = torch.randn(shape, generator=rng, dtype=torch.complex64) * BASIS.used
    # Power 1 on every ring, as sigma^2 in units of sigma^2: sum over harmonics of m |n|^2.
    noise = noise / (BASIS.multiplicity * BASIS.used).sum(1).sqrt()[:, None]
    members = 10 * power.mean(2)
    signal = power[..., None] * average + power.sqrt()[..., None] * noise
    return tuple(
        Sums(
            signal=signal[f],
            power=power[f],
            members=members[f],
            square_members=members[f],
            offset_square_px2=torch.ones(CLASSES),
        )
        for f in range(FOLDS)
    )


def changed(parts: tuple[Sums, ...], **statistics: torch.Tensor) -> tuple[Sums, ...]:
    """With some statistics exchanged, each (F, K, ...)."""
    return tuple(replace(part, **{k: v[f] for k, v in statistics.items()}) for f, part in enumerate(parts))


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
    signal, power = stacked(sums, "signal"), stacked(sums, "power")
    signal[:, 3], power[:, 3] = 0, 0
    signal[1::2, 4], power[1::2, 4] = 0, 0  # nothing in one of the halves
    found = signal_power(changed(sums, signal=signal, power=power), BASIS)
    assert torch.allclose(found, true, rtol=0.2)
    nobody = changed(sums, signal=0 * signal, power=0 * power)
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
    signal, power = stacked(sums, "signal"), stacked(sums, "power")
    others = left_out(sums, fold)
    torch.testing.assert_close(others.signal, signal.sum(0) - signal[fold], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(others.power, power.sum(0) - power[fold], rtol=1e-4, atol=1e-4)
    signal[fold] = torch.nan
    assert torch.equal(left_out(changed(sums, signal=signal), fold).signal, others.signal)


def test_no_fold_that_is_left_out_is_all_of_them():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    for against in (left_out, own_half):
        assert torch.equal(against(sums, None).signal, total(sums).signal)


@pytest.mark.parametrize("fold", [0, 3, FOLDS - 1])
def test_the_other_half_and_the_fold_itself_have_no_say_in_the_own_half(fold):
    """Gold standard: even and odd folds never meet."""
    sums = made_up(averages(torch.ones(BASIS.rings)))
    signal = stacked(sums, "signal")
    mine = [f for f in range(FOLDS) if f % 2 == fold % 2 and f != fold]
    others = own_half(sums, fold)
    torch.testing.assert_close(others.signal, signal[mine].sum(0))
    signal[fold], signal[(fold + 1) % 2 :: 2] = torch.nan, torch.nan
    assert torch.equal(own_half(changed(sums, signal=signal), fold).signal, others.signal)


def test_new_statistics_of_fewer_rings_find_room_and_leave_the_old_value_alone():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    rings, harmonics = 4, 7
    new = replace(
        sums[2], signal=sums[5].signal[:, :rings, :harmonics], power=sums[5].power[:, :rings], members=sums[5].members
    )
    after = replaced(sums, 2, new)
    assert after[2].signal.shape == sums[2].signal.shape
    assert torch.equal(after[2].signal[:, :rings, :harmonics], new.signal)
    assert not after[2].signal[:, rings:].any()
    assert not after[2].power[:, rings:].any()
    assert sums[2].signal[:, rings:].any()
    assert all(after[f] is sums[f] for f in range(FOLDS) if f != 2)


def test_resolution_ends_before_the_first_ring_without_signal():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    enough = 1 / total(sums).power.mean(0)
    gain = torch.tensor([9, 5, 2, 1.1, 0.9, 3, 1, 1, 1, 1])
    assert resolved_rings(sums, enough * gain) == 4
    assert resolved_rings(sums, (enough * 2)[:6]) == 6
    assert resolved_rings(sums, torch.zeros(BASIS.rings)) == 0


@given(n=st.integers(2, 2000), folds=st.integers(2, 9), seed=st.integers(0, 2**31))
@examples(max_examples=50, deadline=None)
def test_particles_are_dealt_into_equal_folds_and_those_held_out(n, folds, seed):
    good = np.random.default_rng(seed).permutation(3 * n)[:n]
    dealt = deal(np.sort(good), folds, seed, held_out=held_out_size(n))
    assert sorted(np.concatenate([*dealt.folds, dealt.held_out]).tolist()) == sorted(good.tolist())
    sizes = [len(m) for m in dealt.folds]
    assert max(sizes) - min(sizes) <= 1
    assert min(n // 10, 250) <= len(dealt.held_out) <= min(250, max(n // 5, n // 10))
    assert [fold for fold, _ in dealt.groups] == [*range(folds), None]
    again = deal(good, folds, seed, held_out=held_out_size(n))
    assert all(np.array_equal(a, b) for a, b in zip(dealt.folds, again.folds, strict=True))


def test_folds_depend_on_the_seed():
    a, b = (deal(np.arange(100), 4, seed).folds[0].tolist() for seed in (0, 1))
    assert a != b


def test_passes_grow_to_the_whole_set():
    sizes = [pass_size(100, 1000, i) for i in range(20)]
    assert sizes[:3] == [100, 125, 156]
    assert sizes[-1] == 1000
    assert pass_size(5000, 300, 0) == 300
    assert first_pass_size(Class2D(classes=3, subset=100)) == 100
    assert first_pass_size(Class2D(classes=3)) == 5000
    assert first_pass_size(Class2D(classes=200)) == 20000


def test_class_priors_lie_halfway_to_uniform():
    members = torch.tensor([[1.0, 0.0, 5.0], [3.0, 0.0, 3.0]])
    prior = class_log_prior(members).exp()
    torch.testing.assert_close(prior, torch.tensor([8.0, 4.0, 12.0]) / 24)
    torch.testing.assert_close(class_log_prior(torch.zeros(2, 3)).exp(), torch.full((3,), 1 / 3))


def test_dying_classes_are_those_below_a_tenth_of_the_average():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    members = torch.full((FOLDS, CLASSES), 10.0)
    members[:, 7], members[:, 9] = 0.5, 1.5
    assert dying(changed(sums, members=members)) == [7]


def test_a_moved_class_shares_the_folds_of_the_largest():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    members = torch.full((FOLDS, CLASSES), 10.0)
    members[:, 7], members[:, 3] = 0.5, 30.0
    sums = changed(sums, members=members)
    moved = move_classes(sums, [7])
    # What the dying class had is given up; everything else stays, fold by fold.
    for name in sums[0].__dataclass_fields__:
        before, after = stacked(sums, name), stacked(moved, name)
        torch.testing.assert_close(after[:, 7] + after[:, 3], before[:, 3])
        others = [k for k in range(CLASSES) if k not in (3, 7)]
        assert torch.equal(after[:, others], before[:, others])
    counts = stacked(moved, "members")
    assert counts[:, 7].sum() == counts[:, 3].sum() == 120
    assert (stacked(sums, "members")[:, 3] == 30).all()  # the old value is as it was
    for half in (0, 1):  # both stay visible to the cross power of even and odd folds
        assert counts[half::2, 7].sum() > 0
        assert counts[half::2, 3].sum() > 0
    for fold in range(FOLDS):
        assert (left_out(moved, fold).power[[3, 7]] > 0).all()


def test_more_free_classes_than_others_are_moved_as_far_as_they_go():
    sums = made_up(averages(torch.ones(BASIS.rings)))
    free = list(range(1, CLASSES))
    before, moved = stacked(sums, "members"), stacked(move_classes(sums, free), "members")
    torch.testing.assert_close(moved[:, 0] + moved[:, 1], before[:, 0])
    assert torch.equal(moved[:, 2:], before[:, 2:])


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
        contenders=np.zeros((n, 0), np.uint8),
    )


def test_redundant_classes_are_those_that_another_class_replaces():
    """Two classes of one view (odds near 1) are redundant; a rare view of its own (few, but sure) is not."""
    reference = np.repeat(np.arange(20), 10)
    own, following = np.full(200, 0.99), np.full(200, 0.001)
    own[reference == 4], following[reference == 4] = 0.5, 0.49
    keep = np.flatnonzero((reference != 11) | (np.arange(200) % 10 < 8))  # class 11 has 8 members
    found = redundant(outcome_of(reference[keep], own[keep], following[keep]), 20)
    assert found == [4]
