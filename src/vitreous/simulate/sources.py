"""The volumes that particles are projected from."""

import warnings
from pathlib import Path

import mrcfile
import numpy as np
import torch

from vitreous.simulate.atoms import read_atoms, volume_from_atoms
from vitreous.simulate.phantom import PHANTOMS, phantom
from vitreous.simulate.settings import SimulateSettings

__all__ = ["load_volumes", "resample_volume"]

_MAPS = (".mrc", ".map", ".ccp4")


def load_volumes(settings: SimulateSettings) -> torch.Tensor:
    """Every source at the box and pixel size of the settings: float32 (sources, n, n, n).

    A source is the name of a phantom, a map (resampled; without a pixel size in its header it is taken to have that
    of the settings) or an atomic model. Raises FileNotFoundError or ValueError naming the source.
    """
    return torch.stack([_load(source, settings) for source in settings.source])


def resample_volume(volume: torch.Tensor, pixel_from_A: float, n: int, pixel_to_A: float) -> torch.Tensor:
    """Volume (m, m, m) at another pixel size, then cropped or zero-padded about its centre to (n, n, n).

    Resampling is by Fourier crop or pad to a whole number of pixels, so lengths may be off by half a pixel in m.
    """
    m = volume.shape[-1]
    resized_n = max(2, round(m * pixel_from_A / pixel_to_A))
    if resized_n != m:
        volume = _fourier_resize(volume, resized_n)
    out = torch.zeros(n, n, n, dtype=volume.dtype)
    size = min(n, resized_n)
    source, target = resized_n // 2 - size // 2, n // 2 - size // 2
    s, t = slice(source, source + size), slice(target, target + size)
    out[t, t, t] = volume[s, s, s]
    return out


def _load(source: str, settings: SimulateSettings) -> torch.Tensor:
    n, pixel = settings.box_px, settings.pixel_size_A
    if source in PHANTOMS:
        return phantom(n, pixel, source, seed=settings.seed)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{source}: neither a file nor one of the phantoms ({', '.join(PHANTOMS)}).")
    if path.name.removesuffix(".gz").endswith(_MAPS):
        volume, pixel_from = _read_map(path)
        return resample_volume(volume, pixel_from or pixel, n, pixel)
    return volume_from_atoms(read_atoms(path), n, pixel, settings.resolution_A or 2.0 * pixel)


def _read_map(path: Path) -> tuple[torch.Tensor, float]:
    """(volume, pixel size in Angstrom or 0)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # old headers are common and harmless here
            with mrcfile.open(path, permissive=True) as file:
                data, pixel = file.data, float(file.voxel_size.x)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as an MRC map ({error}).") from error
    if data is None or data.ndim != 3 or len(set(data.shape)) != 1:
        found = "no data" if data is None else f"shape {data.shape}"
        raise ValueError(f"{path}: expected a cubic map, found {found}.")
    return torch.from_numpy(np.array(data, dtype=np.float32)), pixel


def _fourier_resize(volume: torch.Tensor, n: int) -> torch.Tensor:
    """Keep or add frequencies, strictly inside both Nyquist frequencies; real-space values stay."""
    m = volume.shape[-1]
    half = (min(m, n) - 1) // 2
    keep = torch.arange(-half, half + 1)
    ft = torch.fft.fftn(torch.fft.ifftshift(volume))
    out = torch.zeros(n, n, n, dtype=ft.dtype)
    rows = (keep % n)[:, None, None], (keep % n)[:, None], keep % n
    out[rows] = ft[(keep % m)[:, None, None], (keep % m)[:, None], keep % m]
    return torch.fft.fftshift(torch.fft.ifftn(out).real) * (n / m) ** 3
