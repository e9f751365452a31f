"""The exposures and the curve of benches/promotion.rs as plain numpy and pandas
write them, from the vendor's pages.

usage: promotion.py PAGES.ndjson; prints the median of seconds from bytes to
exposures by strike and expiry, walls and curve. Nothing is kept, promoted or
published here.
"""

import json
import statistics
import sys
import time
from datetime import date
from math import pi, sqrt

import numpy as np
import pandas as pd

pages = open(sys.argv[1], "rb").read().split(b"\n")
NOW = 1_773_671_400


def rows():
    for page in pages:
        for r in json.loads(page)["results"]:
            d, g = r["details"], r["greeks"]
            yield (
                d["ticker"], d["expiration_date"], d["strike_price"], d["contract_type"] == "call",
                d["shares_per_contract"], g["gamma"], g["delta"], r["implied_volatility"],
                r["open_interest"], r["last_quote"]["bid"], r["last_quote"]["ask"],
                r["underlying_asset"]["value"],
            )


def run():
    book = pd.DataFrame(rows(), columns=[
        "ticker", "expiry", "strike", "call", "multiplier", "gamma", "delta", "iv", "oi", "bid", "ask", "spot"])
    spot = book.spot.iloc[-1]
    # The close in New York that day or after: 20:00 UTC.
    settles = {e: date.fromisoformat(e).toordinal() for e in book.expiry.unique()}
    days = book.expiry.map(settles).to_numpy() - date(1970, 1, 1).toordinal()
    t = np.maximum((days * 86400 + 20 * 3600 - NOW) / (365 * 86400), 300 / (365 * 86400))
    sign = np.where(book.call, 1.0, -1.0)
    strike, iv, oi = book.strike.to_numpy(float), book.iv.to_numpy(), book.oi.to_numpy(float)
    weight = sign * oi * book.multiplier.to_numpy(float)
    sd = iv * np.sqrt(t)
    d1 = (np.log(spot / strike) + iv * iv / 2 * t) / sd
    density = np.exp(-d1 * d1 / 2) / sqrt(2 * pi)
    book["gex"] = weight * book.gamma * spot * spot * 0.01
    book["dex"] = weight * book.delta
    book["vex"] = -weight * density * (d1 - sd) / iv
    book["chex"] = -weight * density * (d1 - sd) / (2 * t)
    cells = book.groupby(["expiry", "strike", "call"])[["gex", "dex", "vex", "chex"]].sum()
    strikes = book.groupby(["strike", "call"])[["gex", "dex", "vex", "chex"]].sum()
    calls = strikes.xs(True, level="call").gex
    puts = strikes.xs(False, level="call").gex
    walls = calls[calls.index > spot].idxmax(), puts[puts.index < spot].idxmin()
    drift = iv * iv / 2 * t
    curve = []
    for s in spot * (1 + np.arange(-60, 61) * 0.0025):
        d = (np.log(s / strike) + drift) / sd
        curve.append((weight * np.exp(-d * d / 2) / sqrt(2 * pi) / (s * sd)).sum() * s * s * 0.01)
    return cells, strikes, walls, curve


seconds = []
for _ in range(3):
    begin = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - begin)
print(statistics.median(seconds))
