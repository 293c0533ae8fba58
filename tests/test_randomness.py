"""Random numbers depend on seed, purpose and id, and on nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vitreous.randomness import generator, normal_images, torch_generator, uniforms


@given(st.integers(), st.lists(st.text() | st.integers(), max_size=3), st.none() | st.integers(0, 10**12))
def test_the_same_key_gives_the_same_numbers(seed, purpose, index):
    a = generator(seed, *purpose, index=index).integers(0, 2**63, 4)
    b = generator(seed, *purpose, index=index).integers(0, 2**63, 4)
    assert (a == b).all()


@pytest.mark.parametrize("make", [lambda *k, **i: generator(*k, **i).random(), None], ids=["numpy", "torch"])
def test_different_keys_give_different_numbers(make):
    draw = make or (lambda *k, **i: torch.rand(1, generator=torch_generator(*k, **i)).item())
    keys = [(1, "a"), (2, "a"), (1, "b"), (1, "a", "b"), (1, "ab"), (1, "a", 1), (1, "a", "1")]
    values = [draw(*key) for key in keys] + [draw(1, "a", index=i) for i in (0, 1)]
    assert len(set(values)) == len(values)


def test_a_row_does_not_depend_on_its_batch():
    ids = np.arange(1000)
    together = uniforms(7, "halves", ids=ids, count=3)
    shuffled = np.random.default_rng(0).permutation(ids)
    assert (uniforms(7, "halves", ids=shuffled, count=3) == together[shuffled]).all()
    assert (uniforms(7, "halves", ids=ids, count=5)[:, :3] == together).all()


def test_uniforms_are_uniform_and_uncorrelated():
    u = uniforms(3, "test", ids=np.arange(20000), count=2)
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u[:, 0], "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(u[:, 0], u[:, 1])[0, 1]) < 0.03
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.03


def test_noise_images_belong_to_their_ids():
    ids = np.arange(40)
    noise = normal_images(1, "noise", ids=ids, box_px=32)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert np.array_equal(noise[7:9], normal_images(1, "noise", ids=ids[7:9], box_px=32))
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.03
    assert not np.array_equal(noise, normal_images(2, "noise", ids=ids, box_px=32))
