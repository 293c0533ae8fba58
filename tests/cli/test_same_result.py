"""The same input and settings give the same files, whatever the threads and the memory."""

import pytest

WRITTEN = {
    "class2d": (("--K", 4, "--iter", 4), ("run_data.star", "run_classes.mrcs")),
    "denoise": ((), ("denoised.mrcs",)),
    "neighbours": (("--runs", 1, "--averages", 20), ("averages.mrcs", "neighbours.star")),
    "deconvolve": ((), ("deconvolved.mrcs",)),
}


@pytest.mark.parametrize("job", WRITTEN)
def test_threads_and_memory_do_not_change_a_bit(vitreous, simulated, classified, tmp_path, job):
    options, files = WRITTEN[job]
    source = classified / "run_data.star" if job == "deconvolve" else simulated / "particles.star"
    found = []
    for number, (threads, memory) in enumerate(((1, "4G"), (3, "4G"), (2, "1M"))):
        folder = tmp_path / str(number)
        running = ("--threads", threads, "--memory", memory)
        assert vitreous(job, source, "-o", folder, *options, *running).code == 0
        found.append([(folder / name).read_bytes() for name in files])
    assert found[0] == found[1], "threads"
    assert found[0] == found[2], "memory"
