"""Tables from the records of measurements (``docs/measurements``): what things cost, and all of it in short."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.record import Record, read_records
from benchmarks.tables import markdown_table

__all__ = ["TABLES"]

BOX_OF_REFINE = 64  # pixels, of its record, which has one size
RECORDS = Path(__file__).resolve().parent.parent / "measurements"
Row = dict[str, Any]


@cache
def _records() -> dict[str, Record]:
    return read_records(RECORDS)


def _figures(name: str) -> dict[str, Any]:
    return _records()[name].figures


def _groups(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of some of their fields, in the order in which these appear."""
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return found


def _middle(rows: list[Row], key: str) -> float:
    """The median of what was found; nan where nothing was."""
    found = [row[key] for row in rows if row[key] is not None]
    return median(found) if found else float("nan")


def _link(name: str) -> str:
    page = "reliability" if name in ("million", "noise-sets", "kills", "fuzz", "cases", "filters") else "performance"
    return f"[{name}]({page}.md#{name})"


def classification() -> str:
    """What 2D classification costs by particles, classes and pixels."""
    rows = [
        (f"{r['particles']:,}", r["classes"], r["box_px"], r["passes"], f"{r['cpu_s']:.0f}", f"{r['peak_MB']:,}")
        for r in sorted(_figures("scaling")["rows"], key=lambda r: (r["box_px"], r["particles"], r["classes"]))
    ]
    most = _figures("million")
    rows.append((f"{most['particles']:,}", 50, 32, 2, f"{most['cpu_s']:.0f}", f"{most['peak_MB']:,}"))
    return markdown_table(["particles", "classes", "box (px)", "passes", "CPU s", "peak MB"], rows)


def refinement() -> str:
    """What a random start and its refinement cost, and what came out, by number and noise."""
    rows = []
    for (snr, particles), found in _groups(_figures("refine")["rows"], "snr", "particles").items():
        rows.append(
            (
                f"{particles:,}",
                snr,
                len(found),
                f"{_middle(found, 'abinitio_cpu_s'):.0f}",
                f"{_middle(found, 'refine_cpu_s'):.0f}",
                f"{max(r['peak_MB'] for r in found):,}",
                f"{_middle(found, 'median_deg'):.1f}°",
                f"{_middle(found, 'claimed_A'):.1f}",
                f"{_middle(found, 'fsc_0.5_A'):.1f}",
            )
        )
    head = ["particles", "SNR", "runs", "model (CPU s)", "map (CPU s)", "peak MB", "poses off by", "claimed (Å)"]
    return markdown_table([*head, "true (Å)"], rows)


def boxes() -> str:
    """What 3D jobs cost by particles and pixels."""
    rows = [
        (f"`{r['method']}`", f"{r['particles']:,}", r["box_px"], f"{r['cpu_s']:.0f}", f"{r['peak_MB']:,}")
        for r in _figures("complexity3d")["rows"]
    ]
    return markdown_table(["command", "particles", "box (px)", "CPU s", "peak MB"], rows)


def memory() -> str:
    """What a model from particles and its refinement need at most, by box."""
    rows = []
    for name in ("refine", "fine-maps"):
        figures = _figures(name)
        measured = [r for r in figures["rows"] if r.get("abinitio_cpu_s")]
        largest = max(r["particles"] for r in measured)
        peak = max(r["peak_MB"] for r in measured)
        rows.append((f"{largest:,}", figures.get("box_px", BOX_OF_REFINE), f"{peak:,}", _link(name)))
    return markdown_table(["particles", "box (px)", "peak MB", "measured in"], rows)


def averages() -> str:
    """What models from class averages cost."""
    rows = []
    for (case,), found in _groups(_figures("initial-models")["rows"], "case").items():
        one = found[0]
        rows.append(
            (
                case,
                one["averages"],
                one["box_px"],
                len(found),
                f"{_middle(found, 'cpu_s'):.0f}",
                f"{max(r['peak_MB'] for r in found):,}",
                f"{_middle(found, 'resolution_A'):.1f}",
            )
        )
    head = ["particle", "averages", "box (px)", "runs", "CPU s", "peak MB", "FSC 0.5 with the truth (Å)"]
    return markdown_table(head, rows)


def summary() -> str:
    """All measurements that a user asks about, in a row each."""
    rows = [(question, answer, ", ".join(map(_link, names))) for question, answer, names in _answers()]
    return markdown_table(["question", "measured", "where"], rows)


def _answers() -> Iterable[tuple[str, str, tuple[str, ...]]]:
    yield from _answers_2d()
    yield from _answers_3d()
    yield from _answers_classes_3d()
    yield from _answers_reliability()


def _answers_2d() -> Iterable[tuple[str, str, tuple[str, ...]]]:
    sets = _figures("ctf")["sets"]
    yield (
        "Defocus of simulated micrographs: within 100 Å?",
        f"{sum(r['within_100_A'] for r in sets)} of {sum(r['micrographs'] for r in sets)}; the weakest set "
        f"{min(r['within_100_A'] / r['micrographs'] for r in sets):.0%}",
        ("ctf",),
    )
    quality = _figures("class2d-quality")
    for snr in sorted({r["snr"] for r in quality["rows"]}, reverse=True):
        rows = [r for r in quality["rows"] if r["snr"] == snr and r["threads"] == 1]
        yield (
            f"2D classes of {quality['particles']:,} particles at SNR {snr:g}: how good, how long?",
            f"averages correlate with the truth by {_middle(rows, 'cc'):.2f}; "
            f"{_middle(rows, 'n_nonempty'):.0f} of {quality['classes']} classes in use; {_middle(rows, 'cpu_s'):.0f} "
            f"CPU seconds, {max(r['peak_MB'] for r in rows):,} MB",
            ("class2d-quality",),
        )
    ours, theirs = _figures("relion-peer")["rows"][:2]
    yield (
        "The same beside RELION 3.1's EM on one processor",
        f"{ours['cpu_s']:.0f} CPU seconds for all {ours['iterations']} passes; RELION: {theirs['cpu_s']:.0f} "
        f"CPU seconds for {theirs['iterations']} iteration{'s' * (theirs['iterations'] != 1)}",
        ("relion-peer",),
    )
    chosen = _figures("select")["rows"]
    yield (
        "Classes chosen without the user",
        f"{min(r['good_share'] for r in chosen):.0%} to {max(r['good_share'] for r in chosen):.0%} of the good "
        f"particles kept; {max(r['junk_share'] for r in chosen):.0%} junk among them at most",
        ("select",),
    )
    isac = [r for r in _figures("isac")["mixtures"] if r["program"] == "ISAC" and r["junk"] > 0]
    kept = [r["good_share"] for r in isac]
    yield (
        f"ISAC on {_figures('isac')['particles']:,} particles, some of them junk: what is accepted?",
        f"{min(kept):.0%} to {max(kept):.0%} of the good ones, with "
        f"{max(r['junk_share'] for r in isac):.1%} junk at most",
        ("isac",),
    )
    near = [r for r in _figures("neighbours")["rows"] if r["program"] == "vitreous"]
    shares = [r["above_0.9"] / r["pairs"] for r in near]
    yield (
        "Nearest neighbours of 10,000 particles: from directions within acos 0.9 (26°)?",
        f"{min(shares):.0%} to {max(shares):.0%} of all pairs, by signal-to-noise ratio",
        ("neighbours",),
    )


def _answers_3d() -> Iterable[tuple[str, str, tuple[str, ...]]]:
    for (snr, particles), found in _groups(_figures("refine")["rows"], "snr", "particles").items():
        yield (
            f"From random poses to a refined map: {particles:,} particles, SNR {snr:g}",
            f"poses off by {_middle(found, 'median_deg'):.1f}° (median); {_middle(found, 'fsc_0.5_A'):.1f} Å with the "
            f"truth (FSC 0.5); {_middle(found, 'cpu_s'):.0f} CPU seconds; {len(found)} "
            f"run{'s' * (len(found) != 1)}",
            ("refine",),
        )
    claims = [r["ratio_median"] for r in _figures("half-maps")["claims"]]
    yield (
        "Is the claimed resolution of half maps the true one?",
        f"claimed over true: {min(claims):.2f} to {max(claims):.2f} (medians of {len(claims)} scenes)",
        ("half-maps",),
    )
    cases = _groups(_figures("initial-models")["rows"], "case")
    rows = [r for found in cases.values() for r in found]
    yield (
        "Models from class averages: do random starts find the structure?",
        f"{sum(r['restarts_right'] for r in rows)} of {sum(r['restarts'] for r in rows)} starts, {len(cases)} "
        "simulated sets",
        ("initial-models",),
    )


def _answers_classes_3d() -> Iterable[tuple[str, str, tuple[str, ...]]]:
    figures = _figures("fine-maps")
    fine = next(r for r in figures["rows"] if r.get("abinitio_cpu_s"))
    yield (
        f"From random poses to a refined map: {fine['particles']:,} particles of {figures['box_px']} pixels",
        f"poses off by {fine['median_deg']:.2f}°; {fine['fsc_0.5_A']:.1f} Å with the truth (FSC 0.5), "
        f"{fine['claimed_A']:.1f} Å claimed; {fine['cpu_s']:.0f} CPU seconds, {fine['peak_MB']:,} MB; 1 run",
        ("fine-maps",),
    )
    groups = _figures("point-groups")["rows"]
    yield (
        "The point group of a particle, found from particles",
        f"{sum(r['found'] == r['group'] for r in groups)} of {len(groups)} starts "
        f"({', '.join(dict.fromkeys(r['group'] for r in groups))})",
        ("point-groups",),
    )
    mixed = [r["ari"] for r in _figures("class3d")["rows"] if "ari" in r]
    yield (
        f"Two structures in {_figures('class3d')['particles']:,} particles, told apart by 3D classification?",
        f"adjusted Rand index {min(mixed):.2f} to {max(mixed):.2f} in {len(mixed)} runs (1 is perfect, 0 is chance)",
        ("class3d",),
    )


def _answers_reliability() -> Iterable[tuple[str, str, tuple[str, ...]]]:
    noise = _figures("noise")["rows"]
    sets = _figures("noise-sets")["sets"]
    yield (
        "Pure noise in: does it claim something?",
        f"{sum(r['resolved_classes'] for r in noise)} classes of {sum(r['classes'] for r in noise)} with a resolution; "
        f"the sets of noise that went through every command: {len(sets)}",
        ("noise", "noise-sets"),
    )
    kills = _figures("kills")
    count = sum(kills["kills"].values())
    yield (
        "A job is killed and resumed: the same result?",
        f"{count - len(kills['wrong'])} of {count}, to the bit",
        ("kills",),
    )
    fuzz = _figures("fuzz")
    yield ("Damaged files", f"{fuzz['inputs']:,} read, {fuzz['unclean']} unclean ends", ("fuzz",))
    most = _figures("million")
    yield (
        "A million particles of 32 pixels: memory?",
        f"{most['peak_MB']:,} MB, {most['cpu_s'] / 60:.0f} minutes of one processor for two passes",
        ("million",),
    )


def demo() -> str:
    """The stages of the run that the pictures are from: what each took, and what came out."""
    found = json.loads((RECORDS.parent / "pictures" / "demo.json").read_text(encoding="utf-8"))
    stages = found["stages"]
    said = {
        "class2d": lambda s: f"{s['classes_with_particles']} averages, the best at {s['best_resolution_A']:.1f} Å",
        "deconvolve": lambda s: f"{s['averages']} averages without CTF, for the model below",
        "initial": lambda s: f"a model from averages; {s['restarts_agreeing']} random starts agree",
        "abinitio": lambda s: f"a model from particles; {s['starts_agreeing']} random starts agree",
        "refine": lambda s: f"a map of {s['resolution_A']:.1f} Å; in its mask {s['resolution_masked_A']:.1f} Å",
    }
    rows = [(f"`{name}`", f"{stages[name]['seconds']:.0f}", words(stages[name])) for name, words in said.items()]
    return markdown_table(["stage", "seconds, two processors", "what came out"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "classification": classification,
    "refinement": refinement,
    "boxes": boxes,
    "averages": averages,
    "memory": memory,
    "summary": summary,
    "demo": demo,
}
