"""The quotes of a file of 64-byte rows (benches/journal/src/tick.rs)."""
import numpy as np

ROW = np.dtype({
    "names": ["recv", "vendor", "instrument", "kind", "bid", "ask", "bid_size", "ask_size"],
    "formats": ["<i8", "<i8", "<u4", "u1", "<i8", "<i8", "<u4", "<u4"],
    "offsets": [0, 8, 16, 22, 24, 32, 40, 44],
    "itemsize": 64,
})
QUOTE = 1


def quotes(path, count):
    rows = np.fromfile(path, dtype=ROW, count=count)
    return rows[rows["kind"] == QUOTE]
