"""What follows from a pass: spectra, noise, rings, and what is done next.

Local passes until poses stand still; a sample of the particles looks at all views; if it helps, all do, and local
passes follow; then passes in which particles are spread over their posteriors; the end.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vitreous.matching import PreparedParticles, residual_noise
from vitreous.rotations import rotation_distance_deg
from vitreous.structures.refine.images import window_A
from vitreous.structures.refine.imaging import with_priors
from vitreous.structures.refine.spectra import half_fsc, resolved_rings
from vitreous.structures.refine.state import Found, Pass, RefineState
from vitreous.volumes import VolumeSums, cross_power

__all__ = ["apart_deg", "following_state"]

AHEAD, GROWTH = 3, 5  # rings beyond what is resolved; most rings more than in the last pass
STILL_SDS = 0.3  # median change of a pose, in standard deviations per unknown, below which poses stand still
WORTH_SEARCHING = 0.02  # of a sample: share of particles that found a better view


def apart_deg(a: np.ndarray, b: np.ndarray, group: torch.Tensor) -> np.ndarray:
    """Angle between rotations (m, 3, 3) and the nearest copies of others under a group (g, 3, 3)."""
    copies = group.double()[:, None] @ torch.from_numpy(b)
    return rotation_distance_deg(torch.from_numpy(a)[None].expand_as(copies), copies).amin(0).numpy()


def following_state(
    work: Pass, state: RefineState, halves: tuple[VolumeSums, VolumeSums], index: np.ndarray, found: Found
) -> tuple[RefineState, dict[str, Any]]:
    """The state after a pass that has found this of particles ``index``, and what is worth knowing of the pass."""
    data, rings = work.data, state.rings
    fsc = half_fsc(*halves, data.basis.truncated(rings))
    tau2 = cross_power(*halves, rings).clamp_min(0)
    resolved = resolved_rings(fsc)
    turned = apart_deg(found.rotation, state.rotation[index], work.group)
    sd = np.rad2deg(np.sqrt(3 / np.maximum(np.trace(found.information[:, :3, :3], axis1=1, axis2=2), 1e-9)))
    next_rings = _rings(state, resolved)
    settled = bool(np.median(turned / sd) < STILL_SDS) and (next_rings == rings or resolved <= state.best_resolved)
    reached = replace(
        state,
        iteration=state.iteration + 1,
        rings=next_rings,
        rotation=_put(state.rotation, index, found.rotation),
        origin_A=_put(state.origin_A, index, found.origin_A),
        gain=_put(state.gain, index, found.gain),
        information=_put(state.information, index, found.information),
        noise_power=residual_noise(state.noise_power, data, tau2, rings),
        inserted_noise=state.noise_power,
        inserted_rings=rings,
        inserted_spread=state.spread,
        fsc=fsc,
        resolved=resolved,
        best_resolved=max(resolved, state.best_resolved),
        offset_sd_A=_offset_sd(found.origin_A, data),
        still=state.still + 1 if settled else 0,
        imaging=with_priors(
            state.imaging, found.imaged, index, work.imaging_group[index], defocus=work.defocus, scale=work.scale
        ),
    )
    rescued = float(found.moved.sum() / max(found.searched.sum(), 1))
    following = (
        replace(reached, search="none", still=0)
        if work.unknown
        else _decided(reached, state.search, rescued, work.method.spreads)
    )
    field = window_A(data)
    info = {
        "log_likelihood": float(found.gain.mean()),
        "rings": rings,
        "resolution_A": field / max(resolved, 1),
        "search_resolution_A": field / rings,
        "fsc": [round(float(f), 4) for f in fsc],
        "turned_deg": float(np.median(turned)),
        "accuracy_deg": float(np.median(sd)),
        "sigma_offset_A": following.offset_sd_A,
        "searched": int(found.searched.sum()),
        "rescued": int(found.moved.sum()),
        "spread": state.spread,
        "converged": following.converged,
        **({"defocus_spread_A": following.imaging.defocus_spread_A} if work.defocus != "none" else {}),
        **({"scale_spread": following.imaging.scale_spread} if work.scale != "none" else {}),
    }
    return following, info


def _rings(state: RefineState, resolved: int) -> int:
    """Rings of the next pass: those resolved and some more, never fewer than there have been."""
    rings = state.rings
    wanted = resolved + (AHEAD if resolved < rings else GROWTH)
    return max(min(wanted, rings + GROWTH, state.room), min(rings, state.room))


def _decided(reached: RefineState, searched: str, rescued: float, spreads: bool) -> RefineState:
    """With what is done next, after a pass in which none, a sample or all of the particles looked at all views."""
    if searched == "sample":
        if rescued > WORTH_SEARCHING:
            return replace(reached, search="all", looked=True, still=0)
        return replace(reached, search="none", looked=True, spread=spreads and reached.still > 0, still=0)
    if searched == "all":
        return replace(reached, search="none", looked=True, still=0)
    if not reached.still:
        return reached
    if not reached.looked:
        return replace(reached, search="sample")
    if spreads and not reached.spread:
        return replace(reached, spread=True, still=0)
    return replace(reached, converged=True)


def _offset_sd(origin_A: np.ndarray, data: PreparedParticles) -> float:
    """Standard deviation of origins per axis, robustly; at least half a pixel."""
    spread = 1.4826 * float(np.median(np.abs(origin_A - np.median(origin_A, 0))))
    return max(spread, 0.5 * data.preparation.pixel_size_A)


def _put(old: np.ndarray, index: np.ndarray, value: np.ndarray) -> np.ndarray:
    out = old.copy()
    out[index] = value
    return out
