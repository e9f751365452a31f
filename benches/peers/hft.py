"""hftbacktest: one asset, each quote as two depth events, a compiled loop that moves on 250 ms at a time.

Usage: hft.py ROWS TICKS. Data lies in memory as numpy arrays; the first run
compiles and is not counted. Prints replay (quotes a second) and ticks.
"""
import sys
import time

import numpy as np
from hftbacktest import (
    BUY_EVENT, DEPTH_EVENT, EXCH_EVENT, LOCAL_EVENT, SELL_EVENT,
    BacktestAsset, HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numba import njit

from ticks import quotes

rows = quotes(sys.argv[1], int(sys.argv[2]))
events = np.zeros(2 * len(rows), event_dtype)
# One book for all contracts: bids from 100.00, asks from 110.00, so that they never cross.
for place, (side, size, base) in enumerate([(BUY_EVENT, "bid_size", 100.0), (SELL_EVENT, "ask_size", 110.0)]):
    mine = events[place::2]
    mine["ev"] = DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT | side
    mine["exch_ts"] = rows["recv"] - 200_000
    mine["local_ts"] = rows["recv"]
    mine["px"] = base + 0.05 * (rows["instrument"] % 50)
    mine["qty"] = rows[size]


@njit
def run(backtest):
    steps = 0
    while backtest.elapse(250_000_000) == 0:
        backtest.depth(0)
        steps += 1
    return steps


def timed(data):
    asset = (
        BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0, 0)
        .tick_size(0.05)
        .lot_size(1)
    )
    backtest = HashMapMarketDepthBacktest([asset])
    start = time.perf_counter()
    run(backtest)
    seconds = time.perf_counter() - start
    backtest.close()
    return seconds


timed(events[:2000])
print(f"replay={len(rows) / timed(events)}\nticks={len(rows)}")
