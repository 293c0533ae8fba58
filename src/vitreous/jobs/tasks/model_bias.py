"""The ``model-bias`` job: a reference in; averages of noise that was aligned to it, and their correlation, out."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vitreous.averages.model_bias import ModelBias, ModelBiasResult, model_bias
from vitreous.jobs.at_once import AtOnce, at_once
from vitreous.jobs.function import function_of
from vitreous.jobs.report.model_bias import model_bias_page
from vitreous.jobs.results.model_bias import FILES, write_model_bias
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.particles import open_stack, read_volume
from vitreous.particles.errors import require_file
from vitreous.particles.mrc_header import read_header
from vitreous.require import require_at_least, require_finite, require_positive
from vitreous.rotations import euler_to_matrix
from vitreous.volumes import project_map

__all__ = ["TASK", "Reference", "run_model_bias"]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What noise is aligned to.

    Parameters
    ----------
    reference
        An image or a stack of images (.mrc, .mrcs), or a map (.mrc, a cube), which is projected.
    number
        Which image of a stack, from 1.
    rot_deg
        First Euler angle of the projection of a map, in degrees, as RELION has it.
    tilt_deg
        Second Euler angle of the projection of a map, in degrees.
    psi_deg
        Third Euler angle of the projection of a map, in degrees.
    pixel_size_A
        Pixel size in Angstrom, when the header does not say or is wrong.
    """

    reference: Path
    number: int = 1
    rot_deg: float = 0.0
    tilt_deg: float = 0.0
    psi_deg: float = 0.0
    pixel_size_A: float | None = None

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"number": 1})
        require_positive(self, ("pixel_size_A",))

    def image(self) -> tuple[np.ndarray, float, str]:
        """The reference (L, L), its pixel size and what it is. Raises ValueError for what cannot be one."""
        path = self.reference
        require_file(path, "an image or a map (.mrc, .mrcs)")
        header = read_header(path)
        if header.is_volume:
            if self.number != 1:
                raise ValueError(f"number: {path} is a map, which is projected; it has no image {self.number}")
            volume = read_volume(path, pixel_size_A=self.pixel_size_A)
            if not np.isfinite(volume.data).all():
                raise ValueError(f"{path}: the map has values that are NaN or infinite")
            angles = torch.tensor([[self.rot_deg, self.tilt_deg, self.psi_deg]], dtype=torch.float64)
            view = project_map(volume, euler_to_matrix(angles).numpy())[0]
            said = f"a projection at rot {self.rot_deg:g}, tilt {self.tilt_deg:g}, psi {self.psi_deg:g}"
            return view, volume.pixel_size_A, f"{said} of {volume.box_px}³ voxels"
        stack = open_stack(path)
        if self.rot_deg or self.tilt_deg or self.psi_deg:
            raise ValueError(f"{path} has images, which are taken as they are; angles are for the projection of a map")
        if self.number > len(stack):
            raise ValueError(f"number: {path} has {len(stack)} image(s), found {self.number}")
        pixel = self.pixel_size_A or header.pixel_size_A or 1.0
        image = stack.read(np.array([self.number - 1]))[0]
        known = "" if self.pixel_size_A or header.pixel_size_A else " (its header has no pixel size; 1 Å is taken)"
        return image, pixel, f"image {self.number} of {len(stack)}{known}"


def _prepare(source: Reference, settings: ModelBias, resources: Resources) -> Prepared[AtOnce, ModelBiasResult]:
    image, pixel, said = source.image()
    if image.shape[0] != image.shape[1]:
        raise ValueError(f"{source.reference}: expected a square image, found {image.shape}")
    if not np.isfinite(image).all() or np.ptp(image) == 0:
        raise ValueError(f"{source.reference}: expected an image with contrast and finite values, found none")
    most = settings.counts[-1]
    return Prepared(
        settings=settings,
        inputs=(source.reference,),
        algorithm=at_once(
            lambda seed: model_bias(
                image, settings, pixel_size_A=pixel, threads=resources.threads, progress=resources.progress
            )
        ),
        state=AtOnce,
        steps=1,
        write=partial(_write),
        screen=(
            f"data     {source.reference}: {said}, {len(image)} x {len(image)} pixels of {pixel:g} Å",
            f"settings {settings.fewest:,} to {most:,} images of noise, seed {settings.seed}",
            f"output   {resources.store.parent}",
        ),
        summary={"box_px": len(image), "pixel_size_A": pixel},
    )


def _write(folder: Path, result: ModelBiasResult, state: AtOnce) -> Outcome:
    write_model_bias(folder, result)
    last = int(result.counts[-1])
    return Outcome(
        words=f"the average of {last:,} aligned images of noise correlates {result.correlation[-1]:.2f} with the "
        f"reference (theory {result.theory[-1]:.2f}), that of {int(result.counts[0]):,} {result.correlation[0]:.2f}",
        summary={
            "coefficients": round(result.noise.coefficients),
            "mean_peak": round(float(result.peaks.mean()), 3),
            "resolution_used_A": round(result.resolution_A, 3),
        },
    )


TASK = Task(
    name="model-bias",
    title="aligning noise",
    function="run_model_bias",
    about="Aligned noise reproduces what it was aligned to. This shows it for a reference: averages of more and more "
    "images of pure noise, and their correlation with the reference beside theory.",
    source=Reference,
    methods={"": ModelBias},
    prepare=_prepare,
    files=FILES,
    results="model_bias.mrcs, model_bias.star",
    page=model_bias_page,
    uses=frozenset({"threads"}),
    ignores=frozenset({"device", "every", "memory"}),
)
run_model_bias = function_of(TASK)
