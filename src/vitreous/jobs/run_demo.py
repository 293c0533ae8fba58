"""The ``demo`` job: simulate, classify, compare with the truth."""

from dataclasses import asdict
from pathlib import Path

from vitreous.averages.class2d import Class2D
from vitreous.jobs.run_class2d import run_class2d
from vitreous.jobs.run_options import RunOptions, tell
from vitreous.jobs.run_simulate import run_simulate
from vitreous.jobs.run_truth import Truth, compare_with_truth
from vitreous.simulate import SimulateSettings

__all__ = ["run_demo"]


def run_demo(
    output: str | Path,
    *,
    particles: int = 3000,
    classes: int = 30,
    seed: int = 0,
    options: RunOptions | None = None,
    command: str = "vitreous.run_demo",
) -> Truth:
    """Simulate particles into ``output/simulated``, classify them into ``output/class2d``, and score the result.

    The particles: a ribosome-like phantom in random views, 64 x 64 pixels of 5 A, SNR 0.1 (see
    :class:`vitreous.simulate.SimulateSettings`), 7 defocus groups, shifts within 2 pixels.
    """
    options = options or RunOptions()
    simulated, classified = Path(output) / "simulated", Path(output) / "class2d"
    star = run_simulate(simulated, SimulateSettings(particles=particles, seed=seed), options, command=command)
    report = run_class2d(star, classified, Class2D(classes=classes, seed=seed), options, command=command)
    truth = compare_with_truth(classified, simulated)
    text = "\n".join(["", "against the truth:", *(f"  {line}" for line in truth.lines()), "", f"open {report}"])
    tell(options, text, "truth", {**asdict(truth), "report": str(report)})
    return truth
