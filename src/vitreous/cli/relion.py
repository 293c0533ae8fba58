"""RELION's command line, understood: ``relion_refine`` options for ``vitreous class2d``.

Options with a counterpart are plain aliases of ours (:mod:`vitreous.jobs.tasks.class2d`). What has no meaning here is
dropped with a note, so that a command line from RELION's ``note.txt`` runs as it is; what would change the result and
cannot be done is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["OptionError", "Translation", "translate"]

AUTOMATIC = "follows the resolution here"
ALWAYS = "is always done here"
NOT_NEEDED = "has no counterpart here"
IGNORED: dict[str, tuple[int, str]] = {  # option -> number of values, why
    "--psi_step": (1, AUTOMATIC),
    "--offset_step": (1, AUTOMATIC),
    "--oversampling": (1, AUTOMATIC),
    "--ini_high": (1, AUTOMATIC),
    "--allow_coarser_sampling": (0, AUTOMATIC),
    "--maxsig": (1, AUTOMATIC),
    "--adaptive_fraction": (1, AUTOMATIC),
    "--zero_mask": (0, ALWAYS),
    "--flatten_solvent": (0, ALWAYS),
    "--norm": (0, ALWAYS),
    "--scale": (0, NOT_NEEDED),
    "--center_classes": (0, NOT_NEEDED),
    "--pad": (1, NOT_NEEDED),
    "--firstiter_cc": (0, NOT_NEEDED),
    "--grad": (0, NOT_NEEDED),
    "--grad_write_iter": (1, NOT_NEEDED),
    "--grad_em_iters": (1, NOT_NEEDED),
    "--grad_ini_subset": (1, NOT_NEEDED),
    "--grad_fin_subset": (1, NOT_NEEDED),
    "--fast_subsets": (0, NOT_NEEDED),
    "--class_inactivity_threshold": (1, NOT_NEEDED),
    "--dont_check_norm": (0, NOT_NEEDED),
    "--pool": (1, NOT_NEEDED),
    "--preread_images": (0, NOT_NEEDED),
    "--scratch_dir": (1, NOT_NEEDED),
    "--keep_scratch": (0, NOT_NEEDED),
    "--reuse_scratch": (0, NOT_NEEDED),
    "--free_gpu_memory": (1, NOT_NEEDED),
    "--no_parallel_disc_io": (0, NOT_NEEDED),
    "--dont_combine_weights_via_disc": (0, NOT_NEEDED),
    "--pipeline_control": (1, NOT_NEEDED),
    "--verb": (1, NOT_NEEDED),
}
ON = frozenset({"ctf", "normalise"})  # settings that are on unless they are switched off
ALIASES: dict[str, tuple[str, ...]] = {  # other names of settings, as a command line may have them
    "classes": ("--K",),
    "iterations": ("--iter",),
    "tau2_fudge": ("--tau2_fudge",),
    "seed": ("--random_seed",),
    "particle_diameter_A": ("--particle_diameter",),
    "resolution_limit_A": ("--strict_highres_exp",),
    "offset_range_A": ("--offset_range", "--offset-range-px"),
    "pixel_size_A": ("--angpix",),
}
REFUSED = {
    "--skip_align": "keeping the angles and shifts of the input is not possible here",
    "--skip_rotate": "keeping the angles of the input is not possible here",
    "--ref": "classification starts without references here",
    "--only_flip_phases": "the CTF is corrected in amplitude too here",
    "--ctf_intact_first_peak": "the CTF is corrected from the lowest frequency here",
}


class OptionError(ValueError):
    """An option of RELION's that cannot be honoured."""


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Words for our own parser, and notes for the user."""

    words: list[str]
    notes: list[str]


def translate(words: Sequence[str]) -> Translation:
    """Turn RELION's options into ours; other words pass through untouched.

    Raises
    ------
    OptionError
        For an option that would change the result and has no counterpart.
    """
    rest = list(words)
    out: list[str] = []
    notes: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            return Translation(words=[*out, word, *rest], notes=notes)
        if word in REFUSED:
            raise OptionError(f"{word}: {REFUSED[word]}")
        if word in IGNORED:
            count, why = IGNORED[word]
            del rest[:count]
            notes.append(f"{word} {why} and is ignored")
        elif word == "--gpu":
            if rest and _is_gpu_list(rest[0]):
                del rest[0]
            out += ["--device", "cuda"]
        elif word == "--ctf_phase_flipped":
            out += ["--ctf-applied", "phases"]
        elif word == "--continue":
            out += _continuation(rest, words, notes)
        elif word == "--o" and rest:
            out += ["--output", _folder(rest.pop(0), notes)]
        else:
            out.append(word)
    return Translation(words=out, notes=notes)


def _is_gpu_list(word: str) -> bool:
    """RELION's "0,1:2,3"; also the empty word that its scripts pass."""
    return not word.strip("0123456789,:")


def _continuation(rest: list[str], words: Sequence[str], notes: list[str]) -> list[str]:
    """``--continue run_it010_optimiser.star`` is ``--resume`` in its folder, with that job's input and settings."""
    if not (rest and rest[0].endswith("_optimiser.star")):
        return ["--resume"]
    folder = str(Path(rest.pop(0)).parent)
    if {"--o", "--output", "-o"} & set(words):
        return ["--resume"]
    notes.append(f"--continue goes on after the last complete iteration in {folder}")
    return ["--resume", "--output", folder, *_recorded(folder, words)]


def _recorded(folder: str, words: Sequence[str]) -> list[str]:
    """The input and the settings of the job in a folder, as options, without those that are given anew."""
    from vitreous.jobs.manifest import read_manifest

    manifest = read_manifest(folder)
    if manifest is None or not manifest.inputs:
        return []
    given = {word.partition("=")[0] for word in words}
    found = [] if {"--i", "--particles"} & given else ["--particles", manifest.inputs[0]]
    for name, value in {**manifest.settings, "seed": manifest.seed}.items():
        option = f"--{name.replace('_', '-')}"
        if value is None or {option, *ALIASES.get(name, ())} & given:
            continue
        if isinstance(value, bool):
            found += ([option] if value else []) if name not in ON else ([] if value else [f"--no-{option[2:]}"])
        else:
            found += [option, str(value)]
    return found


def _folder(root: str, notes: list[str]) -> str:
    """RELION's ``--o`` is the beginning of all file names ("Class2D/job012/run"); ours is a folder."""
    path = Path(root)
    if path.name != "run":
        return root
    notes.append(f"--o {root}: results go to the folder {path.parent}, their names begin with run")
    return str(path.parent)
