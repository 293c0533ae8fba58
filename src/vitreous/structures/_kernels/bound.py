"""From rows of one level of a tree of poses to those below, at the in-plane rotations that are still possible.

Harmonics are packed ring after ring: ring r has ``harmonics[r]`` of them, P in all.
"""

import numpy as np

from vitreous.compiled import compiled

__all__ = ["descend"]


@compiled
def _products(x, references, harmonics, real, imag):
    """c_q = sum_r conj(x) a of one image and one row, (2, P) both; real and imag (Q,) are written."""
    real[:] = 0
    imag[:] = 0
    xr, xi, ar, ai = x[0], x[1], references[0], references[1]
    at = 0
    for r in range(harmonics.shape[0]):
        for q in range(harmonics[r]):
            real[q] += xr[at + q] * ar[at + q] + xi[at + q] * ai[at + q]
            imag[q] += xr[at + q] * ai[at + q] - xi[at + q] * ar[at + q]
        at += harmonics[r]


@compiled
def _norms(ctf_power, power, real, imag):
    """Take half of the norm's harmonics 2, 4, .. off c_q; half of its mean over rotations. Both (2, R, H)."""
    mean = np.float32(0)
    for h in range(min(power.shape[2], (real.shape[0] + 1) // 2)):
        a, b = np.float32(0), np.float32(0)
        for r in range(power.shape[1]):
            a += ctf_power[0, r, h] * power[0, r, h] + ctf_power[1, r, h] * power[1, r, h]
            b += ctf_power[0, r, h] * power[1, r, h] - ctf_power[1, r, h] * power[0, r, h]
        if h == 0:
            mean = np.float32(0.5) * a
        else:
            real[2 * h] -= np.float32(0.5) * a
            imag[2 * h] -= np.float32(0.5) * b
    return mean


@compiled
def _at_turn(turn, real, imag):
    """Re sum_q m_q c_q e^{iq psi} at a rotation, turn (2, Q) of the synthesis; real and imag may be shorter."""
    value = np.float32(0)
    c, v = turn[0], turn[1]
    for q in range(real.shape[0]):
        value += real[q] * c[q] + imag[q] * v[q]
    return value


@compiled
def _possible(synthesis, real, imag, least, possible):
    """The rotations at which a row has at least ``least``, into the first places of possible (T,); their number."""
    count = 0
    for t in range(synthesis.shape[0]):
        if least == -np.inf or _at_turn(synthesis[t], real, imag) >= least:
            possible[count] = t
            count += 1
    return count


@compiled
def descend(
    images,
    ctf_power,
    above,
    above_power,
    above_harmonics,
    below,
    below_power,
    below_harmonics,
    synthesis,
    shifts,
    direction_first,
    shift_first,
    image,
    row,
    floor,
    below_row,
    score,
    turn,
):
    """The children of listed rows and their highest log likelihoods; returns how many poses were scored.

    images (n, 2, P) float32 and ctf_power (n, 2, R, H): of :class:`vitreous.matching.ImageTile`; above, below (D S, 2,
    P'): shifted slices times the ring weight, with their harmonics (R',) and power (D, 2, R', H); shifts: S of both
    levels. Children of direction d are ``direction_first[d] .. direction_first[d + 1] - 1``, of a shift likewise.
    synthesis (T, 2, Q): m_q cos and -m_q sin of q psi, for all rotations. Pairs ``image, row`` (c,) may have any order;
    in that of rows a slice is still in the cache when the next image needs it. A child is scored at the rotations
    where its parent has at least floor (c,).

    Written for each of the (c',) children, pair after pair: its row, score (-inf where no rotation is possible) and
    rotation.
    """
    turns, width, narrow = synthesis.shape[0], synthesis.shape[2], above_harmonics[-1]
    real, imag = np.empty(width, np.float32), np.empty(width, np.float32)
    possible = np.empty(turns, np.int64)
    at, poses = 0, 0
    for j in range(row.shape[0]):
        i, d, s = image[j], row[j] // shifts[0], row[j] % shifts[0]
        least = floor[j]
        if least > -np.inf:
            _products(images[i], above[row[j]], above_harmonics, real[:narrow], imag[:narrow])
            least += _norms(ctf_power[i], above_power[d], real[:narrow], imag[:narrow])
        count = _possible(synthesis, real[:narrow], imag[:narrow], least, possible)
        for a in range(direction_first[d], direction_first[d + 1]):
            for b in range(shift_first[s], shift_first[s + 1]):
                k = a * shifts[1] + b
                _products(images[i], below[k], below_harmonics, real, imag)
                mean = _norms(ctf_power[i], below_power[a], real, imag)
                best, where = np.float32(-np.inf), 0
                for p in range(count):
                    value = _at_turn(synthesis[possible[p]], real, imag)
                    if value > best:
                        best, where = value, possible[p]
                below_row[at], score[at], turn[at] = k, best - mean, where
                poses += count
                at += 1
    return poses
