#!/usr/bin/env python3
"""Signed flow of a captured day, counted without orrery.

usage: flow.py TICKS CHAINS BODY LEVELS

TICKS are the vendor's messages, one a line in the order of their times; CHAINS
its chain snapshots, one a line; BODY what `orrery artifacts show SYMBOL flow
--json` printed after both were imported, LEVELS what `orrery levels SYMBOL
--profile flow-signed --json` printed. Everything is kept in plain dictionaries and
summed in doubles, trade by trade; only the standard library is needed. Prints what
it compared and leaves with 1 when a count differs or a sum does by more than 1e-9.
"""

import datetime as dt
import json
import math
import sys
from fractions import Fraction
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
YEAR = 365 * 86400.0
CANCELS = {201, 203, 205, 207}
LATE = {202, 204, 206, 208}
APART = {227: "auction", 228: "auction", 229: "cross", 230: "cross", 231: "floor"}
APART.update({code: "multi_leg" for code in range(232, 247)})


def terms(ticker):
    tail = ticker[-15:]
    day = dt.date(2000 + int(tail[:2]), int(tail[2:4]), int(tail[4:6]))
    hour = 13 if day == dt.date(2015, 12, 24) else 16
    settles = dt.datetime.combine(day, dt.time(hour), NEW_YORK).timestamp()
    return day, tail[6] == "C", int(tail[7:]) / 1000, settles


def cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def price_and_delta(call, spot, strike, years, sigma):
    root = sigma * math.sqrt(years)
    d1 = math.log(spot / strike) / root + root / 2
    if call:
        return spot * cdf(d1) - strike * cdf(d1 - root), cdf(d1)
    return strike * cdf(root - d1) - spot * cdf(-d1), -cdf(-d1)


def implied(call, price, spot, strike, years):
    intrinsic = max(0.0, spot - strike if call else strike - spot)
    if price <= intrinsic or price >= (spot if call else strike):
        return None
    low, high = 1e-6, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        if price_and_delta(call, spot, strike, years, middle)[0] > price:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def main():
    ticks, chains, body, levels = sys.argv[1:]
    ticks = [json.loads(line) for line in open(ticks)]
    chains = [json.loads(line) for line in open(chains)]
    body = json.load(open(body))["body"]
    levels = json.load(open(levels))[0]["body"]
    at_of = lambda chain: dt.datetime.fromisoformat(chain["captured_at"].replace("Z", "+00:00")).timestamp() * 1000
    events = [(at_of(chain), 1, "chain", chain) for chain in chains]
    events += [(tick.get("t", tick.get("e")), 0, tick["ev"], tick) for tick in ticks]
    events.sort(key=lambda event: event[:2])

    quotes, known, spot, trades, ticking = {}, {}, None, [], {}
    for now, _, kind, event in events:
        if kind == "chain":
            spot = event["results"][0]["underlying_asset"]["price"]
            for row in event["results"]:
                ticker = row["details"]["ticker"]
                known[ticker] = (row.get("greeks", {}).get("delta"), row.get("implied_volatility"),
                                 row.get("greeks", {}).get("gamma"))
                last = row.get("last_quote")
                if last:
                    quotes[ticker] = (now, last["bid"], last["ask"])
        elif kind == "AM" and not event["sym"].startswith("O:"):
            # At one moment the chain's own price goes first, and it came above.
            spot = event["c"]
        elif kind == "Q":
            quotes[event["sym"]] = (now, event["bp"], event["ap"])
        elif kind == "T" and event["sym"] in known:
            ticker, price, size = event["sym"], event["p"], event["s"]
            codes = set(event.get("c", []))
            if codes & CANCELS:
                same = [t for t in trades if (t["ticker"], t["price"], t["size"]) == (ticker, price, size)]
                trades.remove(same[-1])
                continue
            group = "late" if codes & LATE else next((APART[c] for c in codes if c in APART), "regular")
            rule, side = None, 0
            quoted, bid, ask = quotes.get(ticker, (-math.inf, 0, 0))
            usable = now - quoted <= 900_000 and (bid > 0 or ask > 0) and not (0 < ask < bid)
            if group != "late":
                buys = usable and ask > 0 and price >= ask
                sells = usable and bid > 0 and price <= bid
                # Prices as the decimals that they are.
                exact = lambda x: Fraction(str(x))
                if buys != sells:
                    rule, side = "quote", 1 if buys else -1
                elif usable and not buys and bid > 0 and ask > 0 and 2 * exact(price) != exact(bid) + exact(ask):
                    rule, side = "midpoint", 1 if 2 * exact(price) > exact(bid) + exact(ask) else -1
                else:
                    moves = [p for p in ticking.get(ticker, []) + [price]]
                    moves = [b - a for a, b in zip(moves, moves[1:]) if a != b]
                    if moves:
                        rule, side = "tick", 1 if moves[-1] > 0 else -1
            day, call, strike, settles = terms(ticker)
            delta, sigma, _ = known[ticker]
            source = "vendor_delta"
            if delta is None:
                source = "own_delta"
                years = max((settles - now / 1000) / YEAR, 300 / YEAR)
                own = implied(call, (bid + ask) / 2, spot, strike, years) if usable and bid > 0 and ask > 0 else None
                sigma = own or sigma
                if sigma:
                    delta = price_and_delta(call, spot, strike, years, sigma)[1]
            trades.append(dict(ticker=ticker, price=price, size=size, group=group, rule=rule, side=side,
                               quoted=usable, call=call, day=day, source=source if delta is not None else "without_delta",
                               value=None if delta is None else side * size * delta * 100 * spot))
            if group == "regular":
                ticking.setdefault(ticker, []).append(price)

    today = dt.date(2015, 12, 24)
    wrong, compared = [], 0

    def compare(name, ours, mine, limit=0.0):
        nonlocal compared
        compared += 1
        if ours is None or mine is None:
            if ours is not mine:
                wrong.append(f"{name}: {ours} against {mine}")
        elif abs(ours - mine) > limit:
            wrong.append(f"{name}: {ours} against {mine}")

    def group(name, ours, mine):
        total = sum(t["size"] for t in mine)
        compare(f"{name} trades", ours["trades"], len(mine))
        compare(f"{name} contracts", ours["contracts"]["total"], total)
        for side, sign in (("bought", 1), ("sold", -1)):
            of_side = [t for t in mine if t["side"] == sign]
            compare(f"{name} {side}", ours["contracts"][side], sum(t["size"] for t in of_side))
            values = [t["value"] for t in of_side if t["value"] is not None]
            if ours["absent"] is None:
                compare(f"{name} {side} value", ours[side], sum(values), 1e-9 * sum(map(abs, values)) + 1e-6 * len(values))
        signed = [t for t in mine if t["side"]]
        counted = [t for t in signed if t["value"] is not None]
        values = [t["value"] for t in counted]
        compare(f"{name} net", ours["net"], sum(values) if counted else None,
                1e-9 * sum(map(abs, values)) + 1e-6 * len(values))
        shares = {"counted": counted, "unknown": [t for t in mine if not t["side"]],
                  "without_quote": [t for t in mine if not t["quoted"]]}
        shares.update({rule: [t for t in mine if t["rule"] == rule] for rule in ("quote", "midpoint", "tick")})
        shares.update({source: [t for t in signed if t["source"] == source]
                       for source in ("vendor_delta", "own_delta", "without_delta")})
        for share, some in shares.items():
            compare(f"{name} {share}", ours["coverage"][share], sum(t["size"] for t in some) / total if total else None, 1e-12)

    regular = [t for t in trades if t["group"] == "regular"]
    zero = lambda t: t["day"] == today
    for name, within in {"total": lambda t: True, "calls": lambda t: t["call"], "puts": lambda t: not t["call"],
                         "zero_dte": zero, "zero_dte_calls": lambda t: zero(t) and t["call"],
                         "zero_dte_puts": lambda t: zero(t) and not t["call"]}.items():
        group(name, body["flow"][name], [t for t in regular if within(t)])
    for name in ("auction", "cross", "floor", "multi_leg", "late", "unlisted"):
        group(name, body["apart"][name], [t for t in trades if t["group"] == name])

    # The dealers' side of it, contract by contract, in what gex says of the book.
    held = {}
    for t in regular:
        if t["side"]:
            held[t["ticker"]] = held.get(t["ticker"], 0) - t["side"] * t["size"]
    now = dt.datetime.fromisoformat(levels["quality"]["as_of"][:19] + "+00:00").timestamp()
    spot = levels["spot"]
    living = {ticker: n for ticker, n in held.items() if terms(ticker)[3] >= now and n and known[ticker][2] is not None}
    values = [n * known[ticker][2] * 100 * spot * spot * 0.01 for ticker, n in living.items()]
    compare("gex counted", levels["quality"]["counted"], len(living))
    compare("gex net", levels["levels"]["net"], sum(values), 1e-9 * sum(map(abs, values)))
    print(f"{compared} figures of {len(trades)} trades, {len(regular)} regular, "
          f"{len(living)} contracts held; gex net {sum(values):.6g}; flow net {body['flow']['total']['net']:.6g}; "
          f"rules {[(r, sum(t['rule'] == r for t in regular)) for r in ('quote', 'midpoint', 'tick', None)]}; "
          f"deltas {[(s, sum(t['source'] == s for t in regular)) for s in ('vendor_delta', 'own_delta', 'without_delta')]}")
    for line in wrong:
        print("differs:", line)
    return 1 if wrong or not values or not regular else 0


if __name__ == "__main__":
    sys.exit(main())
