"""What is left of two half maps: maps, curves in RELION's words, an XML file for the EMDB; and read back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.particles import Table, Volume, read_star, read_volume, write_star, write_text_atomic, write_volume
from vitreous.volumes import HalfMapFSC, PostProcessed

__all__ = ["CURVES", "PostProcessFolder", "postprocess_files", "read_postprocessed", "write_postprocessed"]

MAPS = {
    "sharpened": "{stem}.mrc",
    "masked": "{stem}_masked.mrc",
    "mask": "{stem}_mask.mrc",
    "local": "{stem}_local_resolution.mrc",
    "locally_filtered": "{stem}_locally_filtered.mrc",
}
ALWAYS = ("sharpened", "masked", "mask")
TABLES, XML = "{stem}_fsc.star", "{stem}_fsc.xml"
CURVES = {  # of HalfMapFSC -> RELION's label, spelling included
    "unmasked": "rlnFourierShellCorrelationUnmaskedMaps",
    "masked": "rlnFourierShellCorrelationMaskedMaps",
    "randomised": "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
    "corrected": "rlnFourierShellCorrelationCorrected",
}


def postprocess_files(stem: str) -> tuple[str, ...]:
    """Names of all that :func:`write_postprocessed` may write."""
    return tuple(name.format(stem=stem) for name in (*MAPS.values(), TABLES, XML))


@dataclass(frozen=True, kw_only=True, eq=False)
class PostProcessFolder:
    """What the files of a stem say."""

    sharpened: Volume
    masked: Volume
    mask: Volume
    local: Volume | None  # resolutions in Angstrom
    locally_filtered: Volume | None
    fsc: Table  # one row per shell
    guinier: Table
    cones: Table  # one row per direction
    resolution_A: float
    b_factor_A2: float
    randomised_from_A: float


def write_postprocessed(folder: Path, result: PostProcessed, *, stem: str = "postprocess") -> None:
    """Write maps and tables, their names beginning with ``stem``.

    The local resolution is written where there is one. ``STEM_fsc.star`` has the blocks of RELION's postprocess.star
    and one more, cones; ``STEM_fsc.xml`` is the corrected curve as the EMDB takes it.
    """
    local = result.local
    volumes = {
        "sharpened": result.sharpened,
        "masked": result.masked,
        "mask": result.mask,
        "local": None if local is None else local.volume,
        "locally_filtered": result.locally_filtered,
    }
    for name, volume in volumes.items():
        if volume is not None:
            write_volume(folder / MAPS[name].format(stem=stem), volume)
    write_star(folder / TABLES.format(stem=stem), _tables(result))
    write_text_atomic(folder / XML.format(stem=stem), _xml(result.fsc))


def read_postprocessed(folder: str | Path, *, stem: str = "postprocess") -> PostProcessFolder:
    """Read what :func:`write_postprocessed` wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    files = {name: path / file.format(stem=stem) for name, file in MAPS.items()}
    needed = [*(files[name] for name in ALWAYS), path / TABLES.format(stem=stem)]
    missing = [file.name for file in needed if not file.is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of finished half maps")
    star = read_star(path / TABLES.format(stem=stem))
    general = star["general"]
    volumes = {name: read_volume(file) if file.is_file() else None for name, file in files.items()}
    sharpened, masked, mask = (volumes[name] for name in ALWAYS)
    assert sharpened is not None and masked is not None and mask is not None  # noqa: PT018 all three were looked for
    return PostProcessFolder(
        sharpened=sharpened,
        masked=masked,
        mask=mask,
        local=volumes["local"],
        locally_filtered=volumes["locally_filtered"],
        fsc=star["fsc"],
        guinier=star["guinier"],
        cones=star["cones"],
        resolution_A=float(general.numbers("rlnFinalResolution")[0]),
        b_factor_A2=float(general.numbers("rlnBfactorUsedForSharpening")[0]),
        randomised_from_A=float(general.numbers("rlnRandomiseFrom")[0]),
    )


def _tables(result: PostProcessed) -> dict[str, Table]:
    fsc, plot, cones = result.fsc, result.guinier, result.cones
    k = fsc.frequency_per_A
    with np.errstate(divide="ignore"):
        angstrom = np.where(k > 0, 1.0 / k, 999.0)
    shells = len(k)
    general = {
        "rlnFinalResolution": [_figure(fsc.resolution_A)],
        "rlnBfactorUsedForSharpening": [round(result.b_factor_A2, 3)],
        "rlnRandomiseFrom": [round(float(angstrom[min(fsc.randomised_from, shells - 1)]), 3)],
        "vtrSignificance": [round(fsc.significance, 2)],
    }
    curves = {label: np.round(getattr(fsc, name), 6) for name, label in CURVES.items()}
    seen = np.isfinite(plot.log_amplitude)
    return {
        "general": Table.from_arrays(general),
        "fsc": Table.from_arrays(
            {
                "rlnSpectralIndex": np.arange(shells),
                "rlnResolution": np.round(k, 6),
                "rlnAngstromResolution": np.round(angstrom, 4),
                **curves,
                "vtrConeLowest": np.round(cones.curves.min(axis=0), 6),
                "vtrConeHighest": np.round(cones.curves.max(axis=0), 6),
            }
        ),
        "guinier": Table.from_arrays(
            {
                "rlnResolutionSquared": np.round(plot.frequency_per_A[seen] ** 2, 8),
                "rlnLogAmplitudesOriginal": np.round(plot.log_amplitude[seen], 5),
                "rlnLogAmplitudesWeighted": np.round(np.maximum(plot.log_weighted[seen], -99.0), 5),
                "vtrInLine": plot.fitted[seen].astype(int),
            }
        ),
        "cones": Table.from_arrays(
            {
                "vtrDirectionX": np.round(cones.directions[:, 0], 5),
                "vtrDirectionY": np.round(cones.directions[:, 1], 5),
                "vtrDirectionZ": np.round(cones.directions[:, 2], 5),
                "vtrConeResolution": [_figure(float(value)) for value in cones.resolutions_A],
            }
        ),
    }


def _figure(resolution_A: float) -> float:
    """Endless resolutions stay so: other programs read "inf", too."""
    return round(resolution_A, 4) if np.isfinite(resolution_A) else resolution_A


def _xml(fsc: HalfMapFSC) -> str:
    points = "\n".join(
        f"  <coordinate><x>{x:.6f}</x><y>{y:.6f}</y></coordinate>"
        for x, y in zip(fsc.frequency_per_A, fsc.corrected, strict=True)
    )
    head = (
        '<fsc title="Fourier shell correlation of half maps" xaxis="Resolution (A-1)" yaxis="Correlation Coefficient">'
    )
    return f"{head}\n{points}\n</fsc>\n"
