"""``docs/performance.md`` from the records: the only way in which a figure gets there."""

from collections.abc import Mapping
from types import ModuleType

from benchmarks.record import Record

__all__ = ["performance_page", "section"]

HEAD = """# Performance

This page is generated: every figure was measured by `python -m benchmarks NAME` and written here by
`python -m benchmarks tables`. Quality and cost are never quoted from memory; what was not measured has no figure.

To measure again (from the repository, after `make test` has made the environment):

```
make bench                               # the list of measurements, then all quick ones
python -m benchmarks class2d-quality     # one of them; --help lists its options
python -m benchmarks tables              # keep what was measured in docs/measurements, rewrite this page
```

Measurements that need the benchmark data, the real particles, RELION or ASPIRE say so and are skipped where these are
not. CPU time, wall time and peak memory are those of the whole process (`getrusage`), start and report included.
"""


def performance_page(records: Mapping[str, Record], modules: Mapping[str, ModuleType]) -> str:
    """The page: one section per measurement, with its table or the command that makes it."""
    return "\n".join([HEAD, *(section(name, module, records.get(name)) for name, module in modules.items())])


def section(name: str, module: ModuleType, record: Record | None) -> str:
    """What a measurement is, its table, and how it was made; or the command that would make it."""
    what = (module.__doc__ or "").strip()
    text = f"## {name}\n\n{what}\n"
    if record is None:
        return f"{text}\nNot measured yet: `python -m benchmarks {name}`.\n"
    return f"{text}\n{module.table(record.figures)}\n\n{_provenance(record)}\n"


def _provenance(record: Record) -> str:
    machine, versions = record.machine, record.versions
    return (
        f"`{record.command}`, {record.date}, commit {record.commit}; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_GB']} GB, {machine['system']}; Python {versions['python']}, PyTorch {versions['torch']}, "
        f"NumPy {versions['numpy']}."
    )
