"""Vector diffusion maps: neighbours whose alignments agree along every path between them.

Give every image an unknown vector in the plane. If image i is image j turned by psi, their vectors differ by that
rotation; if it is the mirror image of j turned by psi, by a reflection and that rotation. The symmetric matrix of all
these 2 x 2 maps (weighted, divided by the degrees of both images) averages over neighbours; its power t follows all
paths of t steps. Paths to an image of another view bring back vectors that disagree and cancel.

In complex notation an eigenvector holds one number z_il per image, and the power's block between i and j is

    z -> p z + r conj(z),   p_ij = sum_l w_l z_il conj(z_jl),   r_ij = sum_l w_l z_il z_jl,   w_l = lambda_l^t:

|p|^2 is the Hilbert-Schmidt affinity of i and j as they are, |r|^2 that of i with the mirror image of j, and the phase
of p or r is the in-plane rotation that all paths agree on. This is the matrix on 2n nodes (images and mirror images)
of Zhao and Singer, in the real basis that its symmetry allows.

Sources: Singer, Wu, Comm. Pure Appl. Math. 65, 1067 (2012); Zhao, Singer, J. Struct. Biol. 186, 153 (2014).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import eigsh

from vitreous.averages.neighbours.candidates import NeighbourLists
from vitreous.randomness import generator

__all__ = ["VectorDiffusion", "affinity_weights", "diffusion_neighbours", "vector_diffusion"]


@dataclass(frozen=True, kw_only=True)
class VectorDiffusion:
    """values: the largest eigenvalues, falling (l,); vectors: complex (n, l), one number per image."""

    values: torch.Tensor
    vectors: torch.Tensor


def vector_diffusion(
    lists: NeighbourLists, weights: torch.Tensor | None = None, *, eigenvectors: int = 100, seed: int = 0
) -> VectorDiffusion:
    """Top eigenvectors of the normalised connection matrix of a neighbour graph.

    lists: (n, S); weights: positive (n, S), by default all one. The graph is made symmetric by adding its transpose.
    Cost: some hundred products with a sparse matrix of up to 8 n S entries.
    """
    n, s = lists.index.shape
    if not 1 <= eigenvectors < 2 * n:
        raise ValueError(f"eigenvectors: expected 1 to {2 * n - 1} for {n} images, found {eigenvectors}")
    weight = np.ones(n * s) if weights is None else weights.reshape(-1).double().numpy()
    matrix = _connection(lists, weight)
    start = generator(seed, "vector diffusion").standard_normal(2 * n).astype(np.float32)
    wanted = min(eigenvectors, 2 * n - 1)
    values, vectors = eigsh(matrix, k=wanted, which="LA", v0=start, tol=1e-4)
    order = np.argsort(-values)
    pairs = torch.from_numpy(np.ascontiguousarray(vectors[:, order])).reshape(n, 2, wanted)
    return VectorDiffusion(
        values=torch.from_numpy(values[order].copy()).float(), vectors=torch.complex(pairs[:, 0], pairs[:, 1])
    )


def affinity_weights(affinity: torch.Tensor, temperature: float = 3.0) -> torch.Tensor:
    """Weights of edges (n, S) from their log affinities: 1 for the best of every image, less for the others.

    The temperature above 1 stands for what two log likelihoods of noisy images do not know.
    """
    return torch.exp((affinity - affinity.amax(1, keepdim=True)) / temperature)


def diffusion_neighbours(diffusion: VectorDiffusion, k: int, *, time: float = 2.0, rows: int = 512) -> NeighbourLists:
    """The k nearest by ``max(|p|^2, |r|^2)``, each image normalised to one with itself; never the image itself.

    time: diffusion time t, the power of the eigenvalues (negative ones count as zero). Memory: ``40 rows n`` bytes.
    """
    n = len(diffusion.vectors)
    if not 1 <= k < n:
        raise ValueError(f"{k} neighbours of {n} images were asked for: expected 1 to {n - 1}")
    z = diffusion.vectors * diffusion.values.clamp(min=0) ** (time / 2)
    z = z / z.abs().square().sum(1, keepdim=True).sqrt().clamp(min=1e-30)
    columns = torch.cat([z.real, z.imag]).T.contiguous()
    found = []
    for start in range(0, n, rows):
        part = z[start : start + rows]
        ca, cb = (part.real @ columns).split(n, dim=1)
        sa, sb = (part.imag @ columns).split(n, dim=1)
        plain, mirror = torch.complex(ca + sb, sa - cb), torch.complex(ca - sb, sa + cb)
        plain_size, mirror_size = (x.real.square() + x.imag.square() for x in (plain, mirror))
        score = torch.maximum(plain_size, mirror_size)
        score[torch.arange(len(part)), torch.arange(start, start + len(part))] = -1.0
        value, index = score.topk(k, dim=1)
        flip = mirror_size.gather(1, index) > plain_size.gather(1, index)
        phase = torch.where(flip, mirror.gather(1, index), plain.gather(1, index)).angle()
        found.append((index, flip, phase % (2 * torch.pi), value))
    index, mirrored, psi, value = (torch.cat(x) for x in zip(*found, strict=True))
    return NeighbourLists(index=index, mirrored=mirrored, psi_rad=psi, affinity=value)


def _connection(lists: NeighbourLists, weight: np.ndarray) -> csr_matrix:
    """The symmetric (2n, 2n) matrix D^-1/2 (sum of weighted 2 x 2 maps) D^-1/2 in single precision."""
    n, s = lists.index.shape
    i, j = np.repeat(np.arange(n), s), lists.index.reshape(-1).numpy()
    psi = lists.psi_rad.reshape(-1).double().numpy()
    sign = np.where(lists.mirrored.reshape(-1).numpy(), -1.0, 1.0)  # the reflection comes before the rotation
    c, d = weight * np.cos(psi), weight * np.sin(psi)
    rows = np.concatenate([2 * i, 2 * i, 2 * i + 1, 2 * i + 1])
    columns = np.concatenate([2 * j, 2 * j + 1, 2 * j, 2 * j + 1])
    maps = csr_matrix((np.concatenate([c, -sign * d, d, sign * c]), (rows, columns)), shape=(2 * n, 2 * n))
    degree = np.bincount(i, weight, n) + np.bincount(j, weight, n)
    scale = diags_array(np.repeat(1.0 / np.sqrt(np.maximum(degree, 1e-30)), 2))
    return csr_matrix(scale @ (maps + maps.T) @ scale).astype(np.float32)
