"""Maps that stand beside the data of a job: references, and masks, doubted where they look like something else."""

from pathlib import Path

import numpy as np

from vitreous.particles import Volume, read_volume
from vitreous.particles.errors import require_file
from vitreous.particles.mrc_header import read_header
from vitreous.volumes import check_mask, resample

__all__ = ["read_beside", "require_mask"]

OVERSHOOT = 0.01  # beyond 0 and 1, which programs leave that filter or resample a mask
LEAST, SMALL, LARGE = 5e-4, 4e-3, 0.6  # of the box: balls of a tenth and a fifth of its side, more than its whole ball
NOTHING, WHOLE = 0.01, 0.95  # of a mask, what counts as outside and as inside
LEAST_WHOLE = 0.02  # share of a soft mask that is inside; a density scaled to 0..1 has next to none


def read_beside(path: Path, box_px: int, pixel_size_A: float) -> tuple[Volume, list[str]]:
    """A map that stands beside data of a box and a pixel size, and a note where its header has no voxel size.

    Such a map is on the grid of the data; one of another box raises ValueError, since its scale is unknown.
    """
    require_file(path, "an MRC map")
    if read_header(path).voxel_size_A[0] > 0:
        return read_volume(path), []
    volume = read_volume(path, pixel_size_A=pixel_size_A)
    if volume.data.shape != (box_px,) * 3:
        raise ValueError(
            f"{path}: the header has no voxel size, and the map has not the box of the data ({box_px}), so that its "
            "scale is unknown; write the voxel size into the header (relion_image_handler --angpix)"
        )
    return volume, [f"{path}: the header has no voxel size; that of the data is taken, {pixel_size_A:g} Å"]


def require_mask(path: Path, like: Volume) -> tuple[Volume, list[str]]:
    """The mask in a file on the grid of the map ``like``, and what is said about it.

    One on another grid of the same field is resampled; one that looks like something else is doubted.

    Raises ValueError, naming the file, for values outside 0 to 1 (a density), a mask that covers nothing, next to
    nothing or everything, and one of another field.
    """
    mask, said = read_beside(path, like.box_px, like.pixel_size_A)
    low, high = float(mask.data.min()), float(mask.data.max())
    if not (low >= -OVERSHOOT and high <= 1.0 + OVERSHOOT):
        raise ValueError(
            f"{path}: expected a mask with values from 0 to 1, found {low:.4g} to {high:.4g}; is it a map? "
            "`relion_mask_create`, or --mask-threshold of `vitreous postprocess`, makes a mask of one"
        )
    if mask.data.shape != like.data.shape and abs(_field(mask) - _field(like)) < 0.5 * like.pixel_size_A:
        box, pixel = like.box_px, like.pixel_size_A
        said = [f"{path} has {mask.box_px} voxels of {mask.pixel_size_A:g} Å and was resampled to {box} of {pixel:g} Å"]
        mask = resample(mask, box, pixel)
    mask = check_mask(mask.with_data(np.clip(mask.data, 0.0, 1.0)), like, name=str(path))
    covered = float((mask.data > 0.5).mean())
    if covered < LEAST:
        raise ValueError(
            f"{path} covers {covered:.2%} of the box, less than a ball of a tenth of its side: two halves agree in so "
            "few voxels whatever they are; give a mask that holds the particle"
        )
    return mask, [*said, *_doubts(path, mask)]


def _doubts(path: Path, mask: Volume) -> list[str]:
    covered, found = float((mask.data > 0.5).mean()), []
    if covered < SMALL:
        found.append(f"{path} covers {covered:.2%} of the box: a resolution within so small a mask says little")
    if covered > LARGE:
        found.append(f"{path} covers {covered:.0%} of the box, more than its whole ball: it masks hardly anything away")
    within = mask.data > NOTHING
    if float((mask.data > WHOLE).sum()) < LEAST_WHOLE * float(within.sum()):
        found.append(f"{path} is hardly anywhere near 1, as a density is and a mask is not")
    return found


def _field(volume: Volume) -> float:
    return max(volume.data.shape) * volume.pixel_size_A
