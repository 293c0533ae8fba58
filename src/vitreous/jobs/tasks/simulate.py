"""The ``simulate`` job: a folder with particles whose truth is known."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.folder import Job, JobFinished, open_job
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.options import RunOptions, chosen_device, tell, use_threads
from vitreous.jobs.progress import describe_bytes, reporting
from vitreous.particles import MrcStackWriter, Table, Volume, image_name, write_star, write_volume
from vitreous.simulate import SimulateSettings, load_volumes, simulate_batches

__all__ = ["TRUTH_PREFIX", "run_simulate"]

BATCH = 512
TRUTH_PREFIX = "vtrTrue"
HIDDEN = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")
STACK = "particles.mrcs"
FILES = (STACK, "particles.star", "truth.star", "volume_[0-9]*.mrc")


def run_simulate(
    output: str | Path,
    settings: SimulateSettings | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_simulate",
) -> Path:
    """Simulate particles into the folder ``output`` and return the path of their STAR file (dry run: to be written).

    Written: ``particles.mrcs`` (as a stream, whatever its length); ``particles.star``, with what a microscope session
    would know, and the hidden truth in columns ``vtrTrueAngleRot``, ``vtrTrueOriginXAngst``, ``vtrTrueVolume``,
    ``vtrJunk`` and so on, which no program takes for a prior; ``truth.star``, the same particles with the truth in
    RELION's own columns; ``volume_#.mrc``, what was projected; ``job.json``. The same settings give the same files.

    Raises
    ------
    FileNotFoundError, ValueError
        For sources that cannot be read, and for a folder that holds something else.
    """
    settings, options = settings or SimulateSettings(), options or RunOptions()
    use_threads(options)
    device, path = chosen_device(options), Path(output)
    volumes = load_volumes(settings)
    tell(options, _describe(settings, path), "plan", {"settings": asdict(settings)})
    star = path / "particles.star"
    if options.dry_run:
        return star
    manifest = new_manifest("simulate", asdict(settings), seed=settings.seed, files=FILES)
    try:
        with open_job(path, manifest, command=command, resume=True, overwrite=options.overwrite) as job:
            _write(job, volumes, settings, device=device, json=options.json)
            job.describe(summary={"particles": settings.particles, "box_px": settings.box_px})
        closing = f"done: {settings.particles:,} particles in {star}, their truth also in {path / 'truth.star'}"
    except JobFinished as news:
        closing = str(news)
    tell(options, closing, "end", {"particles": str(star), "output": str(path), "text": closing})
    return star


def _describe(settings: SimulateSettings, output: Path) -> str:
    size = settings.particles * settings.box_px**2 * 4
    return (
        f"simulating {settings.particles:,} particles of {', '.join(settings.source)}: {settings.box_px} x "
        f"{settings.box_px} pixels of {settings.pixel_size_A:g} Å, SNR {settings.snr:g} ({settings.noise} noise), "
        f"{settings.defocus_groups} defocus groups, junk {settings.junk_fraction:.0%}, seed {settings.seed}; "
        f"{describe_bytes(size)} into {output}"
    )


def _write(job: Job, volumes: torch.Tensor, settings: SimulateSettings, *, device: str, json: bool) -> None:
    """Images as a stream; the tables, which are small, at the end."""
    pixel = settings.pixel_size_A
    for number, volume in enumerate(volumes, start=1):
        write_volume(job.path / f"volume_{number}.mrc", Volume(data=volume.numpy(), pixel_size_A=pixel))
    parts: list[dict[str, np.ndarray]] = []
    batches = -(-settings.particles // BATCH)
    with (
        torch.no_grad(),
        reporting("simulating", total=batches, json=json) as reporter,
        MrcStackWriter(job.path / STACK, box_px=settings.box_px, pixel_size_A=pixel) as stack,
    ):
        for images, truth in simulate_batches(volumes, settings, batch=BATCH, device=device):
            stack.append(images)
            parts.append(truth)
            if reporter.move is not None:
                reporter.within(len(parts))
    truth = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    optics = _optics_table(settings)
    write_star(job.path / "truth.star", {"optics": optics, "particles": _table(truth)})
    write_star(job.path / "particles.star", {"optics": optics, "particles": _table(_veiled(truth))})


def _veiled(truth: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The truth under names that no program takes for a prior."""
    return {name.replace("rln", TRUTH_PREFIX, 1) if name in HIDDEN else name: v for name, v in truth.items()}


def _table(columns: Mapping[str, np.ndarray]) -> Table:
    count = len(columns["rlnDefocusU"])
    names = [image_name(i, STACK) for i in range(count)]
    rounded = {name: np.round(v, 6) if v.dtype.kind == "f" else v for name, v in columns.items()}
    return Table.from_arrays({"rlnImageName": names, **rounded})


def _optics_table(settings: SimulateSettings) -> Table:
    return Table.from_arrays(
        {
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnOpticsGroup": [1],
            "rlnVoltage": [settings.voltage_kV],
            "rlnSphericalAberration": [settings.cs_mm],
            "rlnAmplitudeContrast": [settings.amplitude_contrast],
            "rlnImagePixelSize": [settings.pixel_size_A],
            "rlnImageSize": [settings.box_px],
            "rlnImageDimensionality": [2],
        }
    )
