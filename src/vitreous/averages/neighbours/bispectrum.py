"""Features that do not change when an image is rotated: its bispectrum, compressed by a randomised PCA.

A rotation multiplies a component of order q by exp(i q psi), so

    a_1 a_2 conj(a_3)     with q_3 = q_1 + q_2

does not change, and a mirror conjugates it. Amplitudes are taken to the power 1/3 first, so that the product of three
is of the size of one. There are far too many triples; a random part, drawn by size, serves. Mirrored
and plain copies of the data together have a real covariance, so the PCA is real, and the mirror image's features are
the conjugates.

Source: Zhao, Singer, J. Struct. Biol. 186, 153 (2014).
"""

import torch

from vitreous.randomness import generator, torch_generator

__all__ = ["all_triples", "bispectrum", "choose_triples", "invariant_features", "principal_axes"]

_FIT_IMAGES = 10000  # whose bispectra the principal axes are found from
_CHUNK = 1024


def bispectrum(components: torch.Tensor, triples: torch.Tensor) -> torch.Tensor:
    """``a_1 a_2 conj(a_3)`` with amplitudes to the power 1/3: complex (n, C), (B, 3) indices -> complex (n, B)."""
    cubic = components / components.abs().clamp(min=1e-30) ** (2.0 / 3.0)
    return cubic[:, triples[:, 0]] * cubic[:, triples[:, 1]] * cubic[:, triples[:, 2]].conj()


def all_triples(orders: torch.Tensor) -> torch.Tensor:
    """Index triples (B, 3) with orders q_1 <= q_2, q_1 + q_2 = q_3, each unordered pair (1, 2) once."""
    q = torch.as_tensor(orders)
    first, second = torch.triu_indices(len(q), len(q)).unbind()
    total = q[first] + q[second]
    found = []
    for value in torch.unique(q).tolist():
        pair = torch.nonzero(total == value)[:, 0]
        third = torch.nonzero(q == value)[:, 0]
        a, b = torch.cartesian_prod(pair, third).unbind(1)
        found.append(torch.stack([first[a], second[a], b], 1))
    return torch.cat(found)


def choose_triples(components: torch.Tensor, orders: torch.Tensor, count: int, *, seed: int = 0) -> torch.Tensor:
    """Up to ``count`` of all triples, drawn without repetition, likelier the larger the bispectrum is on average."""
    triples = all_triples(orders)
    if len(triples) <= count:
        return triples
    size = components.abs().square().mean(0).double() ** (1.0 / 6.0)
    log_weight = size[triples].prod(1).clamp(min=1e-300).log()
    # The largest of log weight + Gumbel noise are a weighted draw without repetition.
    uniform = torch.from_numpy(generator(seed, "bispectrum triples").random(len(triples)))
    return triples[(log_weight - torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12)))).topk(count).indices]


def principal_axes(features: torch.Tensor, axes: int, *, seed: int = 0) -> torch.Tensor:
    """Orthonormal real (B, axes) of the largest principal axes of features (n, B) and their conjugates, not centred."""
    stacked = torch.cat([features.real, features.imag])
    axes = min(axes, *stacked.shape)
    test = torch.randn(stacked.shape[1], axes, generator=torch_generator(seed, "bispectrum axes"), dtype=stacked.dtype)
    for _ in range(2):
        test = torch.linalg.qr(stacked.T @ (stacked @ test))[0]
    return test


def invariant_features(
    components: torch.Tensor, orders: torch.Tensor, *, triples: int = 4000, axes: int = 300, seed: int = 0
) -> torch.Tensor:
    """Rotation-invariant features, complex (n, axes); those of the mirror image are the conjugates.

    The mean of the real parts is removed: it is what all images have in common.
    """
    chosen = choose_triples(components, orders, triples, seed=seed)
    n = len(components)
    some = torch.from_numpy(generator(seed, "bispectrum images").permutation(n)[:_FIT_IMAGES].copy())
    fit = bispectrum(components[some], chosen)
    mean = fit.real.mean(0)
    basis = principal_axes(fit - mean, axes, seed=seed)
    return torch.cat(
        [
            torch.complex((part.real - mean) @ basis, part.imag @ basis)
            for part in (bispectrum(x, chosen) for x in components.split(_CHUNK))
        ]
    )
