"""NautilusTrader: its backtest engine feeds quotes of 200 contracts to a strategy that counts them.

Usage: naut.py ROWS TICKS. Building the engine's objects and sorting them is not
measured, only the run. Prints replay (quotes a second) and ticks.
"""
import gc
import sys
import time

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, AssetClass, OmsType, OptionKind
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
from nautilus_trader.model.instruments import OptionContract
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from ticks import quotes

CONTRACTS = 200
VENUE = Venue("CBOE")


def contract(number):
    symbol = Symbol(f"SPXW260320C{number:08d}")
    return OptionContract(
        instrument_id=InstrumentId(symbol, VENUE),
        raw_symbol=symbol,
        asset_class=AssetClass.INDEX,
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.05"),
        multiplier=Quantity.from_int(100),
        lot_size=Quantity.from_int(1),
        underlying="SPX",
        option_kind=OptionKind.CALL,
        activation_ns=0,
        expiration_ns=1_999_999_999_000_000_000,
        strike_price=Price.from_str("6000.00"),
        ts_event=0,
        ts_init=0,
    )


class Count(Strategy):
    def on_start(self):
        self.seen = 0
        for instrument in CONTRACT_LIST:
            self.subscribe_quote_ticks(instrument.id)

    def on_quote_tick(self, tick):
        self.seen += 1


rows = quotes(sys.argv[1], int(sys.argv[2]))
CONTRACT_LIST = [contract(n) for n in range(CONTRACTS)]
gc.disable()
ticks = []
for n, instrument in enumerate(CONTRACT_LIST):
    mine = rows[rows["instrument"] % CONTRACTS == n]
    if len(mine):
        ticks += QuoteTick.from_raw_arrays_to_list(
            instrument.id, 2, 0,
            mine["bid"] / 1e9, mine["ask"] / 1e9,
            mine["bid_size"].astype("f8"), mine["ask_size"].astype("f8"),
            mine["vendor"].astype("u8"), mine["recv"].astype("u8"),
        )
ticks.sort(key=lambda tick: tick.ts_init)
engine = BacktestEngine(BacktestEngineConfig(
    trader_id=TraderId("T-001"),
    logging=LoggingConfig(bypass_logging=True),
    run_analysis=False,
))
engine.add_venue(VENUE, OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USD)], USD)
for instrument in CONTRACT_LIST:
    engine.add_instrument(instrument)
engine.add_data(ticks, validate=False, sort=True)
strategy = Count()
engine.add_strategy(strategy)
start = time.perf_counter()
engine.run()
seconds = time.perf_counter() - start
assert strategy.seen == len(rows), (strategy.seen, len(rows))
print(f"replay={len(rows) / seconds}\nticks={len(rows)}")
