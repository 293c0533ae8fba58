"""Mixtures fitted to maps simulated from models: RNA polymerase II, GroEL and the large ribosomal subunit at 15 A.

The maps are those of Joubert's thesis (2016), sections 3.1.1 and 3.1.2: every atom a Gaussian of sigma = 15 A / (pi
sqrt 2), 2 A voxels, 500, 1000 and 1000 components. The correlation is his, without removing means: with the map that
was fitted, and with the map of lower resolution (20, 20, 25 A) that his printed figures are about; a perfect fit has
that of the 15 A map with it. Polymerase is 1WCM without subunits 4 and 7 (chains D and G), which stands in for 1I3Q;
GroEL is 1OEL; the large subunit, which stands in for 1VOR, is the part of the 70S model (parts begin with HEADER in
that file) that has the most nucleotides: 23S and 5S RNA with the L proteins, without tRNA, mRNA and factors. Times are
CPU seconds of one thread without the making of the map; Gibbs sampling with its default number of steps.
"""

import argparse
import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table
from vitreous.iterate import run
from vitreous.jobs.history import append_history, rewind_history
from vitreous.jobs.results.chains import mixture_chain
from vitreous.mixtures import (
    MixtureFit,
    MixtureSampling,
    evaluate,
    fit_algorithm,
    grid_fit_data,
    sampling_algorithm,
)
from vitreous.particles import Volume
from vitreous.simulate import Atoms, read_atoms, volume_from_atoms

PIXEL_A, FITTED_A = 2.0, 15.0
MARGIN_A = 20.0  # about the atoms, on every side


@dataclass(frozen=True, kw_only=True)
class Case:
    """A structure and what the thesis prints about it."""

    name: str
    file: str
    read: Callable[[Path, Path], Atoms]  # file, folder for its parts
    components: int
    lower_A: float
    printed: float


def without_stalk(path: Path, _: Path) -> Atoms:
    """RNA polymerase II without subunits 4 and 7."""
    return read_atoms(path, exclude_chains=("D", "G"))


def whole(path: Path, _: Path) -> Atoms:
    """All atoms."""
    return read_atoms(path)


def large_subunit(path: Path, work: Path) -> Atoms:
    """The part with the most phosphorus atoms, one per nucleotide."""
    with gzip.open(path, "rt") as file:
        parts = file.read().split("\nHEADER")
    most = max(parts, key=lambda part: sum(line[12:16] == " P  " for line in part.splitlines()))
    work.mkdir(parents=True, exist_ok=True)
    (work / "large_subunit.pdb").write_text(f"HEADER{most}\nEND\n")
    return read_atoms(work / "large_subunit.pdb")


CASES = (
    Case(name="Pol II", file="1wcm.pdb.gz", read=without_stalk, components=500, lower_A=20.0, printed=0.9786),
    Case(name="GroEL", file="1oel.pdb.gz", read=whole, components=1000, lower_A=20.0, printed=0.989),
    Case(
        name="50S",
        file="ribosome70S_variant0.pdb.gz",
        read=large_subunit,
        components=1000,
        lower_A=25.0,
        printed=0.9904,
    ),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--models", type=Path, default=REPOSITORY.parent / "shared" / "data" / "models")
    parser.add_argument("--counts", type=float, default=MixtureFit().counts, help="of EM")
    parser.add_argument("--sampling-counts", type=float, default=MixtureSampling().counts, help="of Gibbs sampling")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per structure and method."""
    rows = []
    for case in (case for case in CASES if case.name in options.cases):
        path = options.models / case.file
        if not path.is_file():
            raise NotAvailable(f"{case.file} is not in {options.models.name}; give --models")
        atoms = case.read(path, work)
        fitted, lower = (_map(atoms, resolution) for resolution in (FITTED_A, case.lower_A))
        for method in (_by_em, _by_gibbs):
            start = time.process_time()
            density, figures = method(fitted, case.components, options, work / f"{case.name}")
            row = {
                **{"structure": case.name, "components": case.components, "box_px": len(fitted.data)},
                **{"atoms": len(atoms.weights), "printed": case.printed, "lower_A": case.lower_A, **figures},
                "correlation_fitted": _correlation(density, fitted.data),
                "correlation_lower": _correlation(density, lower.data),
                "correlation_maps": _correlation(fitted.data, lower.data),
                "cpu_s": round(time.process_time() - start, 1),
            }
            rows.append(row)
            print(row, flush=True)
    return {"counts": options.counts, "sampling_counts": options.sampling_counts, "rows": rows}


def table(figures: dict[str, Any]) -> str:
    """Every fit."""
    header = (
        *("structure", "method", "K", "box", "CC with the 15 A map", "CC with the lower map"),
        *("of the 15 A map with it", "printed"),
        *("sigma (A)", "steps", "independent samples", "CPU s"),
    )
    rows = [
        (
            *(r["structure"], r["method"], r["components"], r["box_px"], r["correlation_fitted"]),
            *(f"{r['correlation_lower']:.4f} ({r['lower_A']:g} A)", r["correlation_maps"], r["printed"]),
            *(r["sigma_A"], r["steps"], r["independent_samples"], r["cpu_s"]),
        )
        for r in figures["rows"]
    ]
    counts = f"{figures['counts']:,.0f} counts for EM, {figures['sampling_counts']:,.0f} for Gibbs sampling"
    return f"{counts}; one thread.\n\n{markdown_table(header, rows)}"


def _map(atoms: Atoms, resolution_A: float) -> Volume:
    centred = atoms.positions_A - np.average(atoms.positions_A, axis=0, weights=atoms.weights)
    box = 2 * int(np.ceil((np.abs(centred).max() + MARGIN_A) / PIXEL_A))
    return Volume(data=volume_from_atoms(atoms, box, PIXEL_A, resolution_A).numpy(), pixel_size_A=PIXEL_A)


def _by_em(target: Volume, components: int, options: argparse.Namespace, _: Path) -> tuple[np.ndarray, dict[str, Any]]:
    settings = MixtureFit(components=components, counts=options.counts, seed=options.seed)
    mixture, last = run(fit_algorithm(grid_fit_data(target, settings.counts), settings), seed=settings.seed)
    density = evaluate(mixture, target.data.shape, target.pixel_size_A)
    found = {"method": "EM", "steps": last.iteration, "sigma_A": round(mixture.sigma_A, 2), "independent_samples": None}
    return density, found


def _by_gibbs(
    target: Volume, components: int, options: argparse.Namespace, work: Path
) -> tuple[np.ndarray, dict[str, Any]]:
    """Posterior mean."""
    settings = MixtureSampling(components=components, counts=options.sampling_counts, seed=options.seed)
    data = grid_fit_data(target, settings.counts)
    work.mkdir(parents=True, exist_ok=True)
    rewind_history(work, -1)
    result, _ = run(
        sampling_algorithm(data, settings, shape=target.data.shape, pixel_size_A=target.pixel_size_A),
        seed=settings.seed,
        on_step=lambda info: append_history(work, info),
    )
    chain = mixture_chain(work)
    return result.mean, {
        "method": "Gibbs, posterior mean",
        "steps": settings.start_steps + settings.burn_in_steps + settings.samples * settings.steps_between,
        "sigma_A": round(result.mixture.sigma_A, 2),
        "independent_samples": round(chain["log posterior"].ess),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """<a, b> / |a||b| (equation 3.3)."""
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return round(float(x @ y / np.sqrt((x @ x) * (y @ y))), 4)
