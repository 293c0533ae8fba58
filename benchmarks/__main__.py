"""``python -m benchmarks [NAME] [options]``: run one measurement, or list them all and run the quick ones.

Every measurement writes ``bench-out/NAME.json``; ``python -m benchmarks tables`` copies the records that lie there to
``docs/measurements`` and writes ``docs/performance.md`` and ``docs/reliability.md`` from all that are kept.
"""

import argparse
import importlib
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

from benchmarks.performance import performance_page
from benchmarks.record import REPOSITORY, new_record, read_records, write_record
from benchmarks.reliability import RELIABILITY, reliability_page
from benchmarks.sticks import NotAvailable

MEASUREMENTS = {  # name -> whether it is quick (a few minutes on two cores)
    "gemm": True,
    "pruning": True,
    "assignment": True,
    "noise": True,
    "real": True,
    "alignment": True,
    "select": False,
    "msa": False,
    "conformations": False,
    "neighbours": False,
    "denoise": False,
    "neighbours-scaling": False,
    "half-maps": True,
    "gibbs-step": True,
    "initial-models": False,
    "initial-real": False,
    "initial-methods": False,
    "branch-and-bound": False,
    "abinitio": False,
    "point-groups": False,
    "known-poses": False,
    "reconstruct": False,
    "refine": False,
    "relion-3d": False,
    "fine-maps": False,
    "class3d": False,
    "complexity3d": False,
    "isac": False,
    "class2d-quality": False,
    "class2d-choice": False,
    "perfect-classes": False,
    "relion-peer": False,
    "scaling": False,
    "processes": False,
    "collapse": False,
    "mra-collapse": False,
    "components": False,
    "mixture-fit": False,
    "ctf": True,
    "picking": False,
    "round": False,
}
OUT = REPOSITORY / "bench-out"
RECORDS = REPOSITORY / "docs" / "measurements"


def module_of(name: str) -> ModuleType:
    """Its module: ``add_options(parser)``, ``measure(options, work) -> figures``, ``table(figures) -> Markdown``."""
    return importlib.import_module(f"benchmarks.{name.replace('-', '_')}")


def summary_of(name: str) -> str:
    """The first line of its docstring."""
    return (module_of(name).__doc__ or "").splitlines()[0]


def run_one(name: str, arguments: list[str]) -> int:
    """Run a measurement and write its record; 0, or 3 when something that it needs is missing."""
    module = module_of(name)
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=summary_of(name))
    module.add_options(parser)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    try:
        figures = module.measure(options, OUT / name)
    except NotAvailable as missing:
        print(f"{name}: skipped: {missing}")
        return 3
    record = new_record(name, arguments, figures, time.perf_counter() - start)
    path = write_record(OUT, record)
    print(f"\n{module.table(figures)}\n\n{path.relative_to(REPOSITORY)}")
    return 0


def page_of(records: Path) -> str:
    """``docs/performance.md`` from a folder of records."""
    return performance_page(read_records(records), {name: module_of(name) for name in MEASUREMENTS})


def reliability_of(records: Path) -> str:
    """``docs/reliability.md`` from a folder of records."""
    return reliability_page(read_records(records), {name: module_of(name) for name in RELIABILITY})


def write_tables() -> int:
    """Keep the records in ``bench-out`` and write the page from all that are kept."""
    for record in read_records(OUT).values():
        print(write_record(RECORDS, record).relative_to(REPOSITORY))
    for name, page in (("performance", page_of(RECORDS)), ("reliability", reliability_of(RECORDS))):
        path = REPOSITORY / "docs" / f"{name}.md"
        path.write_text(page)
        print(path.relative_to(REPOSITORY))
    return 0


def run_quick() -> int:
    """List all measurements and run the quick ones, each in a process of its own."""
    for name, quick in (MEASUREMENTS | dict.fromkeys(RELIABILITY, False)).items():
        print(f"{name:16} {'quick' if quick else 'long ':5}  {summary_of(name)}")
    print(flush=True)
    commands = [[sys.executable, "-m", "benchmarks", name] for name, quick in MEASUREMENTS.items() if quick]
    statuses = [subprocess.run(command, cwd=REPOSITORY, check=False).returncode for command in commands]
    return int(any(status not in (0, 3) for status in statuses))


def main(arguments: list[str]) -> int:
    """Dispatch."""
    names = f"one of {', '.join((*MEASUREMENTS, *RELIABILITY))}, tables"
    if not arguments:
        return run_quick()
    if arguments[0] == "tables":
        return write_tables()
    if arguments[0] in (*MEASUREMENTS, *RELIABILITY):
        return run_one(arguments[0], arguments[1:])
    print(__doc__ if arguments[0] in ("-h", "--help") else f"no measurement {arguments[0]}; {names}")
    return int(arguments[0] not in ("-h", "--help"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
