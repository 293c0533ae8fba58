"""How well two noisy images agree: the Mahalanobis affinity and the likelihood ratio, per pair of defocus groups.

Of image i we know that its clean components x_i are N(alpha_i, L_g), g its defocus group. For images i, j in groups
g, h whose components have been aligned, two affinities of one quadratic form,

    affinity = c_gh - 1/2 alpha_i U_gh alpha_i - 1/2 alpha_j V_gh alpha_j + alpha_i W_gh alpha_j,

block by block in the angular order:

- ``mahalanobis_form``, the density of x_i - x_j at zero, as printed by Bhamre, Zhao, Singer (2017), equation 14:
  ``-1/2 log det(L_g + L_h) - 1/2 (alpha_i - alpha_j)^T (L_g + L_h)^-1 (alpha_i - alpha_j)``.
- ``likelihood_form``, the log likelihood ratio of "both show one image drawn from N(0, S)" to "each shows its own".
  It is the former divided by the prior at the common image, so that images near the mean, which are near to
  everything, are no longer everyone's neighbours; and images in which little can be seen score near zero.

Only the last term changes when j is rotated or mirrored: the search over rotations is a product of matrices.

Sources: SCIENCE.md section 6; Bhamre, Zhao, Singer, arXiv 1611.03193.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

__all__ = [
    "GroupForm",
    "ImagePosteriors",
    "PairForm",
    "likelihood_form",
    "mahalanobis_affinity",
    "mahalanobis_form",
    "up_to_order",
]

_FLOOR = 1e-10  # of the largest eigenvalue: directions below carry no variance, hence no evidence


@dataclass(frozen=True, kw_only=True)
class ImagePosteriors:
    """What is known about the principal components of n clean images, measured from the mean image.

    components: complex (n, C), ordered by order; orders: int64 (C,), q >= 0; variances: prior variances (C,);
    posterior: per order that occurs, ascending, L of every group (G, c, c); group: int64 (n,).
    All variances are of complex components: for q > 0 half lies in each of the real and imaginary parts.
    """

    components: torch.Tensor
    orders: torch.Tensor
    variances: torch.Tensor
    posterior: tuple[torch.Tensor, ...]
    group: torch.Tensor

    def __post_init__(self) -> None:
        n, c = self.components.shape
        if len(self.orders) != c or len(self.variances) != c or len(self.group) != n:
            raise ValueError(
                f"components are ({n}, {c}), but there are {len(self.orders)} orders, {len(self.variances)} variances "
                f"and {len(self.group)} groups"
            )
        sizes = torch.unique_consecutive(self.orders, return_counts=True)[1].tolist()
        if [p.shape[-1] for p in self.posterior] != sizes:
            raise ValueError(
                f"posterior: expected blocks of sizes {sizes}, found {[len(p[0]) for p in self.posterior]}"
            )

    @property
    def groups(self) -> int:
        """Number of defocus groups."""
        return len(self.posterior[0])

    @property
    def blocks(self) -> list[tuple[int, slice]]:
        """(order, its components) for every order that occurs."""
        values, sizes = torch.unique_consecutive(self.orders, return_counts=True)
        ends = [0, *torch.cumsum(sizes, 0).tolist()]
        return [(int(q), slice(a, b)) for q, (a, b) in zip(values, pairwise(ends), strict=True)]

    @property
    def multiplicity(self) -> torch.Tensor:
        """1 for q = 0, 2 for the others, which stand for -q too: (C,)."""
        return torch.where(self.orders == 0, 1.0, 2.0).to(self.components.real.dtype)


@dataclass(frozen=True, kw_only=True)
class GroupForm:
    """The quadratic form of pairs (i in one group g, j in any group h).

    first, second, cross: U, V, W per order, float64 (G, c, c); constant: float64 (G,). The index is h.
    """

    first: tuple[torch.Tensor, ...]
    second: tuple[torch.Tensor, ...]
    cross: tuple[torch.Tensor, ...]
    constant: torch.Tensor

    def weighted(self, components: torch.Tensor, h: int) -> torch.Tensor:
        """``W alpha_j`` for components (m, C) of images of group h."""
        weight = torch.block_diag(*(w[h] for w in self.cross)).to(components.real).T
        return torch.complex(components.real @ weight, components.imag @ weight)

    def own_first(self, components: torch.Tensor, multiplicity: torch.Tensor) -> torch.Tensor:
        """``c - 1/2 alpha_i U alpha_i`` of images of group g beside every group h: (m, C) -> (m, G)."""
        total = self.constant.to(components.real).expand(len(components), -1).clone()
        start = 0
        for u in self.first:
            block = slice(start, start := start + u.shape[-1])
            for part in (components.real[:, block], components.imag[:, block]):
                turned = torch.einsum("nc,hcd->hnd", part, u.to(part))
                total -= 0.5 * float(multiplicity[block][0]) * torch.einsum("hnd,nd->nh", turned, part)
        return total

    def own_second(self, components: torch.Tensor, multiplicity: torch.Tensor, h: int) -> torch.Tensor:
        """``-1/2 alpha_j V alpha_j`` of images of group h: (m, C) -> (m,)."""
        return _own(self.second, components, multiplicity, h)

    def aligned(self, x: torch.Tensor, y: torch.Tensor, multiplicity: torch.Tensor, h: int) -> torch.Tensor:
        """Affinity of aligned pairs (image of group g, image of group h): (m, C), (m, C) -> (m,)."""
        cross = ((x.conj() * self.weighted(y, h)).real) @ multiplicity
        ends = _own(self.first, x, multiplicity, h) + _own(self.second, y, multiplicity, h)
        return cross + ends + float(self.constant[h])


PairForm = Callable[[ImagePosteriors, int], GroupForm]  # the form of one group g with all groups


def mahalanobis_form(posteriors: ImagePosteriors, group: int) -> GroupForm:
    """The printed affinity of images of ``group`` with those of every group.

    ``-1/2 log det`` is of the covariance of complex components, counted twice for q > 0: constants apart, it is
    that of real and imaginary parts. Directions without variance in both images are left out (pseudo-inverse).
    """
    weights, constant = [], torch.zeros(posteriors.groups, dtype=torch.float64)
    for (q, _), block in zip(posteriors.blocks, posteriors.posterior, strict=True):
        inverse, log_det = _inverse(block[group].double() + block.double())
        weights.append(inverse)
        constant -= 0.5 * (1 if q == 0 else 2) * log_det
    return GroupForm(first=tuple(weights), second=tuple(weights), cross=tuple(weights), constant=constant)


def likelihood_form(posteriors: ImagePosteriors, group: int) -> GroupForm:
    """The log likelihood ratio of one common image to two independent ones, for ``group`` with every group.

    With components in units of their prior deviation, B = L^-1 >= 1 and C = (B_g + B_h - 1)^-1, the covariance given
    both images: U = B_g - B_g C B_g, V = B_h - B_h C B_h, W = B_g C B_h, c = 1/2 log det(C B_g B_h).
    """
    first, second, cross, constant = [], [], [], torch.zeros(posteriors.groups, dtype=torch.float64)
    for (q, where), block in zip(posteriors.blocks, posteriors.posterior, strict=True):
        deviation = posteriors.variances[where].double().sqrt()
        scale = deviation[:, None] * deviation
        b, log_l = _inverse(block.double() / scale)
        c, log_c = _inverse(b[group] + b - torch.eye(len(scale), dtype=torch.float64))
        mine = b[group].expand_as(b)
        first.append((mine - mine @ c @ mine) / scale)
        second.append((b - b @ c @ b) / scale)
        cross.append((mine @ c @ b) / scale)
        constant += 0.5 * (1 if q == 0 else 2) * (-log_c - log_l[group] - log_l)
    return GroupForm(first=tuple(first), second=tuple(second), cross=tuple(cross), constant=constant)


def mahalanobis_affinity(
    posteriors: ImagePosteriors,
    neighbours: torch.Tensor,
    psi_rad: torch.Tensor,
    mirrored: torch.Tensor,
    form: PairForm = mahalanobis_form,
) -> torch.Tensor:
    """Affinity of every image with its listed neighbours, aligned as given: (n, S).

    neighbours: int64 (n, S); image i is compared with neighbour j, mirrored (conjugated) where so marked, then turned
    by psi: components times exp(i q psi). ``form`` exchanges the affinity.
    """
    out = torch.empty(neighbours.shape, dtype=posteriors.components.real.dtype)
    flat, multiplicity = out.view(-1), posteriors.multiplicity
    for own, mine, theirs, h, where in group_pairs(posteriors, neighbours, form):
        x, y = posteriors.components[mine], posteriors.components[theirs]
        y = turned_components(y, posteriors.orders, psi_rad.reshape(-1)[where], mirrored.reshape(-1)[where])
        flat[where] = own.aligned(x, y, multiplicity, h).to(flat)
    return out


def group_pairs(
    posteriors: ImagePosteriors, neighbours: torch.Tensor, form: PairForm
) -> Iterator[tuple[GroupForm, torch.Tensor, torch.Tensor, int, torch.Tensor]]:
    """Listed pairs by groups: (form of g, images i, images j, group h, places in the flattened list)."""
    images = torch.arange(len(neighbours))[:, None].expand_as(neighbours).reshape(-1)
    partners, groups = neighbours.reshape(-1), posteriors.groups
    code = posteriors.group[images] * groups + posteriors.group[partners]
    order = torch.argsort(code, stable=True)
    present, counts = torch.unique_consecutive(code[order], return_counts=True)
    made, own = -1, None
    for key, where in zip(present.tolist(), order.split(counts.tolist()), strict=True):
        g, h = divmod(key, groups)
        if own is None or g != made:
            made, own = g, form(posteriors, g)
        yield own, images[where], partners[where], h, where


def turned_components(
    components: torch.Tensor, orders: torch.Tensor, psi_rad: torch.Tensor, mirrored: torch.Tensor
) -> torch.Tensor:
    """Components (m, C) mirrored where so marked (m,), then turned by psi (m,)."""
    phase = psi_rad[:, None].to(components.real) * torch.arange(int(orders.max()) + 1, device=orders.device)
    turn = torch.polar(torch.ones_like(phase), phase)[:, orders]
    return torch.where(mirrored[:, None], components.conj(), components) * turn


def up_to_order(posteriors: ImagePosteriors, highest: int) -> ImagePosteriors:
    """The components of orders up to ``highest`` alone."""
    kept = posteriors.orders <= highest
    blocks = zip(posteriors.blocks, posteriors.posterior, strict=True)
    return ImagePosteriors(
        components=posteriors.components[:, kept].contiguous(),
        orders=posteriors.orders[kept],
        variances=posteriors.variances[kept],
        posterior=tuple(p for (q, _), p in blocks if q <= highest),
        group=posteriors.group,
    )


def _own(matrices: tuple[torch.Tensor, ...], x: torch.Tensor, multiplicity: torch.Tensor, h: int) -> torch.Tensor:
    weight = torch.block_diag(*(m[h] for m in matrices)).to(x.real)
    return -0.5 * ((x.real @ weight) * x.real + (x.imag @ weight) * x.imag) @ multiplicity


def _inverse(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pseudo-inverse and log pseudo-determinant of positive semi-definite (..., c, c)."""
    value, vector = torch.linalg.eigh(0.5 * (matrices + matrices.mT))
    kept = value > _FLOOR * value[..., -1:].clamp(min=torch.finfo(value.dtype).tiny)
    safe = torch.where(kept, value, 1.0)
    inverse = (vector * torch.where(kept, 1.0 / safe, 0.0)[..., None, :]) @ vector.mT
    return inverse, safe.log().sum(-1)
