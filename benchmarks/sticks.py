"""The scoring scripts that lie beside the project: benchmark data with ground truth, and their scores.

They import nothing of the project, so every program is measured in the same way.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.child import run_child
from benchmarks.record import REPOSITORY

__all__ = [
    "DEFAULT",
    "REPORTED",
    "NotAvailable",
    "make_data",
    "make_mixture",
    "ribosomes",
    "score_accepted",
    "score_class2d",
    "stick_module",
]

DEFAULT = Path(os.path.relpath(REPOSITORY.parent / "shared" / "bench", REPOSITORY))
REPORTED = (20240701, 20240702, 20240703)  # seeds of the data that nothing was tuned on; 20240501 is the tuning seed
SCORES = ("pair_deg", "pair_fold_deg", "med_deg", "cc", "frc05_A", "frc05_median_A", "inplane_med_deg", "n_nonempty")


class NotAvailable(Exception):
    """Something that the measurement needs is not on this machine; the message says what."""


def make_data(sticks: Path, folder: Path, *, seed: int, particles: int = 5000) -> Path:
    """The 70S benchmark data of one seed in ``folder``, made once. Raises NotAvailable without the scripts."""
    script = REPOSITORY / sticks / "make_data.py"
    if not script.is_file():
        raise NotAvailable(f"the scoring scripts are not at {sticks} (make_data.py, metrics.py); give --sticks")
    if not (folder / "truth.star").is_file() or not (folder / "particles_snr0.02.star").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [sys.executable, script, folder, "--seed", str(seed), "--n", str(particles)]
        run_child(command, folder / "make_data.log")
    return folder


def ribosomes(sticks: Path, work: Path, seed: int) -> Path:
    """The 70S data of one seed, in a folder beside ``work`` that the measurements share."""
    return make_data(sticks, work.parent / "70s" / f"s{seed}", seed=seed)


def make_mixture(sticks: Path, folder: Path, **settings: Any) -> Path:
    """Particles with junk or of a few views (``mixed.py make``), made once. Raises NotAvailable without the script."""
    script = REPOSITORY / sticks / "mixed.py"
    if not script.is_file():
        raise NotAvailable(f"the scoring scripts are not at {sticks} (mixed.py); give --sticks")
    if not (folder / "truth.star").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        run_child([sys.executable, script, "make", folder, *options], folder / "make.log")
    return folder


def score_accepted(sticks: Path, data: Path, star: Path) -> dict[str, Any]:
    """Score what was accepted of a mixture (``mixed.py score``): class 0 in the file means not accepted."""
    log = star.with_name("score.log")
    script = REPOSITORY / sticks / "mixed.py"
    run_child([sys.executable, script, "score", "--truth", data / "truth.star", "--data", star], log)
    text = log.read_text()
    score = json.loads(text[text.index("{") :])
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in score.items()}


def stick_module(sticks: Path, name: str) -> ModuleType:
    """One of the scoring scripts as a module, known by its name. Raises NotAvailable where it is absent."""
    if name not in sys.modules:
        script = REPOSITORY / sticks / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, script)
        if not script.is_file() or spec is None or spec.loader is None:
            raise NotAvailable(f"the measuring stick {name}.py is not at {sticks}; give --sticks")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def score_class2d(sticks: Path, data: Path, star: Path, classes: Path) -> dict[str, Any]:
    """Score a classification against the truth (``metrics.py class2d``); its docstring explains each figure."""
    out = star.with_name("score.json")
    command: list[str | Path] = [
        *(sys.executable, REPOSITORY / sticks / "metrics.py", "class2d", "--data", star, "--classes", classes),
        *("--truth", data / "truth.star", "--vol", data / "vol_true_64.mrc", "--apix", "5", "--json", out),
    ]
    run_child(command, star.with_name("score.log"))
    score = json.loads(out.read_text())
    return {name: round(score[name], 3) for name in SCORES}
