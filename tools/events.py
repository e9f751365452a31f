"""What verify.py has found proven, as text: the fields in an event's row
(journal/FORMAT.md, section 3) and in an artifact's header, and how they are
printed. Each is written in one way: ValueError says what is not that."""

import datetime
import json
import struct
import unicodedata


def price(units):
    sign, units = ("-" if units < 0 else ""), abs(units)
    decimals = f"{units % 10 ** 9:09}".rstrip("0")
    return f"{sign}{units // 10 ** 9}" + (f".{decimals}" if decimals else "")


def moment(nanos):
    seconds, nanos = divmod(nanos, 10 ** 9)
    time = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{nanos:09}Z"


REASONS = dict(enumerate((
    "malformed", "missing_field", "bad_price", "bad_strike", "bad_time", "bad_ticker", "bad_size",
    "unknown_kind", "empty_chain", "damaged_chain", "too_large", "duplicate",
    "wrong_underlying"), start=1))

# Type: struct format, how it prints, the value that means "absent".
TYPES = {
    "price": ("<q", price, None),
    "time": ("<q", moment, None),
    "u32": ("<I", int, None),
    "u64": ("<Q", int, None),
    "exchange": ("<H", int, 0xFFFF),
    "list": ("<I", int, 0),
    "mean": ("<Q", int, 2 ** 64 - 1),
    "reason": ("<I", REASONS.get, None),
    "address": ("32s", bytes.hex, None),
}

BLOB = [("blob", 24, "address", 0)]
INSTRUMENT_DEFINED = 6
# Tag: name, fields as name, offset, type, flag that says it is there (0: always).
KINDS = {
    1: ("quote", [("bid", 24, "price", 2), ("ask", 32, "price", 4), ("bid_size", 40, "u32", 8),
                  ("ask_size", 44, "u32", 16), ("vendor_seq", 48, "u64", 32),
                  ("bid_exchange", 56, "exchange", 0), ("ask_exchange", 58, "exchange", 0),
                  ("conditions", 60, "list", 0)]),
    2: ("trade", [("price", 24, "price", 0), ("size", 32, "u64", 0), ("vendor_seq", 40, "u64", 2),
                  ("exchange", 48, "exchange", 0), ("conditions", 52, "list", 0)]),
    3: ("bar", [("start", 24, "time", 0), ("end", 32, "time", 0), ("open", 40, "price", 0),
                ("high", 48, "price", 0), ("low", 56, "price", 0), ("close", 64, "price", 0),
                ("volume", 72, "u64", 2), ("vwap", 80, "price", 4), ("trades", 88, "u64", 8),
                ("day_volume", 96, "u64", 16), ("day_open", 104, "price", 32),
                ("day_vwap", 112, "price", 64), ("trade_size_mean", 120, "mean", 0)]),
    4: ("index_value", [("value", 24, "price", 0)]),
    5: ("chain_snapshot", [("rows", 24, "address", 0), ("raw", 56, "address", 0),
                           ("spot", 88, "price", 2), ("contracts", 96, "u32", 0),
                           ("refused", 100, "u32", 0), ("latency_ns", 104, "u64", 0),
                           ("pages", 112, "u32", 0)]),
    INSTRUMENT_DEFINED: ("instrument_defined", []),
    7: ("conditions_defined", BLOB + [("id", 56, "u32", 0)]),
    8: ("source_defined", BLOB),
    9: ("extension", BLOB),
    10: ("annotation", BLOB),
    11: ("news", BLOB),
    12: ("control", BLOB),
    13: ("clock_beat", []),
    14: ("gap", [("from", 24, "time", 0), ("to", 32, "time", 0)]),
    15: ("correction", BLOB + [("corrects", 56, "u64", 0)]),
    16: ("quarantine", BLOB + [("reason", 56, "reason", 0)]),
}
# Bars and chain snapshots are long.
ROW_LENGTHS = {tag: 128 if tag in (3, 5) else 64 for tag in KINDS}


def read_text(data, why):
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(why) from None


def decode(seq, row):
    """The moment and the fields of an event. Fields that are absent, and bytes
    that no field covers, must be zero."""
    recv, vendor, instrument, source, tag, flags = struct.unpack("<qqIHBB", row[:24])
    name, fields = KINDS[tag]
    out = {"seq": seq, "recv": moment(recv), "kind": name}
    if instrument:
        out.update(instrument=instrument, ticker=None)
    if flags & 1:
        out["vendor_time"] = moment(vendor)
    elif vendor:
        raise ValueError("has a time that it does not have")
    out["source"] = source
    if flags & 0x80:
        out["extended"] = True
    known, uncovered = 0x81, bytearray(24) + row[24:]
    if tag == INSTRUMENT_DEFINED:
        known |= 2
        end = 25 + row[24]
        if flags & 2:
            fields = [("blob", 24, "address", 2)]
        elif end > 64:
            raise ValueError("has too long a text")
        else:
            out["defines"] = read_text(row[25:end], "has no readable text")
            uncovered[24:end] = bytes(end - 24)
    for field, at, kind, flag in fields:
        form, show, absent = TYPES[kind]
        known |= flag
        end = at + struct.calcsize(form)
        uncovered[at:end] = bytes(end - at)
        value, = struct.unpack(form, row[at:end])
        if flag and not flags & flag:
            if any(row[at:end]):
                raise ValueError(f"has a {field} that it does not have")
        elif absent is None or value != absent:
            if kind == "reason" and value not in REASONS:
                raise ValueError("has an unknown reason")
            out[field] = show(value)
    if flags & ~known or any(uncovered):
        raise ValueError("is not canonical")
    return recv, out


def read_header(data):
    """The fields of an artifact's header, in the order of its bytes."""
    rest, out = data, {}

    def taken(length):
        nonlocal rest
        if length > len(rest):
            raise ValueError("the header ends too early")
        head, rest = rest[:length], rest[length:]
        return head

    def number(length=8):
        return int.from_bytes(taken(length), "little")

    if number(4) != 1:
        raise ValueError("the header is not one of format 1")
    for name in ("symbol", "family", "profile"):
        out[name] = read_text(taken(number()), "the header has a text or a moment that is none")
    out["version"] = number()
    has_epoch = number(1)
    if has_epoch > 1:
        raise ValueError("the header is not written in the one way that there is")
    if has_epoch:
        out["epoch"] = taken(32).hex()
    out["configuration"] = taken(32).hex()
    out["seq_first"], out["seq_last"] = number(), number()
    out["created_at"] = moment(struct.unpack("<q", taken(8))[0])
    out["content"] = taken(32).hex()
    out["body_bytes"] = number()
    out["previous"] = taken(32).hex()
    if rest:
        raise ValueError("there are bytes behind the header")
    return out


def with_tickers(events):
    """Instruments are named by their definitions, where those are proven."""
    names = {event["instrument"]: event["defines"]
             for event in events if "defines" in event and "instrument" in event}
    for event in events:
        if "ticker" in event:
            event["ticker"] = names.get(event["instrument"])
            if event["ticker"] is None:
                del event["ticker"]
    return events


def line(event):
    def shown(value):
        text = "true" if value is True else str(value)
        return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)

    return " ".join(f"{name}={shown(value)}" for name, value in event.items())


def described(signed):
    return signed and {"origin": signed.origin, "size": signed.size, "root": signed.root.hex()}


def as_json(signed, old, events, certificate, artifact):
    told = {"holds": True, "checkpoint": described(signed)}
    if certificate is None:
        told.update(old=described(old), events=with_tickers(events))
    else:
        told["certificate"] = certificate.text
    if artifact is not None:
        told["artifact"], told["body"] = artifact
    return json.dumps(told)


def as_text(signed, old, events, certificate, artifact):
    if artifact is not None:
        header, with_body = artifact
        told = f"{line(header)} {'with' if with_body else 'without'} its body\n"
        what = f"certificate {certificate.id}, in the log"
    elif certificate is not None:
        told, what = certificate.text, f"certificate {certificate.id}, in the log"
    elif old is not None:
        told, what = f"what was signed at {old.size} pages is the beginning of it\n", "the log"
    else:
        told = "".join(line(event) + "\n" for event in with_tickers(events))
        what = f"{len(events):,} events, in the log"
    return (f"{told}HOLDS: {what} {signed.origin} of {signed.size} pages, "
            f"root {signed.root.hex()}")
