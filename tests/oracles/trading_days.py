#!/usr/bin/env python3
"""Trading days, opens and closes of 2010 to 2030 against calendars of others.

usage: trading_days.py DAYS

DAYS is what `orrery calendar --from 2010-01-01 --to 2030-12-31 --all --json`
printed. Every day is compared with two calendars: XNYS of exchange_calendars
(days, opens, closes, half days) and CBOE_Equity_Options of
pandas_market_calendars (days, half days). Leaves with 1 when a day differs that
is not argued for here.

Argued: the options calendar has no early close on December 24. The stock market
whose close settles expiring contracts has one, as both XNYS and the NYSE calendar
of pandas_market_calendars itself say, and so have the options exchanges' notices.
Index options trade 15 minutes on after the stock market; what expires settles on
the stock market's close, so the hours are XNYS's.
"""

import datetime as dt
import json
import sys

import exchange_calendars as xc
import pandas_market_calendars as mcal

FIRST, LAST = "2010-01-01", "2030-12-31"
# Half days that the calendar of options exchanges lacks.
ARGUED = {f"{year}-12-24" for year in (2012, 2013, 2014, 2015, 2018, 2019, 2020, 2024, 2025, 2026, 2029, 2030)}


def exchange():
    xnys = xc.get_calendar("XNYS", start=FIRST, end=LAST)
    return {s.strftime("%Y-%m-%d"): (xnys.session_open(s), xnys.session_close(s)) for s in xnys.sessions}


def options():
    cboe = mcal.get_calendar("CBOE_Equity_Options")
    days = cboe.schedule(FIRST, LAST)
    early = set(cboe.early_closes(days).index.strftime("%Y-%m-%d"))
    nyse = mcal.get_calendar("NYSE")
    stocks = set(nyse.early_closes(nyse.schedule(FIRST, LAST)).index.strftime("%Y-%m-%d"))
    return set(days.index.strftime("%Y-%m-%d")), early, stocks


def main():
    with open(sys.argv[1], encoding="utf-8") as text:
        days = json.load(text)["days"]
    sessions, (open_days, early, stocks) = exchange(), options()
    wrong, counts = [], {}
    expected = dt.date.fromisoformat(FIRST)
    for day in days:
        date, kind = day["day"], day["kind"]
        if date != expected.isoformat():
            wrong.append(f"{date} stands where {expected} belongs")
        expected += dt.timedelta(1)
        counts[kind] = counts.get(kind, 0) + 1
        trades = kind in ("full", "half")
        say = []
        if trades != (date in sessions):
            say.append(f"exchange_calendars: open {date in sessions}")
        if trades and date in sessions:
            for name, theirs in zip(("open", "close"), sessions[date]):
                if dt.datetime.fromisoformat(day[name][:19] + "+00:00") != theirs:
                    say.append(f"exchange_calendars: {name} {theirs}")
        if trades != (date in open_days):
            say.append(f"pandas_market_calendars: open {date in open_days}")
        if (kind == "half") != (date in stocks):
            say.append(f"pandas_market_calendars, stocks: half {date in stocks}")
        if (kind == "half") != (date in early or date in ARGUED):
            say.append(f"pandas_market_calendars: half {date in early}")
        if kind == "weekend" and dt.date.fromisoformat(date).weekday() < 5:
            say.append("no weekend")
        if date in ARGUED and date in early:
            say.append("argued for, and nobody differs")
        if say:
            wrong.append(f"{date}: {kind}, {day['open']}, {day['close']}; {'; '.join(say)}")
    if expected.isoformat() != "2031-01-01":
        wrong.append(f"ends before {expected}")
    print("\n".join(wrong))
    print(f"{counts}, {len(wrong)} differ, {len(ARGUED)} argued for")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
