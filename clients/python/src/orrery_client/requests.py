"""Requests from arguments; the same for both clients."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Literal

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from orrery.v1 import (
    artifact_pb2,
    common_pb2,
    epoch_pb2,
    event_pb2,
    journal_pb2,
    session_pb2,
)

from .errors import OrreryError

#: A moment: an aware datetime, RFC 3339 text, or nanoseconds since 1970.
Time = datetime.datetime | str | int
#: A calendar date, or ``YYYY-MM-DD``.
Day = datetime.date | str
#: Lowest and highest number that match; ``None`` leaves a side open.
Bounds = tuple[float | None, float | None]
#: A level that has contracts behind it.
Level = Literal["call_wall", "put_wall", "peak", "absolute_gamma", "flip", "net"]
#: A name of an event kind: ``quote``, ``trade``, ``chain_snapshot``, ...
Kind = str


def timestamp(time: Time) -> Timestamp:
    """A ``google.protobuf.Timestamp``, without losing a nanosecond of an ``int``."""
    found = Timestamp()
    match time:
        case int():
            found.seconds, found.nanos = divmod(time, 1_000_000_000)
        case str():
            found.FromJsonString(time)
        case _:
            if time.tzinfo is None:
                raise ValueError("a moment needs a time zone: datetime(..., tzinfo=UTC)")
            found.FromDatetime(time.astimezone(datetime.UTC).replace(tzinfo=None))
    return found


def date(day: Day) -> common_pb2.Date:
    if isinstance(day, str):
        day = datetime.date.fromisoformat(day)
    return common_pb2.Date(year=day.year, month=day.month, day=day.day)


def as_of(seq: int | None, time: Time | None) -> common_pb2.AsOf | None:
    if seq is not None and time is not None:
        raise ValueError("a moment is a seq or a time, not both")
    if seq is not None:
        return common_pb2.AsOf(seq=seq)
    return None if time is None else common_pb2.AsOf(time=timestamp(time))


def bounds(of: Bounds | None) -> common_pb2.Range | None:
    return None if of is None else common_pb2.Range(min=of[0], max=of[1])


def get_artifact(
    symbol: str,
    family: str,
    version: int | None,
    seq: int | None,
    time: Time | None,
    header_only: bool,
) -> artifact_pb2.GetArtifactRequest:
    moment = as_of(seq, time)
    if version is not None and moment is not None:
        raise ValueError("an artifact is asked for by version or as of a moment, not both")
    return artifact_pb2.GetArtifactRequest(
        symbol=symbol, family=family, version=version, as_of=moment, header_only=header_only
    )


def contracts(
    symbol: str,
    epoch_id: str,
    strikes: Bounds | None,
    dte: Bounds | None,
    right: Literal["call", "put"] | None,
    width: Bounds | None,
    seq: int | None,
    time: Time | None,
) -> epoch_pb2.ListContractsRequest:
    rights = {
        None: epoch_pb2.OPTION_RIGHT_UNSPECIFIED,
        "call": epoch_pb2.OPTION_RIGHT_CALL,
        "put": epoch_pb2.OPTION_RIGHT_PUT,
    }
    return epoch_pb2.ListContractsRequest(
        symbol=symbol,
        epoch_id=epoch_id,
        strikes=bounds(strikes),
        dte=bounds(dte),
        right=rights[right],
        width=bounds(width),
        as_of=as_of(seq, time),
    )


def event_filter(kinds: Iterable[Kind], tickers: Iterable[str]) -> event_pb2.EventFilter:
    names = [f"EVENT_KIND_{kind.upper()}" for kind in kinds]
    for name in names:
        if name not in event_pb2.EventKind.keys():
            kind = name.removeprefix("EVENT_KIND_").lower()
            raise ValueError(f"no kind of event is called {kind!r}")
    return event_pb2.EventFilter(kinds=names, tickers=list(tickers))


def read_range(
    day: Day | None,
    from_seq: int,
    to_seq: int,
    from_time: Time | None,
    to_time: Time | None,
    kinds: Iterable[Kind],
    tickers: Iterable[str],
    limit: int,
    canonical: bool,
) -> journal_pb2.ReadRangeRequest:
    return journal_pb2.ReadRangeRequest(
        day=None if day is None else date(day),
        from_seq=from_seq,
        to_seq=to_seq,
        from_time=None if from_time is None else timestamp(from_time),
        to_time=None if to_time is None else timestamp(to_time),
        filter=event_filter(kinds, tickers),
        limit=limit,
        canonical=canonical,
    )


def replay(
    day: Day,
    speed: float | None,
    gap_cap: float | None,
    symbols: Iterable[str],
    families: Iterable[str],
    profiles: Iterable[str],
    without: Iterable[Kind],
) -> session_pb2.CreateSessionRequest:
    cap = None
    if gap_cap is not None:
        cap = Duration()
        cap.FromNanoseconds(round(gap_cap * 1e9))
    left_out = list(without)
    return session_pb2.CreateSessionRequest(
        day=date(day),
        symbols=list(symbols),
        families=list(families),
        profiles=list(profiles),
        without=event_filter(left_out, ()) if left_out else None,
        speed=pace(speed),
        gap_cap=cap,
    )


def played(
    message: session_pb2.WatchSessionResponse,
) -> session_pb2.WatchSessionResponse | None:
    """The message, or ``None`` when it says that the session came to its end."""
    if message.WhichOneof("event") != "session":
        return message
    state, error = message.session.state, message.session.error
    if state in (session_pb2.SESSION_STATE_FAILED, session_pb2.SESSION_STATE_EXPIRED):
        raise OrreryError(grpc.StatusCode.ABORTED, error or "the session expired")
    ends = (session_pb2.SESSION_STATE_ENDED, session_pb2.SESSION_STATE_CLOSED)
    return None if state in ends else message


class Watching:
    """What a watcher has seen, so that a new stream goes on where the last one ended."""

    #: Selectors that a server takes.
    SELECTORS_MAX = 64

    def __init__(
        self,
        symbols: Iterable[str],
        families: Iterable[str],
        after_version: int | None,
        header_only: bool,
        newest_only: bool,
    ) -> None:
        symbols, families = list(symbols), list(families)
        if after_version is not None and (len(symbols) != 1 or len(families) != 1):
            raise ValueError("after_version needs one symbol and one family")
        self._asked = [(s, f) for s in symbols or [""] for f in families or [""]]
        self._header_only, self._newest_only = header_only, newest_only
        self._seen: dict[tuple[str, str], int] = {}
        if after_version is not None:
            self._seen[symbols[0], families[0]] = after_version

    def request(self) -> artifact_pb2.WatchArtifactsRequest:
        """Asks for everything behind what was seen."""
        Selector = artifact_pb2.ArtifactSelector
        selectors = [
            Selector(symbol=symbol, family=family, after_version=version)
            for (symbol, family), version in self._seen.items()
        ]
        rest = [name for name in self._asked if name not in self._seen]
        # Without a selector everything is watched.
        if rest != [("", "")] or selectors:
            selectors += [Selector(symbol=symbol, family=family) for symbol, family in rest]
        if len(selectors) > self.SELECTORS_MAX:
            raise ValueError(
                f"{len(selectors)} families: one watcher can resume {self.SELECTORS_MAX}; "
                "watch fewer of them in each"
            )
        return artifact_pb2.WatchArtifactsRequest(
            selectors=selectors, header_only=self._header_only, newest_only=self._newest_only
        )

    def take(self, header: artifact_pb2.ArtifactHeader) -> bool:
        """Notes a version; ``False`` for one that was handed out before."""
        name = (header.symbol, header.family)
        if self._seen.get(name, 0) >= header.version:
            return False
        self._seen[name] = header.version
        return True


def event(
    seq: int | None, page: str, index: int, address: str, day: Day | None
) -> journal_pb2.GetEventRequest:
    if [seq is not None, bool(page), bool(address)].count(True) != 1:
        raise ValueError("an event is asked for by seq, by page and index, or by address and day")
    if seq is not None:
        return journal_pb2.GetEventRequest(seq=seq)
    if page:
        paged = journal_pb2.PagedEvent(page=page, index=index)
        return journal_pb2.GetEventRequest(paged=paged)
    hashed = journal_pb2.HashedEvent(address=address, day=None if day is None else date(day))
    return journal_pb2.GetEventRequest(hashed=hashed)


def history(
    ticker: str,
    day: Day | None,
    start: tuple[int | None, Time | None],
    end: tuple[int | None, Time | None],
    trades: bool,
) -> epoch_pb2.ListContractHistoryRequest:
    asked = epoch_pb2.ListContractHistoryRequest(
        ticker=ticker, day=None if day is None else date(day), to=as_of(*end), trades=trades
    )
    if begin := as_of(*start):
        # `from` is a word of Python.
        getattr(asked, "from").CopyFrom(begin)
    return asked


def prove(
    events: list[int], day: Day | None, artifact: tuple[str, str, int] | None
) -> journal_pb2.ProveRequest:
    if [bool(events), day is not None, artifact is not None].count(True) != 1:
        raise ValueError("a proof is of events, of a day, or of an artifact")
    if events:
        return journal_pb2.ProveRequest(events=journal_pb2.ProveEvents(seqs=events))
    if artifact is not None:
        symbol, family, version = artifact
        wanted = journal_pb2.ProveArtifact(symbol=symbol, family=family, version=version)
        return journal_pb2.ProveRequest(artifact=wanted)
    assert day is not None
    return journal_pb2.ProveRequest(day=journal_pb2.ProveDay(day=date(day)))


#: What a session is stepped by.
Unit = Literal["event", "frame", "timer", "artifact"]
#: What a session may go on to.
Landmark = Literal["opening", "next_epoch_change", "next_gap", "next_flip_crossing"]


def step(
    session_id: str, unit: Unit, count: int, symbol: str, family: str
) -> session_pb2.StepSessionRequest:
    return session_pb2.StepSessionRequest(
        session_id=session_id,
        unit=f"STEP_UNIT_{unit.upper()}",
        count=count,
        symbol=symbol,
        family=family,
    )


def seek(
    session_id: str,
    seq: int | None,
    time: Time | None,
    landmark: Landmark | None,
    artifact: tuple[str, str] | None,
) -> session_pb2.SeekSessionRequest:
    given = [seq is not None, time is not None, landmark is not None, artifact is not None]
    if given.count(True) != 1:
        raise ValueError("a session seeks a seq, a time, a landmark or an artifact")
    asked = session_pb2.SeekSessionRequest
    if landmark is not None:
        return asked(session_id=session_id, landmark=f"LANDMARK_{landmark.upper()}")
    if artifact is not None:
        symbol, family = artifact
        wanted = session_pb2.NextArtifact(symbol=symbol, family=family)
        return asked(session_id=session_id, artifact=wanted)
    if time is not None:
        return asked(session_id=session_id, time=timestamp(time))
    return asked(session_id=session_id, seq=seq)


def pace(speed: float | None) -> session_pb2.SessionSpeed:
    if speed is None:
        return session_pb2.SessionSpeed(unpaced=True)
    return session_pb2.SessionSpeed(times=speed)
