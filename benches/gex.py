"""The figures of benches/gex.rs as plain numpy and pandas write them.

usage: gex.py BOOK.csv; prints seconds for net exposure, all exposures by strike
and expiry, and the curve: medians.
"""

import statistics
import sys
import time
from math import pi, sqrt

import numpy as np
import pandas as pd
from math import erf

book = pd.read_csv(sys.argv[1])
spot, grid = 6500.0, 6500.0 * (1 + np.arange(-60, 61) * 0.0025)
sign = np.where(book.call == 1, 1.0, -1.0)
t = book.expiry.to_numpy() / 365.0
strike, iv, oi = book.strike.to_numpy(float), book.iv.to_numpy(), book.oi.to_numpy()
gamma, delta = book.gamma.to_numpy(), book.delta.to_numpy()


def density(x):
    return np.exp(-x * x / 2) / sqrt(2 * pi)


def net():
    return (sign * gamma * oi * 100).sum() * spot * spot * 0.01


def exposures():
    sd = iv * np.sqrt(t)
    d1 = (np.log(spot / strike) + iv * iv / 2 * t) / sd
    own = np.vectorize(erf)(d1 / sqrt(2)) / 2 + 0.5
    frame = pd.DataFrame({
        "strike": strike, "expiry": book.expiry, "call": book.call,
        "gex": sign * gamma * oi * 100, "dex": sign * np.where(np.isnan(delta), own, delta) * oi * 100,
        "vex": -sign * density(d1) * (d1 - sd) / iv * oi * 100,
        "chex": sign * density(d1) * (d1 - sd) / (2 * t) * oi * 100,
    })
    cells = frame.groupby(["expiry", "strike", "call"]).sum()
    return cells, cells.groupby(["strike", "call"]).sum()


def curve():
    sd = iv * np.sqrt(t)
    drift = iv * iv / 2 * t
    weight = sign * oi * 100
    return [(weight * density((np.log(s / strike) + drift) / sd) / (s * sd)).sum() * s * s * 0.01 for s in grid]


for call in (net, exposures, curve):
    seconds = []
    for _ in range(9):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    print(statistics.median(seconds))
