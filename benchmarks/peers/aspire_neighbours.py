"""ASPIRE on a particle file: neighbours as its documentation makes them, or images denoised by its CWF.

``python -m benchmarks.peers.aspire_neighbours WHAT particles.star out-folder [K]``, from the repository, by the
interpreter of an environment that has ASPIRE. WHAT: ``neighbours`` (phase flip, steerable PCA, bispectrum, nearest
neighbours, all with their defaults), ``denoise`` (covariance Wiener filter), ``denoised-neighbours`` (the second, then
the first without the flip).
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from aspire.classification import RIRClass2D
from aspire.denoising import DenoisedSource, DenoiserCov2D
from aspire.source import ArrayImageSource, RelionSource

from benchmarks.stages import Stages


def neighbours(source: Any, k: int, out: Path, stages: Stages) -> None:
    """K neighbours of every image; ASPIRE counts the image itself as the first."""
    classifier = RIRClass2D(source, n_nbor=k + 1, seed=0)
    index, mirrored, _ = classifier.classify()
    stages.end("steerable PCA, bispectrum, search")
    others = np.argsort(index == np.arange(len(index))[:, None], axis=1, kind="stable")[:, :k]  # the image itself last
    rows = np.arange(len(index))[:, None]
    np.savez(out / "neighbours.npz", neighbours=index[rows, others], mirrored=mirrored[rows, others])


def denoise(source: Any, stages: Stages) -> np.ndarray:
    """Images denoised by the covariance Wiener filter, (n, L, L)."""
    denoiser = DenoiserCov2D(source)
    stages.end("noise variance, CTF")
    denoiser.build_denoiser()
    stages.end("mean and covariance")
    denoised, batch = DenoisedSource(source, denoiser), denoiser.batch_size  # all at once would take 4 GB
    parts = [denoised.images[start : start + batch].asnumpy() for start in range(0, source.n, batch)]
    stages.end("filter")
    return np.concatenate(parts)


def main(what: str, star: str, folder: str, k: str = "10") -> None:
    """Run one of them; what it found and its stages go to the folder."""
    stages, out = Stages(), Path(folder)
    stages.end("start")
    source = RelionSource(star)
    stages.end("read")
    if what == "neighbours":
        neighbours(source.phase_flip(), int(k), out, stages)
    else:
        images = denoise(source, stages)
        if what == "denoise":
            np.save(out / "denoised.npy", images)
        else:
            neighbours(ArrayImageSource(images, pixel_size=source.pixel_size), int(k), out, stages)
    stages.write(out / "stages.json")


if __name__ == "__main__":
    main(*sys.argv[1:])
