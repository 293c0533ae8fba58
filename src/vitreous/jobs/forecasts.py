"""How long a job will still take, from what its passes have said and taken so far.

A pass of most methods costs more, the later it is: resolution marches, more particles take part, and some passes search
everything again. So the time that is left is not (passes left) x (mean time of a pass). A forecast plays the schedule
of its method on without knowing the data that decide: it takes the usual number of passes at every stage, and their
cost relative to that of the passes that there have been. The constants are what runs on simulated and real particles
took. A forecast is meant to be right within a factor of two from a fifth of the run on, not better.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from vitreous.matching.schedule import AHEAD, FIRST_RINGS, SETTLED

__all__ = ["forecast_class2d", "forecast_refine", "passes_at_rings", "seconds_of"]

Info = Mapping[str, Any]
Work = tuple[float, float]  # seconds of a pass, and its cost in units of the method

RECENT = 3  # passes that say what a unit takes, the one in the middle: now and then the machine does something else
CLASS2D_RECENT = 4  # of a classification, where passes over all classes and over some of them take turns
CLASS2D_STAY, CLASS2D_SETTLED = 3, 10  # passes at one number of rings; rings from which one pass suffices
CLASS2D_AWAY = 0.4  # of the logarithm of (rings that the pixels allow / rings in use): where the averages end
CLASS2D_LAST = 2  # passes at the last rings
CLASS2D_PRUNED = 11  # rings from which the coarse pass and sharp posteriors make up for finer grids
CLASS2D_GROWTH = 1.25  # of the particles in a pass
CLASS2D_END = 4.0  # final pass, test with noise, averages from the original pixels: in passes over all particles
REFINE_GROWTH, REFINE_GROWS = 5, 2  # rings of a pass more than in the last one, and in how many passes
REFINE_LOCAL, REFINE_LAST = 1, 2  # passes at the last rings before a sample looks at all views; that spread, after all
REFINE_SPREAD = 2.5  # of a pass that spreads particles over their posteriors, in local ones
REFINE_HELPS = 0.02  # share of a sample that found a better view, above which all particles look
REFINE_END = 2.5  # test with noise, and maps from the original pixels: in passes
REFINE_SEARCH = 8.0  # of a pass in which all particles look at all views, in local ones


def forecast_class2d(infos: Sequence[Info], *, passes: int, most_rings: int, particles: int) -> float:
    """passes: the most that there may be; most_rings: that the pixels allow."""
    last = infos[-1]
    rings, batch, to_come = int(last["rings"]), float(last["batch_size"]), []
    for rings in _class2d_rings(infos, most_rings)[: max(passes - int(last["iteration"]), 0)]:
        batch = min(float(particles), batch * CLASS2D_GROWTH)
        to_come.append(_class2d_units(rings, batch))
    end = CLASS2D_END * _class2d_units(rings, particles)
    done = [(i["seconds"], _class2d_units(i["rings"], i["batch_size"])) for i in infos]
    return seconds_of(done, [*to_come, end], recent=CLASS2D_RECENT)


def _class2d_rings(infos: Sequence[Info], most_rings: int) -> list[int]:
    """Rings of the passes to come, as :class:`vitreous.matching.March` usually goes.

    Rings grow as far as the averages resolve, which is mostly well before the pixels end, and passes end when classes
    have settled there. Where that is nobody knows before a ring is not resolved; until then it is guessed. Classes that
    do not settle are expected to take as long again as they have.
    """
    last = infos[-1]
    if last["converged"]:
        return []
    rings, resolved, here = int(last["rings"]), int(last["resolved_rings"]), passes_at_rings(infos)
    limit = min(max(resolved + AHEAD, FIRST_RINGS), most_rings)
    if resolved >= rings:
        limit = max(limit, round(rings * (most_rings / rings) ** CLASS2D_AWAY))
    if rings >= limit:
        return [rings] * max(here, CLASS2D_LAST)
    stay = 0 if last["changed_fraction"] < SETTLED else max(_class2d_stay(rings) - here, 0)
    grown = [r for r in range(rings + 1, limit + 1) for _ in range(_class2d_stay(r))]
    return [*[rings] * stay, *grown, *[limit] * CLASS2D_LAST]


def _class2d_stay(rings: int) -> int:
    return CLASS2D_STAY if rings < CLASS2D_SETTLED else 1


def _class2d_units(rings: int, batch: float) -> float:
    return batch * min(rings, CLASS2D_PRUNED) ** 2


def forecast_refine(infos: Sequence[Info], *, passes: int, most_rings: int, particles: int) -> float:
    """Local passes in which rings grow, a search by a sample, by all if that helps, passes that spread particles."""
    last, rings = infos[-1], int(infos[-1]["rings"])
    sampled = 0 < last["searched"] < particles / 2
    local = [(i["seconds"], float(i["rings"]) ** 2) for i in infos if not i["searched"] and not i["spread"]]
    done = local or [(last["seconds"], REFINE_SEARCH * rings**2)]
    search, spread = 0.0, REFINE_LAST
    if last["converged"]:
        to_come, spread = [], 0
    elif sampled and last["rescued"] > REFINE_HELPS * last["searched"]:
        alone = done[-1][0] * rings**2 / done[-1][1]
        search = particles / last["searched"] * max(last["seconds"] - alone, 0.0)
        to_come = [rings] * (1 + REFINE_LOCAL)
    elif sampled or last["spread"]:
        to_come, spread = [], 1
    elif any(i["searched"] for i in infos[1:]):
        to_come = [rings]
    else:
        resolved = last["resolution_A"] <= 1.001 * last["search_resolution_A"]
        grown = [min(rings + REFINE_GROWTH * (i + 1), most_rings) for i in range(REFINE_GROWS * resolved)]
        to_come, spread = [*grown, *[max([rings, *grown])] * (REFINE_LOCAL + 1)], 1
    last_units = float(to_come[-1] if to_come else rings) ** 2
    units = [*(float(r) ** 2 for r in to_come), *[REFINE_SPREAD * last_units] * spread]
    return search + seconds_of(done, [*units[: max(passes - int(last["iteration"]), 0)], REFINE_END * last_units])


def passes_at_rings(infos: Sequence[Info]) -> int:
    """How many of the last passes have had the same rings."""
    count = 1
    while count < len(infos) and infos[-count - 1]["rings"] == infos[-1]["rings"]:
        count += 1
    return count


def seconds_of(done: Sequence[Work], to_come: Sequence[float], recent: int = RECENT) -> float:
    """What passes of so many units will take, as the last ones did."""
    return sum(to_come) * median(seconds / max(units, 1e-9) for seconds, units in done[-recent:])
