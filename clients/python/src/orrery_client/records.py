"""What a client may journal: records for ``append``, and the lines of annotations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orrery.v1 import annotation_pb2, journal_pb2

from .requests import Time, timestamp

#: What a line stands for.
LineKind = Literal["line", "volume_node", "volume_well", "crevasse"]

_KINDS = {
    "line": annotation_pb2.ANNOTATION_LINE_KIND_LINE,
    "volume_node": annotation_pb2.ANNOTATION_LINE_KIND_VOLUME_NODE,
    "volume_well": annotation_pb2.ANNOTATION_LINE_KIND_VOLUME_WELL,
    "crevasse": annotation_pb2.ANNOTATION_LINE_KIND_CREVASSE,
}


@dataclass(frozen=True)
class Line:
    """A line at a price in points, or with ``to`` a range of prices."""

    price: float
    to: float | None = None
    kind: LineKind = "line"
    color: str = ""
    weight: float | None = None

    def message(self) -> annotation_pb2.AnnotationLine:
        return annotation_pb2.AnnotationLine(
            kind=_KINDS[self.kind],
            price=self.price,
            to=self.to,
            color=self.color,
            weight=self.weight,
        )


def annotation_draft(
    symbol: str,
    author: str,
    lines: Iterable[Line | float],
    model: str,
    provenance: str,
) -> annotation_pb2.AnnotationDraft:
    drawn = [line if isinstance(line, Line) else Line(line) for line in lines]
    return annotation_pb2.AnnotationDraft(
        symbol=symbol,
        author=author,
        model=model,
        provenance=provenance,
        lines=[line.message() for line in drawn],
    )


def annotation(
    symbol: str,
    author: str,
    lines: Iterable[Line | float],
    *,
    model: str = "",
    provenance: str = "",
    record_id: str = "",
) -> journal_pb2.AppendRecord:
    """Structural lines that somebody drew."""
    draft = annotation_draft(symbol, author, lines, model, provenance)
    return journal_pb2.AppendRecord(record_id=record_id, annotation=draft)


def correction(
    corrects: int, right: Mapping[str, Any], *, record_id: str = ""
) -> journal_pb2.AppendRecord:
    """That an earlier trade, bar or annotation was wrong, and what is right."""
    said = journal_pb2.CorrectionRecord(corrects_seq=corrects, right=json.dumps(right))
    return journal_pb2.AppendRecord(record_id=record_id, correction=said)


def cancel(corrects: int, *, record_id: str = "") -> journal_pb2.AppendRecord:
    """That an earlier trade, bar or annotation never happened."""
    said = journal_pb2.CorrectionRecord(corrects_seq=corrects, cancel=True)
    return journal_pb2.AppendRecord(record_id=record_id, correction=said)


def news(
    item: Mapping[str, Any], *, symbol: str = "", record_id: str = ""
) -> journal_pb2.AppendRecord:
    """A news item."""
    said = journal_pb2.NewsRecord(symbol=symbol, json=json.dumps(item))
    return journal_pb2.AppendRecord(record_id=record_id, news=said)


def vendor_frame(text: str, *, record_id: str = "") -> journal_pb2.AppendRecord:
    """A WebSocket frame of the vendor: one message or an array of them."""
    return journal_pb2.AppendRecord(record_id=record_id, vendor_frame=text)


def gap(start: Time, end: Time, *, record_id: str = "") -> journal_pb2.AppendRecord:
    """That a feed of the client saw nothing between two moments."""
    said = journal_pb2.GapRecord(to=timestamp(end))
    # `from` is a word of Python.
    getattr(said, "from").CopyFrom(timestamp(start))
    return journal_pb2.AppendRecord(record_id=record_id, gap=said)
