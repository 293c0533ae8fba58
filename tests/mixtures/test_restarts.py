"""The frame of restarts and refinement, with chains that do nothing but remember what they were asked."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from mixtures import random_mixture
from vitreous.iterate import run, state_from_arrays, state_to_arrays
from vitreous.mixtures import PosedMixture, PosedMixtures, RestartSampler, RestartsPlan, RestartsState, evaluate
from vitreous.mixtures import restarts_algorithm as algorithm_of
from vitreous.mixtures.conformations import single
from vitreous.mixtures.posterior_maps import aligned_mixture
from vitreous.rotations import random_rotations

ONE = np.eye(3)[None]
VIEWS = 7


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    seed: int
    restart: int
    rounds: np.ndarray  # (rounds,) numbers of those that it has seen
    components: int
    blocks: np.ndarray  # (blocks, 2) their numbers and those of their samples


def posed(chain: Chain) -> PosedMixtures:
    """Its own mixture in every block, in poses that agree between all restarts but the first."""
    rotations = random_rotations(VIEWS, seed=0 if chain.restart else 1).numpy()
    mixture = random_mixture(max(chain.components, 3), seed=len(chain.blocks))
    return single(PosedMixture(mixture=mixture, rotations=rotations, offsets_A=np.ones((VIEWS, 2))))


SAMPLER = RestartSampler[Chain](
    start=lambda seed, restart: Chain(
        seed=seed, restart=restart, rounds=np.zeros(0, int), components=0, blocks=np.zeros((0, 2), int)
    ),
    round=lambda chain, seed, restart, round_: replace(
        chain, restart=restart if round_ == 0 else chain.restart, rounds=np.append(chain.rounds, round_)
    ),
    rank=lambda chain: -abs(chain.restart - 4.0),
    refine_start=lambda chain, seed, components: replace(chain, components=components),
    block=lambda chain, seed, block, sample: (
        replace(chain, blocks=np.vstack([chain.blocks, [block, sample]])), -1.0 - block, {"seed": seed}
    ),
    predictor=lambda chain, seed, held_out: lambda components: np.full(held_out.sum(), -abs(components - 100.0)),
    posed=posed,
)  # fmt: skip
PLAN = RestartsPlan(
    restarts=3, attempts=2, judged_after=2, rounds=4, burn_in_blocks=2, samples=3, components=9, conformations=1,
    agreement_deg=10.0, group=ONE, centres_A=np.full((VIEWS, 2), 2.0), map_box_px=12, map_pixel_size_A=8.0,
)  # fmt: skip


def test_rounds_and_blocks_come_in_order_and_the_best_attempts_go_on():
    messages, states = [], []
    result, last = run(algorithm_of(SAMPLER, PLAN, threads=2), seed=8, on_step=messages.append, save=states.append)
    assert [len(state.restarts) for state in states] == [6, 6, 3, 3, 3, 3, 3, 3, 3, 3]
    assert [chain.restart for chain in last.restarts] == [1, 3, 4]  # of the pairs 0 1, 2 3, 4 5
    assert all(chain.rounds.tolist() == [0, 1, 2, 3] for chain in last.restarts)
    assert messages[0]["log_posteriors"] == messages[3]["log_posteriors"] == [-3.0, -1.0, 0.0]
    assert last.refined.restart == 4
    assert last.refined.components == 9
    assert last.refined.blocks.tolist() == [[0, -2], [1, -1], [2, 0], [3, 1], [4, 2]]
    assert {state.seed for state in states} == {8}
    assert [m["seed"] for m in messages[4:]] == [8] * 5
    assert (result.best, result.scores.tolist(), result.score) == (2, [-3.0, -1.0, 0.0], "log posterior")
    assert result.restarts_agreeing == 3
    assert result.poses_kept.fraction == 1.0
    assert (result.origins_A == -3.0).all()


def test_the_result_is_the_mean_of_the_samples_alone():
    states = []
    algorithm = algorithm_of(SAMPLER, PLAN, threads=1)
    result, last = run(algorithm, seed=0, save=states.append)
    samples = [posed(state.refined) for state in states[-3:]]
    assert last.sums[0].samples == 3
    assert np.array_equal(last.reference.rotations, samples[0].rotations)
    shown_all = [aligned_mixture(sample.part(0), samples[0].part(0), ONE) for sample in samples]
    densities = np.stack([evaluate(mixture, 12, 8.0) for mixture in shown_all])
    assert np.allclose(result.mean.data, densities.mean(0), rtol=1e-4, atol=1e-12)
    assert np.allclose(result.variance.data, densities.var(0, ddof=1), rtol=1e-3, atol=1e-14)
    assert np.array_equal(result.mixture.means_A, shown_all[-1].means_A)
    with pytest.raises(ValueError, match="has not come to the samples"):
        algorithm.finalise(states[5])


def test_the_number_of_components_is_chosen_once():
    messages = []
    _, last = run(algorithm_of(SAMPLER, replace(PLAN, components="auto"), threads=2), seed=0, on_step=messages.append)
    assert last.refined.components == last.choice.chosen == 100
    assert ["components" in m for m in messages] == [False] * 4 + [True] + [False] * 4


def test_a_checkpoint_of_other_chains_is_refused():
    _, last = run(algorithm_of(SAMPLER, PLAN, threads=1), seed=0)
    arrays = state_to_arrays(last)
    assert state_from_arrays(RestartsState[Chain], arrays).refined.restart == 4
    with pytest.raises(ValueError, match="holds a Chain"):
        state_from_arrays(RestartsState[PosedMixtures], arrays)
