#!/usr/bin/env python3
"""Volume profiles of a captured day, counted without orrery.

usage: gravity.py KIND MULTIPLIER CAPTURE BODIES

KIND is trades or bars; MULTIPLIER points of the index per dollar; CAPTURE the
captured text, whose prices are in 1/10,000 of a dollar; BODIES what `orrery
gravity SPX --profile all --json` printed for it. Everything is counted in whole
numbers and fractions from the captured text, and structures are found anew from
the published definitions. Prints one line per profile and leaves with 1 when a
number differs. Needs the standard library only.
"""

import json
import sys
from fractions import Fraction

PARTS = 30


def half_even(x):
    return round(x)  # Python rounds halves of a Fraction to even


def down(x):
    return x.numerator // x.denominator


def counted(kind, by, text, definitions):
    """Units of 1/30 share: by bin, by bin unspread, lost."""
    to_bin = half_even if definitions["rounding"] == "half_even" else down
    whole = definitions["share"] == "truncated"
    spread, raw, lost = {}, {}, 0

    def put(into, bin, units):
        if units:
            into[bin] = into.get(bin, 0) + units

    for line in text.splitlines():
        cells = line.split(",")
        if kind == "trades":
            price, size = int(cells[1]), int(cells[2])
            put(spread, to_bin(price * by), size * PARTS)
            continue
        _, _, high, low, close, volume = (int(cell) for cell in cells)
        if volume == 0:
            continue
        each = volume // PARTS * PARTS if whole else volume
        if high > low:
            for i in range(PARTS):
                point = Fraction(low * PARTS + i * (high - low), PARTS) * by
                put(spread, to_bin(point), each)
            lost += volume * PARTS - each * PARTS
        elif definitions["rangeless"] == "at_price":
            put(spread, to_bin(low * by), volume * PARTS)
        else:
            lost += volume * PARTS
        if definitions["raw"] == "close":
            place = close * by
        else:
            place = Fraction(high + low, 2) * by
        put(raw, to_bin(place), volume * PARTS)
    return spread, (spread if kind == "trades" else raw), lost


def shown(spread, prices):
    """First and last bin that are shown."""
    half, total = 0, sum(spread.values())
    for median in sorted(spread):
        half += spread[median]
        if half * 2 >= total:
            break
    if prices:
        inside = [b for b in spread if prices[0] <= b <= prices[1]]
    else:
        inside = [b for b in spread if median <= 2 * b and b <= 2 * median]
    return (min(inside), max(inside)) if inside else None


def compact(counts, first, last):
    inside = {b: v for b, v in counts.items() if first <= b <= last}
    if not inside:
        return []
    most = max(inside.values())
    return [inside.get(b, 0) * 1000 // most for b in range(first, max(inside) + 1)]


def runs(flags):
    found, start = [], None
    for i, flag in enumerate(list(flags) + [False]):
        if flag and start is None:
            start = i
        if not flag and start is not None:
            found.append([start, i - 1])
            start = None
    return found


def percentile(bins, single):
    positive = sorted(b for b in bins if b > 0)
    if not positive:
        return [], [], []
    node = positive[int(0.7 * len(positive))]
    well = positive[int(0.2 * len(positive))]
    nodes = [i for i, b in enumerate(bins) if b >= node]
    wells = runs(0 < b <= well and b < node for b in bins)
    if single:
        wells = [[i, i] for a, b in wells for i in range(a, b + 1)]
    crevasses = [r for r in runs(b <= well for b in bins) if r[1] - r[0] >= 2]
    return nodes, wells, crevasses


def gradient(bins, original):
    places = [i for i, b in enumerate(bins) if b > 0 or not original]
    levels = [bins[i] for i in places]
    count, most = len(levels), max(levels, default=0)
    if count < 3 or most == 0:
        return [], [], []
    smooth = []
    for i in range(count):
        near = levels[max(0, i - 2) : i + 3]
        smooth.append(sum(near) / len(near))
    slopes = {i: smooth[i + 1] - smooth[i - 1] for i in range(1, count - 1)}
    mean_slope = sum(abs(s) for s in slopes.values()) / len(slopes)
    scored = [(abs(s) / most, places[i]) for i, s in slopes.items() if abs(s) > 0.8 * mean_slope]
    for i in range(1, count - 2):
        turn = abs(slopes[i + 1] - slopes[i]) / most
        if slopes[i] * slopes[i + 1] < 0 and turn > 0.002:
            scored.append((2 * turn, places[i]))
    nodes = []
    for _, place in sorted(scored, key=lambda s: (-s[0], s[1])):
        if len(nodes) < 10 and all(abs(place - n) >= 5 for n in nodes):
            nodes.append(place)
    wells = []
    low = 0.3 * (sum(smooth) / count)
    for i in range(1, count - 1):
        apart = not wells or places[i] - wells[-1][0] >= 15
        if smooth[i] < smooth[i - 1] and smooth[i] < smooth[i + 1] and smooth[i] < low:
            if apart and len(wells) < 10:
                wells.append([places[i], places[i]])
    crevasses = []
    for i in range(5, count - 5):
        left, right = max(smooth[max(0, i - 10) : i]), max(smooth[i + 1 : i + 11])
        if smooth[i] < 0.5 * left and smooth[i] < 0.5 * right:
            if crevasses and places[i] - crevasses[-1][1] <= 5:
                crevasses[-1][1] = places[i]
            else:
                crevasses.append([places[i], places[i]])
    thin = 0.35 * (sum(levels) / count)
    for a, b in runs(v < thin for v in levels):
        a, b = places[a], places[b]
        if b - a < 2:
            continue
        for c in crevasses:
            if a <= c[1] + 3 and c[0] <= b + 3:
                c[0], c[1] = min(c[0], a), max(c[1], b)
                break
        else:
            crevasses.append([a, b])
    crevasses.sort()
    if not original:
        united = []
        for a, b in crevasses:
            if united and a <= united[-1][1] + 1:
                united[-1][1] = max(united[-1][1], b)
            else:
                united.append([a, b])
        crevasses = united
    return sorted(nodes), wells, crevasses


def memory(bins, nodes, crevasses):
    if sum(bins) == 0:
        return 0.0
    top = sorted(bins, reverse=True)[: int(0.2 * len(bins))]
    density = min(10 * len(nodes) / len(bins), 1)
    form = (density + (0.2 if crevasses else 0.0)) / 1.2
    return round(min(0.6 * (sum(top) / sum(bins)) + 0.4 * form, 1), 2)


def main():
    kind, multiplier, capture, asked = sys.argv[1:]
    by = Fraction(multiplier) / 10_000
    text = open(capture, encoding="utf-8").read()
    wrong = 0
    for one in json.load(open(asked, encoding="utf-8")):
        name, body, definitions = one["profile"], one["body"], one["definitions"]
        spread, raw, lost = counted(kind, by, text, definitions)
        extent = shown(spread, definitions["prices"])
        if extent is None or body is None:
            print(f"{name}: nothing to show")
            wrong += extent is not None or body is not None
            continue
        (first, last), meta = extent, body["meta"]
        bins = compact(spread, first, last)
        detection = definitions["detection"]
        if detection.startswith("percentile"):
            nodes, wells, crevasses = percentile(bins, detection.endswith("single"))
        else:
            nodes, wells, crevasses = gradient(bins, detection.endswith("original"))
        outside = sum(v for b, v in spread.items() if not first <= b <= last)
        expected = {
            "min": float(first),
            "bins": bins,
            "raw": compact(raw, first, last + 1),
            "nodes": [float(first + i) for i in nodes],
            "wells": [[float(first + a), float(first + b)] for a, b in wells],
            "crevasses": [[float(first + a), float(first + b)] for a, b in crevasses],
            "memory": memory(bins, nodes, crevasses),
            "volume": sum(spread.values()) / PARTS,
            "lost": lost / PARTS,
            "outside": outside / PARTS,
            "source": kind,
        }
        found = {
            "min": body["profile"]["min"],
            "bins": body["profile"]["bins"],
            "raw": body["raw_bins"],
            "nodes": body["structures"]["volume_nodes"],
            "wells": body["structures"]["volume_wells"],
            "crevasses": body["structures"]["crevasses"],
            "memory": body["structures"]["market_memory_strength"],
            "volume": body["quality"]["volume"],
            "lost": body["quality"]["lost_volume"],
            "outside": body["quality"]["outlier_volume"],
            "source": meta["volume_source"],
        }
        differing = [key for key in expected if expected[key] != found[key]]
        for key in differing:
            print(f"{name}: {key} is {found[key]}, counted {expected[key]}")
        wrong += len(differing)
        print(
            f"{name}: {len(bins)} bins, {expected['volume']:.0f} shares, "
            f"{expected['lost']:.0f} lost, {len(nodes)} nodes, {len(wells)} wells, "
            f"{len(crevasses)} crevasses, memory {expected['memory']}"
        )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
