#!/usr/bin/env python3
"""Values, greeks and implied volatilities against QuantLib and 50-digit maths.

usage: greeks.py ROWS

ROWS is CSV: right,spot,strike,years,rate,carry,volatility,price,delta,gamma,
vega,theta,vanna,charm,implied. QuantLib prices each row by its analytic
formula; theta, vanna and charm are derivatives of a 50-digit Black-Scholes value
(mpmath). A figure may deviate by 1e-9 of itself, or by 1e-12
of its natural scale where it is next to nothing (far out of the money all
doubles lose digits). Leaves with 1 when one does more.
"""

import csv
import sys

import QuantLib as ql
from mpmath import erfc, exp, log, mp, mpf, sqrt

mp.dps = 50
LIMIT, NOTHING = 1e-9, 1e-12


def value(call, s, k, t, r, q, v):
    sd = v * sqrt(t)
    d1 = (log(s / k) + (r - q + v * v / 2) * t) / sd
    n = lambda x: erfc(-x / sqrt(mpf(2))) / 2
    sign = 1 if call else -1
    return sign * (s * exp(-q * t) * n(sign * d1) - k * exp(-r * t) * n(sign * (d1 - sd)))


def mixed(call, s, k, t, r, q, v, along):
    """d2 value / (ds d along), by central differences at 50 digits."""
    hs, ha = s * mpf(10) ** -12, (v if along == "v" else t) * mpf(10) ** -12
    at = lambda i, j: value(call, s + i * hs, k, t + (j * ha if along == "t" else 0), r, q,
                            v + (j * ha if along == "v" else 0))
    return (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * hs * ha)


def along_time(call, s, k, t, r, q, v):
    h = t * mpf(10) ** -12
    return (value(call, s, k, t + h, r, q, v) - value(call, s, k, t - h, r, q, v)) / (2 * h)


def main():
    worst, wrong, count = {}, 0, 0
    with open(sys.argv[1], encoding="utf-8") as text:
        for row in csv.DictReader(text):
            right = row.pop("right")
            x = {name: float(v) for name, v in row.items() if v != ""}
            s, k, t, r, q, v = (x[n] for n in ("spot", "strike", "years", "rate", "carry", "volatility"))
            call = right == "C"
            payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, k)
            from math import exp as e
            forward, sd, discount = s * e((r - q) * t), v * t ** 0.5, e(-r * t)
            black = ql.BlackCalculator(payoff, forward, sd, discount)
            exact = [mpf(n) for n in (s, k, t, r, q, v)]
            want = {
                "price": (black.value(), max(s, k)),
                "delta": (black.delta(s), 1),
                "gamma": (black.gamma(s), 1 / (s * sd)),
                "vega": (black.vega(t), s * t ** 0.5),
                "theta": (float(-along_time(call, *exact)), max(s, k) * v / t ** 0.5),
                "vanna": (float(mixed(call, *exact, "v")), t ** 0.5),
                "charm": (float(-mixed(call, *exact, "t")), 1 / t),
            }
            # Below an hour QuantLib's theta loses the digits of ln(forward / spot).
            if t >= 1e-4:
                want["theta of QuantLib"] = (black.theta(s, t), max(s, k) * v / t ** 0.5)
            if "implied" in x:
                want["implied"] = (v, 0.0)
            elif black.vega(t) * v > 1e-6 * max(s, k):
                # A price that moves with volatility has one.
                wrong += 1
                print(f"no volatility for {right} {s} {k} {t} {r} {q} {v}")
            for name, (theirs, scale) in want.items():
                count += 1
                off = abs(x[name.split()[0]] - theirs)
                # A price fixes a volatility only as well as it moves with it.
                loose = 1e-13 * max(s, k) / black.vega(t) if name == "implied" else NOTHING * scale
                relative = max(off - loose, 0.0) / max(abs(theirs), 1e-300)
                worst[name] = max(worst.get(name, 0.0), relative)
                if not relative <= LIMIT:
                    wrong += 1
                    print(f"{name} of {right} {s} {k} {t} {r} {q} {v}: {x[name]} instead of {theirs}")
    for name, relative in worst.items():
        print(f"{name:17} {relative:.1e}")
    print(f"{count} figures, {wrong} differ")
    sys.exit(1 if wrong or count == 0 else 0)


if __name__ == "__main__":
    main()
