"""Loops over pairs and triples of images with common lines; see :mod:`vitreous.structures.from_averages.lines`."""

import math

import numpy as np

from vitreous.compiled import compiled

__all__ = ["best_pairs", "own_lines", "place_image", "triangle_bins", "unsquared_step", "vote"]


@compiled
def best_pairs(even, odd, half, first_i, first_j, line, correlation):
    """The best lines of all pairs i < j of a block, into line (n, n) and correlation (n, n).

    even, odd: (images half, images half) products of real and of imaginary parts.
    """
    # Comparing element by element, and not within a row, is a loop for vector units.
    top, place = np.empty(half, np.float32), np.empty(half, np.int32)
    for a in range(even.shape[0] // half):
        i = first_i + a
        for b in range(even.shape[1] // half):
            j = first_j + b
            if j <= i:
                continue
            top[:] = -2.0
            for p in range(half):
                u, v = even[a * half + p, b * half : (b + 1) * half], odd[a * half + p, b * half : (b + 1) * half]
                for q in range(half):
                    value = u[q] + abs(v[q])
                    better = value > top[q]
                    top[q] = value if better else top[q]
                    place[q] = p if better else place[q]
            q = int(top.argmax())
            line[i, j] = place[q]
            line[j, i] = q if odd[a * half + place[q], b * half + q] >= 0 else q + half
            correlation[i, j] = correlation[j, i] = top[q]


@compiled
def triangle_bins(half, bins):
    """The bin of the angle between two planes, by the places a, b, c of :func:`vote`; -1 where there is no triangle."""
    full = 2 * half
    cosines = np.cos(np.arange(full) * math.pi / half)
    sines = np.sin(np.arange(full) * math.pi / half)
    out = np.full((full, full, full), -1, np.int8)
    for a in range(full):
        for b in range(full):
            below = sines[a] * sines[b]
            if abs(below) < 0.02:
                continue
            for c in range(full):
                value = (cosines[c] - cosines[a] * cosines[b]) / below
                if -1.0 <= value <= 1.0:
                    out[a, b, c] = min(bins - 1, int(math.acos(value) / math.pi * bins))
    return out


@compiled
def vote(line, table, thirds, bins, width, cosine, weight):
    """The angle between the planes of every pair, as third images see it: cosine (n, n), weight (n, n), symmetric.

    For a third image k the common lines of i, j and k are a triangle on the sphere. With the angle c between the two
    lines in image k, and the signed angles a and b from the line (i, j) to that of k in images i and j,

        cos theta_ij = (cos c - cos a cos b) / (sin a sin b)

    All thirds (``thirds`` of them, evenly among the others, from a place that the pair gives) vote on theta in a
    histogram of ``bins`` over [0, pi], smoothed by a Gaussian of ``width`` bins; table: of :func:`triangle_bins`.
    weight: votes in the peak less those that chance gives, over the number of thirds.
    """
    n, full = line.shape[0], table.shape[0]
    back = line.T.copy()
    reach = int(3 * width) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded, smooth = np.zeros(bins + 2 * reach), np.empty(bins)
    step, asked = max(1, (n - 2) // thirds), min(thirds, n - 2)
    for i in range(n):
        for j in range(i + 1, n):
            padded[:] = 0.0
            k = (i * 7919 + j * 104729) % n
            own, other, votes = line[i, j], line[j, i], 0
            for _ in range(asked):
                k += step
                if k >= n:
                    k -= n
                while k in (i, j):
                    k = k + 1 if k + 1 < n else 0
                a, b, c = line[i, k] - own, line[j, k] - other, back[i, k] - back[j, k]
                where = table[a + full if a < 0 else a, b + full if b < 0 else b, c + full if c < 0 else c]
                if where >= 0:
                    padded[where + reach] += 1.0
                    votes += 1
            # Angles beyond 0 and pi are those before it.
            for d in range(reach):
                padded[reach - 1 - d] = padded[reach + d]
                padded[reach + bins + d] = padded[reach + bins - 1 - d]
            smooth[:] = 0.0
            for d in range(2 * reach + 1):
                for m in range(bins):
                    smooth[m] += kernel[d] * padded[m + d]
            m = int(smooth.argmax())
            chance = votes * kernel.sum() / bins
            cosine[i, j] = cosine[j, i] = math.cos((m + 0.5) * math.pi / bins)
            weight[i, j] = weight[j, i] = max(0.0, (smooth[m] - chance) / max(1, asked))


@compiled
def unsquared_step(angle, weight, rotation, least, out):
    """One step of iteratively reweighted least squares on ``sum_ij weight_ij |G_i c_ij - G_j c_ji|``.

    angle (n, n), weight (n, n), rotation (n, 3, 3). out (n, 3, 2): ``sum_j w_ij G_j c_ji c_ij^T`` with w the weight
    over the present distance (not below ``least``). Returns the mean distance under the weights.
    """
    n = angle.shape[0]
    total, norm = 0.0, 1e-12
    out[:] = 0.0
    for i in range(n):
        for j in range(n):
            if j == i or weight[i, j] == 0.0:
                continue
            ci, si = math.cos(angle[i, j]), math.sin(angle[i, j])
            cj, sj = math.cos(angle[j, i]), math.sin(angle[j, i])
            square = 0.0
            for d in range(3):
                other = rotation[j, d, 0] * cj + rotation[j, d, 1] * sj
                square += (rotation[i, d, 0] * ci + rotation[i, d, 1] * si - other) ** 2
            distance = math.sqrt(square)
            total += weight[i, j] * distance
            norm += weight[i, j]
            w = weight[i, j] / max(distance, least)
            for d in range(3):
                other = w * (rotation[j, d, 0] * cj + rotation[j, d, 1] * sj)
                out[i, d, 0] += other * ci
                out[i, d, 1] += other * si
    return total / norm


@compiled
def _shared_line(m, r, unit, full):
    """The line in which the planes of rotations m and r meet: its place in both, (-1, -1) where they nearly agree."""
    x = m[1, 2] * r[2, 2] - m[2, 2] * r[1, 2]
    y = m[2, 2] * r[0, 2] - m[0, 2] * r[2, 2]
    z = m[0, 2] * r[1, 2] - m[1, 2] * r[0, 2]
    if x * x + y * y + z * z < 1e-3:
        return -1, -1
    a = math.atan2(m[0, 1] * x + m[1, 1] * y + m[2, 1] * z, m[0, 0] * x + m[1, 0] * y + m[2, 0] * z)
    b = math.atan2(r[0, 1] * x + r[1, 1] * y + r[2, 1] * z, r[0, 0] * x + r[1, 0] * y + r[2, 0] * z)
    return int(round(a * unit) + full) % full, int(round(b * unit) + full) % full


@compiled
def place_image(tables, matrices, group, placed, rotations, half, score):
    """How well every orientation of an image agrees with images that are placed: score (D, 2h) is filled.

    tables (n, 2h, 2h): correlations of the image's lines (last axis) with lines of image j; matrices (D, 3, 3): of
    the directions, the rotation in the plane by ``-pi s / h`` following; placed: indices j; rotations (n, 3, 3);
    group (g, 3, 3). The line of two planes is the cross product of their normals; an image's line at angle a has the
    angle a - psi after it has been turned.
    """
    full = 2 * half
    score[:] = 0.0
    for d in range(matrices.shape[0]):
        for g in range(group.shape[0]):
            m = group[g] @ matrices[d]
            for at in range(placed.shape[0]):
                first, other = _shared_line(m, rotations[placed[at]], half / math.pi, full)
                if first < 0:
                    continue
                row = tables[placed[at], other]
                for s in range(full - first):
                    score[d, s] += row[first + s]
                for s in range(full - first, full):
                    score[d, s] += row[first + s - full]


@compiled
def own_lines(table, matrices, group, half, score):
    """How well an image agrees with its own copies under a group, in every orientation; added to score (D, 2h).

    table (2h, 2h): correlations of its lines with each other; the others as in :func:`place_image`.
    """
    full = 2 * half
    for d in range(matrices.shape[0]):
        for g in range(1, group.shape[0]):
            first, other = _shared_line(matrices[d], group[g] @ matrices[d], half / math.pi, full)
            if first < 0:
                continue
            for s in range(full):
                score[d, s] += table[(other + s) % full, (first + s) % full]
