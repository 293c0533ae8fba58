"""The same results on a CUDA device as on the processor, to within the rounding of single precision."""

import numpy as np
import pytest
import torch
from sets import settings, simulate

from vitreous.averages.class2d import class2d, prepare_run
from vitreous.matching import Alignments, Sums, accumulate_at, expect, score_table

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
N, CLASSES, RINGS = 240, 4, 11


def on(device: str):
    """(sums, outcome, table, sums at the outcome's alignments) of a search with two passes."""
    particles, _ = simulate(N, 0.5, 7)
    prepared = prepare_run(particles, settings(classes=CLASSES), device=device)
    data = prepared.data(RINGS)
    index = np.arange(N)
    start = Alignments.from_shifts(index, index % CLASSES, np.zeros(N), np.zeros((N, 2)))
    first = accumulate_at(data, start, CLASSES, data.group_power)
    plan = data.search(RINGS, 10.0)
    references = plan.references(
        first.signal / (first.power[..., None] + 1e-3),
        ctf_harmonics=data.ctf_harmonics,
        log_class_prior=torch.zeros(CLASSES, device=device),
        offset_sd_px=1.0,
    )
    sums, outcome = expect(data, index, plan, references, data.group_power)
    table = score_table(data, index, plan, references, data.group_power)
    again = accumulate_at(data, outcome.alignments(index, data.pixel_size_A), CLASSES, data.group_power)
    return sums, outcome, table, again


def assert_sums_alike(a: Sums, b: Sums) -> None:
    for name in Sums.__dataclass_fields__:
        x, y = getattr(a, name), getattr(b, name).cpu()
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3 * float(x.abs().max()))


def test_search_sums_and_table_agree_with_the_processor():
    (sums, outcome, table, again), (sums_b, outcome_b, table_b, again_b) = on("cpu"), on("cuda")
    assert sums_b.signal.is_cuda
    assert_sums_alike(sums, sums_b)
    np.testing.assert_allclose(outcome_b.log_evidence, outcome.log_evidence, atol=0.02)
    assert (outcome_b.reference == outcome.reference).mean() > 0.99  # ties within rounding may go either way
    np.testing.assert_allclose(table_b.log_posterior, table.log_posterior, atol=0.02)
    if (outcome_b.reference == outcome.reference).all():
        assert_sums_alike(again, again_b)


def test_classes_agree_with_the_processor():
    """EM amplifies rounding, so the classes agree but for a few particles."""
    particles, _ = simulate(N, 0.5, 7)
    a, b = (class2d(particles, settings(classes=CLASSES, iterations=6), device=device) for device in ("cpu", "cuda"))
    assert (a.class_number == b.class_number).mean() > 0.95
    scale = np.abs(a.averages).max()
    assert np.abs(a.averages - b.averages).mean() < 0.02 * scale
