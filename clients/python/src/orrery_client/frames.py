"""Messages as columns, for pandas and polars.

Times become nanoseconds in UTC, journal prices exact decimals with nine digits
behind the point, enums words, and what is absent null, never zero.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

#: Fields that are integers of 1e-9, by the message that holds them.
_PRICES = {
    "QuoteEvent": {"bid", "ask"},
    "TradeEvent": {"price"},
    "BarEvent": {"open", "high", "low", "close", "vwap", "day_open", "day_vwap"},
    "IndexValueEvent": {"value"},
    "ChainSnapshotEvent": {"spot"},
}

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: "Int32",
    FieldDescriptor.CPPTYPE_INT64: "Int64",
    FieldDescriptor.CPPTYPE_UINT32: "UInt32",
    FieldDescriptor.CPPTYPE_UINT64: "UInt64",
}


@dataclass
class Column:
    """A column: what it holds, and its values."""

    kind: str
    values: list[Any] = field(default_factory=list)


def nanos(timestamp: Any) -> int:
    """Nanoseconds since 1970 of a ``google.protobuf.Timestamp``."""
    return int(timestamp.seconds) * 1_000_000_000 + int(timestamp.nanos)


def _fields(descriptor: Any, prefix: str = "") -> Iterable[tuple[str, list[Any], str]]:
    """Name, path and kind of every column; columns of inner messages are prefixed."""
    one: Any
    for one in descriptor.fields:
        name, path = prefix + one.name, [one]
        if one.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
            if one.is_repeated:
                kind = "list"
            elif one.name in _PRICES.get(descriptor.name, ()):
                kind = "price"
            elif one.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
                kind = "enum"
            elif one.type == FieldDescriptor.TYPE_BYTES:
                kind = "bytes"
            else:
                kind = _INTEGERS.get(one.cpp_type) or {
                    FieldDescriptor.CPPTYPE_BOOL: "bool",
                    FieldDescriptor.CPPTYPE_DOUBLE: "float",
                    FieldDescriptor.CPPTYPE_FLOAT: "float",
                }.get(one.cpp_type, "text")
            yield name, path, kind
        elif one.message_type.full_name == "google.protobuf.Timestamp":
            yield name, path, "time"
        elif one.message_type.name == "Date":
            yield name, path, "dates" if one.is_repeated else "date"
        elif not one.is_repeated:
            for inner, rest, kind in _fields(one.message_type, f"{name}_"):
                yield inner, path + rest, kind


def _date(value: Any) -> datetime.date:
    return datetime.date(value.year, value.month, value.day)


def _value(message: Any, path: list[Any], kind: str) -> Any:
    for one in path[:-1]:
        if not message.HasField(one.name):
            return None
        message = getattr(message, one.name)
    last = path[-1]
    if last.has_presence and not message.HasField(last.name):
        return None
    value = getattr(message, last.name)
    match kind:
        case "time":
            return nanos(value)
        case "date":
            return _date(value)
        case "dates":
            return [_date(one) for one in value]
        case "price":
            return Decimal(value).scaleb(-9)
        case "list":
            return list(value)
        case "enum":
            names = last.enum_type.values_by_number
            prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in last.enum_type.name)
            return names[value].name.removeprefix(f"{prefix.lstrip('_')}_").lower()
        case _:
            return value


def columns(descriptor: Any, messages: Iterable[Message]) -> dict[str, Column]:
    """All columns of messages of one type; those that no message fills are left out
    where they belong to an inner message."""
    fields = list(_fields(descriptor))
    found = {name: Column(kind) for name, _, kind in fields}
    for message in messages:
        for name, path, kind in fields:
            found[name].values.append(_value(message, path, kind))
    inner = {name for name, path, _ in fields if len(path) > 1}
    return {
        name: column
        for name, column in found.items()
        if name not in inner or any(value is not None for value in column.values)
    }


def to_pandas(table: dict[str, Column]) -> Any:
    """A ``pandas.DataFrame``; decimals and dates are Python objects."""
    import pandas

    def series(column: Column) -> Any:
        match column.kind:
            case "time":
                whole = pandas.array(column.values, dtype="Int64")
                return pandas.Series(pandas.to_datetime(whole, unit="ns", utc=True))
            case "Int32" | "Int64" | "UInt32" | "UInt64":
                return pandas.Series(pandas.array(column.values, dtype=column.kind))
            case "float":
                return pandas.Series(column.values, dtype="float64")
            case "bool":
                return pandas.Series(pandas.array(column.values, dtype="boolean"))
            case "text" | "enum":
                return pandas.Series(column.values, dtype="string")
            case _:
                return pandas.Series(column.values, dtype="object")

    return pandas.DataFrame({name: series(column) for name, column in table.items()})


def to_polars(table: dict[str, Column]) -> Any:
    """A ``polars.DataFrame``."""
    import polars

    types: dict[str, Any] = {
        "Int32": polars.Int32,
        "Int64": polars.Int64,
        "UInt32": polars.UInt32,
        "UInt64": polars.UInt64,
        "bool": polars.Boolean,
        "float": polars.Float64,
        "text": polars.String,
        "enum": polars.String,
        "bytes": polars.Binary,
        "date": polars.Date,
        "price": polars.Decimal(19, 9),
    }

    def series(name: str, column: Column) -> Any:
        if column.kind == "time":
            whole = polars.Series(name, column.values, dtype=polars.Int64)
            return whole.cast(polars.Datetime("ns", "UTC"))
        return polars.Series(name, column.values, dtype=types.get(column.kind))

    return polars.DataFrame([series(name, column) for name, column in table.items()])
