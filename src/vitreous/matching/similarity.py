"""Three ways to compare an image with a reference that has the image's CTF (seed 004, lecture 4b).

Over all Fourier components, divided by the noise: X an image, R = C P A the reference at a pose, X.R their inner
product, E = |R|^2. Up to a constant of the image,

    distance      -1/2 |X - R|^2            =  X.R - E / 2
    correlation   X.R
    coefficient   max_{a >= 0} -1/2 |X - a R|^2  =  (X.R)^2 / (2 E)  =  1/2 |X|^2 CC^2,    CC = X.R / (|X| |R|)

all in nats. The last line is why the correlation coefficient is a likelihood, too: that of an image whose contrast is
not known. A negative X.R, for which a = 0 would be best, keeps its sign, so that the order is that of CC. The plain
correlation has no term that punishes a strong reference: of two noisy averages of the same thing the stronger one
attracts every image.
"""

from typing import Literal

import torch

__all__ = ["SIMILARITIES", "Similarity", "similarity_of"]

Similarity = Literal["coefficient", "correlation", "distance"]
SIMILARITIES: tuple[Similarity, ...] = ("coefficient", "correlation", "distance")


def similarity_of(similarity: Similarity, difference: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """Similarities from ``difference`` = X.R - E / 2 and ``norm`` = E / 2, tensors that broadcast.

    An empty reference (E = 0) has similarity 0.
    """
    if similarity == "distance":
        return difference
    product = difference + norm
    if similarity == "correlation":
        return product
    tiny = torch.finfo(norm.dtype).tiny
    return torch.where(norm > tiny, product * product.abs() / (4 * norm.clamp_min(tiny)), torch.zeros_like(product))
