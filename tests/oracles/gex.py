#!/usr/bin/env python3
"""Exposures and levels of a captured chain, computed without orrery.

usage: gex.py FORMAT CHAIN BODIES

FORMAT is massive, cboe, desk or table; CHAIN the captured text; BODIES what
`orrery levels SYMBOL --profile all --json` printed for it. Formulas are written
anew from the textbooks, in numpy and pandas, in another order and grouping than
the model's. Prints the largest relative deviation of each kind of figure and
leaves with 1 when one lies above 1e-9 or a level differs.
"""

import csv
import datetime as dt
import json
import re
import sys
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from math import erf

NEW_YORK = ZoneInfo("America/New_York")
YEAR = 365 * 86400.0
LIMIT = 1e-9
MORNING = {"SPX", "NDX", "RUT", "VIX", "VIXW", "DJX", "MXEF"}
TICKER = re.compile(r"^(?:O:)?([A-Z0-9]+?)(\d{6})([CP])(\d{8})$")


def massive(text):
    results = json.loads(text)["results"]

    def day_of(nanos):
        return dt.datetime.fromtimestamp(nanos / 1e9, NEW_YORK).date()

    captured = day_of(max(r["underlying_asset"]["last_updated"] for r in results))
    for r in results:
        greeks = r.get("greeks") or {}
        day = r.get("day") or {}
        # A volume of another day is not this session's.
        if "last_updated" not in day or day_of(day["last_updated"]) != captured:
            day = {}
        yield dict(ticker=r["details"]["ticker"], gamma=greeks.get("gamma"), delta=greeks.get("delta"),
                   iv=r.get("implied_volatility"), oi=r.get("open_interest"), volume=day.get("volume"))


def cboe(text):
    for r in json.loads(text)["data"]["options"]:
        yield dict(ticker=r["option"], gamma=r["gamma"], delta=r["delta"], iv=r["iv"],
                   oi=r["open_interest"], volume=r["volume"], bid=r["bid"], ask=r["ask"])


def desk(text):
    for r in json.loads(text)["quotes"]:
        yield dict(ticker=r["symbol"], gamma=r["gamma"], delta=r["delta"], iv=r["iv"],
                   oi=r["openInterest"], volume=r["volume"], bid=r["bid"], ask=r["ask"])


def table(text):
    lines = [line for line in text.splitlines() if line.strip()]
    begin = next(i for i, line in enumerate(lines) if line.startswith("Expiration Date"))
    for cells in csv.reader(lines[begin + 1:]):
        for side in (cells[1:11], cells[12:22]):
            yield dict(ticker=side[0], bid=float(side[3]), ask=float(side[4]), volume=float(side[5]), iv=float(side[6]), delta=float(side[7]),
                       gamma=float(side[8]), oi=float(side[9]))


def read(fmt, text):
    chain = pd.DataFrame({"massive": massive, "cboe": cboe, "desk": desk, "table": table}[fmt](text))
    parts = chain.ticker.str.extract(TICKER)
    chain["root"], chain["call"] = parts[0], parts[2] == "C"
    chain["strike"] = parts[3].astype(float) / 1000
    chain["expiry"] = parts[1].map(lambda d: dt.date(2000 + int(d[:2]), int(d[2:4]), int(d[4:])))

    def settles(row):
        clock = dt.time(9, 30) if row.root in MORNING else dt.time(16, 0)
        return dt.datetime.combine(row.expiry, clock, NEW_YORK).timestamp()

    instants = chain.drop_duplicates(["root", "expiry"])
    instants = {(r.root, r.expiry): settles(r) for r in instants.itertuples()}
    chain["settles"] = [instants[key] for key in zip(chain.root, chain.expiry)]
    for name in ("bid", "ask"):
        if name not in chain:
            chain[name] = np.nan
    for name in ("gamma", "delta", "iv", "oi", "volume", "bid", "ask"):
        chain[name] = pd.to_numeric(chain[name], errors="coerce").astype(float)
    return chain


def normal(x):
    return np.array([0.5 * (1 + erf(v / np.sqrt(2))) for v in x])


def density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def crossings(points):
    found, last = [], None
    for x, y in points:
        if y == 0:
            continue
        if last and (last[1] > 0) != (y > 0):
            found.append(last[0] + (x - last[0]) * last[1] / (last[1] - y))
        last = (x, y)
    return found


def implied(frame, spot):
    """Volatility of two-sided mids by plain bisection; NaN where there is none."""
    mid = (frame.bid + frame.ask) / 2
    k, t = frame.strike.to_numpy(), frame.t.to_numpy()
    floor = np.where(frame.call, spot - k, k - spot).clip(min=0)
    bound = np.where(frame.call, spot, k)
    usable = (frame.bid > 0) & (frame.ask >= frame.bid) & (mid > floor) & (mid < bound)
    # The out-of-the-money twin by parity, so that no digits are lost.
    target = mid.to_numpy() - np.where(frame.call, spot - k, k - spot).clip(min=0)
    call = np.where(k >= spot, True, False)

    def value(v):
        sd = v * np.sqrt(t)
        d1 = np.log(spot / k) / sd + sd / 2
        n1, n2 = normal(np.where(call, d1, -d1)), normal(np.where(call, d1 - sd, sd - d1))
        return np.where(call, spot * n1 - k * n2, k * n2 - spot * n1)

    low, high = np.full(len(frame), 1e-6), np.full(len(frame), 100.0)
    for _ in range(90):
        middle = (low + high) / 2
        over = value(middle) > target
        high, low = np.where(over, middle, high), np.where(over, low, middle)
    return pd.Series((low + high) / 2, frame.index).where(usable & (value(np.full(len(frame), 100.0)) > target))


class Check:
    def __init__(self):
        self.worst, self.wrong, self.figures = {}, [], 0

    def near(self, kind, got, want, size=None):
        self.figures += 1
        if want is None or got is None or np.isnan(want):
            if not (got is None and (want is None or np.isnan(want))):
                self.wrong.append(f"{kind}: {got} instead of {want}")
            return
        deviation = abs(got - want) / max(abs(want) if size is None else size, 1e-300)
        self.worst[kind] = max(self.worst.get(kind, 0.0), deviation)
        if not deviation <= LIMIT:
            self.wrong.append(f"{kind}: {got} instead of {want}")

    def same(self, kind, got, want):
        self.figures += 1
        if got != want:
            self.wrong.append(f"{kind}: {got} instead of {want}")


def examine(chain, profile, body, check):
    d = body["definitions"]
    spot, today = body["spot"], dt.datetime.fromisoformat(body["quality"]["as_of"][:26] + "+00:00")
    now, day = today.timestamp(), today.astimezone(NEW_YORK).date()
    live = chain[chain.settles >= now].copy()
    held = live[live.expiry <= day + dt.timedelta(days=d["dte_max"])].copy() if d["dte_max"] is not None else live
    held["n"] = held.oi if d["position"] == "open_interest" else held.volume
    held = held[held.n > 0].copy()
    held["t"] = np.maximum(held.settles - now, 300) / YEAR
    signs = {"naive": (1, -1), "all_short": (-1, -1), "inverse": (-1, 1)}[d["sign"]]
    held["sign"] = np.where(held.call, *signs)
    known = held.iv.gt(0) & held.iv.lt(20)
    if d["greeks"] != "vendor":
        missing = held[~known]
        held.loc[missing.index, "iv"] = implied(missing, spot)
        known = held.iv.gt(0)
    sd = held.iv.where(known) * np.sqrt(held.t)
    d1 = (np.log(spot / held.strike) + held.iv.where(known) ** 2 / 2 * held.t) / sd
    own = pd.Series(normal(d1.fillna(0)), held.index).where(known)
    held["delta"] = held.delta.where(held.delta.notna(), own - np.where(held.call, 0, 1))
    held["vanna"] = -density(d1) * (d1 - sd) / held.iv
    held["charm"] = density(d1) * (d1 - sd) * sd / (2 * held.t * sd)
    own_gamma = density(d1) / (spot * sd)
    if d["greeks"] != "vendor":
        held["gamma"] = held.gamma.where(held.gamma.notna(), own_gamma)
    counted = held[held.gamma.ge(0)].copy()
    counted["iv_known"] = known
    check.same("counted", body["quality"]["counted"], len(counted))
    scale = spot * spot / 100 if d["unit"] == "per_percent" else spot
    counted["gex"] = counted.sign * counted.gamma * counted.n * 100 * scale
    counted["dex"] = counted.sign * counted.delta * counted.n * 100 * spot
    counted["vex"] = counted.sign * counted.vanna * counted.n * 100 * spot / 100
    counted["chex"] = counted.sign * counted.charm / 365 * counted.n * 100 * spot

    levels = body["levels"]
    gross = {m: counted[m].abs().sum() for m in ("gex", "dex", "vex", "chex")}
    check.near("net gex", levels["net"], counted.gex.sum(), gross["gex"])
    check.near("call gex", levels["call_total"], counted.gex[counted.call].sum(), gross["gex"])
    check.near("put gex", levels["put_total"], counted.gex[~counted.call].sum(), gross["gex"])
    for metric in ("dex", "vex", "chex"):
        check.near(metric, levels[metric]["net"], counted[metric].sum(), gross[metric])
    for row in body["by_expiry"]:
        of = counted[counted.expiry == dt.date.fromisoformat(row["expiry"])]
        if len(of):
            check.near("gex by expiry", row["net"], of.gex.sum(), of.gex.abs().sum() or 1)
            check.near("charm by expiry", row["chex"]["net"] or 0.0, of.chex.sum(), of.chex.abs().sum() or 1)
        all_ = live[live.expiry == dt.date.fromisoformat(row["expiry"])]
        check.same("max pain", row["max_pain"], max_pain(all_))
        calls = all_.oi[all_.call].sum()
        check.near("put/call", row["put_call"]["open_interest"], all_.oi[~all_.call].sum() / calls if calls else None)
    days = counted.expiry.map(lambda e: (e - day).days)
    for bucket, low, high in (("0dte", -9999, 0), ("up_to_7d", 1, 7), ("up_to_45d", 8, 45), ("rest", 46, 99999)):
        row = next(b for b in body["buckets"] if b["bucket"] == bucket)
        of = counted.gex[(days >= low) & (days <= high)]
        check.near("bucket " + bucket, row["net"] or 0.0, of.sum(), gross["gex"])

    strikes = pd.DataFrame({
        "call": counted[counted.call].groupby("strike").gex.sum(),
        "put": counted[~counted.call].groupby("strike").gex.sum(),
        "calls": counted[counted.call].groupby("strike").n.sum(),
        "puts": counted[~counted.call].groupby("strike").n.sum(),
    }).sort_index()
    strikes["net"] = strikes.call.fillna(0) + strikes.put.fillna(0)
    for row in body["by_strike"]:
        check.near("gex by strike", row["net"], strikes.net[row["strike"]],
                   max(abs(strikes.call.fillna(0)[row["strike"]]), abs(strikes.put.fillna(0)[row["strike"]]), 1e-300))
    check.same("strikes", len(body["by_strike"]), len(strikes))
    above, below = strikes[strikes.index > spot], strikes[strikes.index < spot]
    wall = d["wall"]
    if wall == "side_beyond_spot":
        call, put = best(above.call.abs(), spot), best(below.put.abs(), spot)
    elif wall == "side_at_or_beyond_spot":
        call = best(strikes[strikes.index >= spot].call.abs(), spot)
        put = best(strikes[strikes.index <= spot].put.abs(), spot)
    elif wall == "net_beyond_spot":
        call = best((above.net * signs[0]).clip(lower=0), spot)
        put = best((below.net * signs[1]).clip(lower=0), spot)
    else:
        call, put = best(strikes.calls, spot), best(strikes.puts, spot)
    check.same("call wall", levels["call_wall"], call)
    check.same("put wall", levels["put_wall"], put)
    check.same("peak", levels["peak"], best(strikes.net.abs(), spot))
    check.same("absolute gamma", levels["absolute_gamma"],
               best(strikes.call.abs().fillna(0) + strikes.put.abs().fillna(0), spot))

    priced = held[known]
    grid = spot * (1 + np.arange(-60, 61) * 0.0025)
    vol = (priced.iv * np.sqrt(priced.t)).to_numpy()
    k = priced.strike.to_numpy()
    weight = (priced.sign * priced.n * 100).to_numpy()
    drift = (priced.iv ** 2 / 2 * priced.t).to_numpy()
    curve = np.array([
        (weight * density((np.log(s / k) + drift) / vol) / (s * vol)).sum()
        * (s * s / 100 if d["unit"] == "per_percent" else s) for s in grid])
    size = np.abs(curve).max()
    for got, want in zip(body["curve"]["net"], curve):
        check.near("curve", got, want, size)
    if d["flip"] == "repriced_book":
        points = list(zip(grid, curve))
    elif d["flip"] == "adjacent_strikes":
        points = list(strikes.net.items())
    else:
        points = list(strikes.net.cumsum().items())
    want = crossings(points)
    check.same("crossings", len(levels["flip"]["crossings"]), len(want))
    for got, want in zip(levels["flip"]["crossings"], want):
        check.near("flip", got, want)


def best(values, spot):
    values = values.dropna()
    values = values[values > 0]
    if values.empty:
        return None
    top = values[values == values.max()]
    return min(top.index, key=lambda k: (abs(k - spot), k))


def max_pain(chain):
    oi = chain.oi.fillna(0)
    if not oi.sum() > 0:
        return None
    strikes = np.sort(chain.strike.unique())
    k, weight, call = chain.strike.to_numpy(), oi.to_numpy(), chain.call.to_numpy()
    pain = [(weight * np.maximum(np.where(call, s - k, k - s), 0)).sum() for s in strikes]
    return float(strikes[int(np.argmin(pain))])


def main():
    fmt, chain, bodies = sys.argv[1:]
    with open(chain, encoding="utf-8") as text:
        chain = read(fmt, text.read())
    with open(bodies, encoding="utf-8") as text:
        bodies = json.load(text)
    check = Check()
    for asked in bodies:
        before = len(check.wrong)
        examine(chain, asked["profile"], asked["body"], check)
        for wrong in check.wrong[before:][:20]:
            print(asked["profile"], wrong)
    for kind, deviation in sorted(check.worst.items()):
        print(f"{kind:24} {deviation:.1e}")
    print(f"{len(bodies)} profiles, {check.figures} figures, {len(check.wrong)} differ")
    sys.exit(1 if check.wrong else 0)


if __name__ == "__main__":
    main()
