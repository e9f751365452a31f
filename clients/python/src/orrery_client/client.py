"""The client whose calls wait."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, Self, TypeVar

import grpc
from google.protobuf.message import Message

from orrery.v1 import (
    artifact_pb2,
    artifact_pb2_grpc,
    epoch_pb2,
    epoch_pb2_grpc,
    event_pb2,
    journal_pb2,
    journal_pb2_grpc,
    replay_pb2,
    replay_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
)

from . import errors, requests
from .operations import Operations
from .requests import Bounds, Day, Kind, Level, Time
from .results import Artifact
from .rows import Rows
from .sessions import Session
from .token import Token

M = TypeVar("M", bound=Message)

#: Replies of artifacts are large; pings tell a dead connection from a quiet one.
OPTIONS = [
    ("grpc.max_receive_message_length", 256 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Its own pauses would grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
#: Longest pause between two attempts to go on with a stream, seconds.
PAUSE_MAX = 2.0


class Client(Operations):
    """A connection to ``HOST:PORT`` of ``orrery serve``.

    ``timeout`` bounds single answers, in seconds. Watches and tails go on by
    themselves when the connection breaks, without loss or repeat, and give up
    ``retry_for`` seconds after the last message. ``token`` is shown to a server that
    asks for one; ``channel`` is a channel of your own, such as one with TLS.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 30.0,
        retry_for: float = 60.0,
        token: str | None = None,
        channel: grpc.Channel | None = None,
    ) -> None:
        self._channel = channel or grpc.insecure_channel(
            target.removeprefix("http://"), options=OPTIONS
        )
        line = self._channel
        if token is not None:
            line = grpc.intercept_channel(line, Token(token))
        self._timeout, self._retry_for = timeout, retry_for
        self._artifacts = artifact_pb2_grpc.ArtifactServiceStub(line)
        self._epochs = epoch_pb2_grpc.EpochServiceStub(line)
        self._journal = journal_pb2_grpc.JournalServiceStub(line)
        self._replays = replay_pb2_grpc.ReplayServiceStub(line)
        self._sessions = session_pb2_grpc.ReplaySessionServiceStub(line)
        self._connect(line)

    def close(self) -> None:
        """Ends the connection and whatever still streams over it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Artifacts.

    def get_artifact(
        self,
        symbol: str,
        family: str,
        *,
        version: int | None = None,
        seq: int | None = None,
        time: Time | None = None,
        header_only: bool = False,
        corrected: bool = False,
    ) -> Artifact:
        """The newest version, one version, or the newest as of an event or a moment.

        ``corrected`` reads it as if every event that was corrected since had been right
        from the start; ``Artifact.corrected`` then says what that took."""
        asked = requests.get_artifact(symbol, family, version, seq, time, header_only)
        asked.corrected = corrected
        reply = self._ask(self._artifacts.GetArtifact, asked)
        return Artifact.of(reply)

    def list_artifacts(
        self, symbol: str = "", family: str = "", *, from_version: int = 0, page_size: int = 0
    ) -> Rows[artifact_pb2.ArtifactHeader]:
        """Headers of a family by version, or the newest of every family."""
        asked = artifact_pb2.ListArtifactsRequest(
            symbol=symbol, family=family, from_version=from_version, page_size=page_size
        )
        return self._rows(
            self._artifacts.ListArtifacts, asked, "headers", artifact_pb2.ArtifactHeader
        )

    def watch_artifacts(
        self,
        symbols: Iterable[str] = (),
        families: Iterable[str] = (),
        *,
        after_version: int | None = None,
        header_only: bool = False,
        newest_only: bool = False,
    ) -> Iterator[Artifact]:
        """Versions as they appear, each once, also over broken connections.

        Begins with the newest version of each family, or behind ``after_version``
        (of one symbol and family). ``newest_only`` skips what a slow reader would get
        late; ``Artifact.skipped`` counts it.
        """
        seen = requests.Watching(symbols, families, after_version, header_only, newest_only)

        def stream() -> Iterator[Any]:
            return iter(self._artifacts.WatchArtifacts(seen.request()))

        for message in self._lasting(stream):
            if message.WhichOneof("event") == "artifact":
                told = message.artifact
                if seen.take(told.artifact.header):
                    found = told.artifact
                    yield Artifact(found.header, found.body, told.skipped, told.behind)

    def diff_artifacts(
        self, symbol: str, family: str, before: int, after: int = 0, *, max_changes: int = 0
    ) -> artifact_pb2.DiffArtifactsResponse:
        """Cells in which two versions differ, biggest change first; ``after`` 0 is the
        newest version."""
        asked = artifact_pb2.DiffArtifactsRequest(
            symbol=symbol,
            family=family,
            before_version=before,
            after_version=after,
            max_changes=max_changes,
        )
        return self._ask(self._artifacts.DiffArtifacts, asked)

    def explain_level(
        self,
        symbol: str,
        level: Level,
        *,
        profile: str = "",
        seq: int | None = None,
        time: Time | None = None,
        max_contracts: int = 0,
    ) -> artifact_pb2.ExplainLevelResponse:
        """The contracts that make a gamma level, largest share first, as of a moment."""
        asked = artifact_pb2.ExplainLevelRequest(
            symbol=symbol,
            level=level,
            profile=profile,
            as_of=requests.as_of(seq, time),
            max_contracts=max_contracts,
        )
        return self._ask(self._artifacts.ExplainLevel, asked)

    # Epochs and contracts.

    def list_epochs(
        self,
        symbol: str,
        *,
        seq: int | None = None,
        time: Time | None = None,
        page_size: int = 0,
    ) -> Rows[epoch_pb2.Epoch]:
        """Epochs that had begun at a moment, newest first."""
        asked = epoch_pb2.ListEpochsRequest(
            symbol=symbol, as_of=requests.as_of(seq, time), page_size=page_size
        )
        return self._rows(self._epochs.ListEpochs, asked, "epochs", epoch_pb2.Epoch)

    def get_epoch(
        self, symbol: str, epoch_id: str, *, seq: int | None = None, time: Time | None = None
    ) -> epoch_pb2.Epoch:
        """An epoch by its id."""
        moment = requests.as_of(seq, time)
        asked = epoch_pb2.GetEpochRequest(symbol=symbol, epoch_id=epoch_id, as_of=moment)
        return self._ask(self._epochs.GetEpoch, asked).epoch

    def active_epoch(
        self, symbol: str, *, seq: int | None = None, time: Time | None = None
    ) -> epoch_pb2.Epoch:
        """The epoch that is active at a moment."""
        asked = epoch_pb2.GetActiveEpochRequest(symbol=symbol, as_of=requests.as_of(seq, time))
        return self._ask(self._epochs.GetActiveEpoch, asked).epoch

    def list_contracts(
        self,
        symbol: str,
        *,
        epoch_id: str = "",
        strikes: Bounds | None = None,
        dte: Bounds | None = None,
        right: Literal["call", "put"] | None = None,
        width: Bounds | None = None,
        seq: int | None = None,
        time: Time | None = None,
        page_size: int = 0,
    ) -> Rows[epoch_pb2.Contract]:
        """Contracts of an epoch (the active one by default) with what was known of them
        at a moment; all pages stand on the same one."""
        asked = requests.contracts(symbol, epoch_id, strikes, dte, right, width, seq, time)
        asked.page_size = page_size
        return self._rows(self._epochs.ListContracts, asked, "contracts", epoch_pb2.Contract)

    # The journal.

    def read_range(
        self,
        *,
        day: Day | None = None,
        from_seq: int = 0,
        to_seq: int = 0,
        from_time: Time | None = None,
        to_time: Time | None = None,
        kinds: Iterable[Kind] = (),
        tickers: Iterable[str] = (),
        limit: int = 0,
        canonical: bool = False,
    ) -> Rows[event_pb2.JournalEvent]:
        """Events of a range, in order; all bounds hold together, none is everything."""
        asked = requests.read_range(
            day, from_seq, to_seq, from_time, to_time, kinds, tickers, limit, canonical
        )

        def pages() -> Iterator[tuple[Any, Iterable[event_pb2.JournalEvent]]]:
            try:
                for message in self._journal.ReadRange(asked):
                    yield message, message.events
            except grpc.RpcError as error:
                raise errors.of(error) from None

        return Rows(pages, event_pb2.JournalEvent)

    def tail(
        self,
        *,
        from_seq: int = 0,
        last: int = 0,
        kinds: Iterable[Kind] = (),
        tickers: Iterable[str] = (),
    ) -> Iterator[event_pb2.JournalEvent]:
        """Events as they become durable, each once, also over broken connections.

        Begins with ``from_seq``, with the ``last`` so many, or with the next one.
        """
        if not from_seq and not last:
            # By name, so that a line that breaks at once loses nothing.
            from_seq = self.stat().head_seq + 1
        asked = journal_pb2.TailRequest(
            from_seq=from_seq, last=last, filter=requests.event_filter(kinds, tickers)
        )

        def stream() -> Iterator[Any]:
            return iter(self._journal.Tail(asked))

        for message in self._lasting(stream):
            yield from message.events
            if message.next_seq:
                asked.last, asked.from_seq = 0, message.next_seq

    def stat(self) -> journal_pb2.JournalStat:
        """The journal in numbers."""
        return self._ask(self._journal.Stat, journal_pb2.StatRequest()).stat

    # Replays.

    def replay(
        self,
        day: Day,
        *,
        speed: float | None = None,
        gap_cap: float | None = None,
        symbols: Iterable[str] = (),
        families: Iterable[str] = (),
        profiles: Iterable[str] = (),
        without: Iterable[Kind] = (),
        header_only: bool = False,
    ) -> Iterator[Artifact]:
        """What a recorded day brings out when it is played again, in a session of its own
        that ends with the iteration.

        ``speed`` is how many seconds of the market pass in one (``None``: as many as
        can be folded), ``gap_cap`` the longest silence to keep, in the market's seconds.
        ``profiles`` are other definitions, ``without`` kinds of events to leave out. The
        session waits for a slow reader, so nothing is missed.
        """
        asked = requests.replay(day, speed, gap_cap, symbols, families, profiles, without)
        session_id = self._ask(self._sessions.CreateSession, asked).session.session_id
        try:
            yield from self._played(session_id, header_only)
        finally:
            try:
                close = session_pb2.CloseSessionRequest(session_id=session_id)
                self._sessions.CloseSession(close, timeout=self._timeout)
            except (grpc.RpcError, ValueError):
                pass  # It ends by itself when nobody asks for it.

    def _played(self, session_id: str, header_only: bool) -> Iterator[Artifact]:
        watch = session_pb2.WatchSessionRequest(
            session_id=session_id, after_number=0, hold=True, header_only=header_only
        )
        stream = self._sessions.WatchSession(watch)
        playing = False
        try:
            for message in stream:
                if not playing:
                    # The stream is there: from here on nothing is missed.
                    play = session_pb2.PlaySessionRequest(session_id=session_id)
                    self._ask(self._sessions.PlaySession, play)
                    playing = True
                told = requests.played(message)
                if told is None:
                    return
                if told.WhichOneof("event") == "artifact":
                    artifact = told.artifact.artifact
                    yield Artifact(artifact.header, artifact.body)
        except grpc.RpcError as error:
            raise errors.of(error) from None
        finally:
            stream.cancel()

    def session(
        self,
        day: Day,
        *,
        speed: float | None = None,
        gap_cap: float | None = None,
        symbols: Iterable[str] = (),
        families: Iterable[str] = (),
        profiles: Iterable[str] = (),
        without: Iterable[Kind] = (),
    ) -> Session:
        """A replay session over a day that is stepped, sought, played and branched by
        hand; it stands at its opening. Close it, or use it in a ``with``."""
        asked = requests.replay(day, speed, gap_cap, symbols, families, profiles, without)
        made = self._ask(self._sessions.CreateSession, asked).session
        return Session(self._ask, self._sessions, made)

    def compare_day(self, day: Day, *, threads: int = 0) -> Iterator[replay_pb2.Replay]:
        """Folds a day again on the server and compares every artifact with the record:
        its state as it goes on, last of all the one in which it ended."""
        asked = replay_pb2.StartReplayRequest(day=requests.date(day), threads=threads)
        started = self._ask(self._replays.StartReplay, asked).replay
        watch = replay_pb2.WatchReplayRequest(replay_id=started.replay_id)
        try:
            for message in self._replays.WatchReplay(watch):
                yield message.replay
        except grpc.RpcError as error:
            raise errors.of(error) from None

    # Below: how calls are made.

    def _ask(self, call: Callable[..., Any], request: Message) -> Any:
        try:
            return call(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise errors.of(error) from None

    def _rows(self, call: Callable[..., Any], request: Any, name: str, of: type[M]) -> Rows[M]:
        def pages() -> Iterator[tuple[Any, Iterable[M]]]:
            asked = type(request).FromString(request.SerializeToString())
            while True:
                reply = self._ask(call, asked)
                yield reply, getattr(reply, name)
                if not reply.next_page_token:
                    return
                asked.page_token = reply.next_page_token

        return Rows(pages, of)

    def _lasting(self, stream: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """A stream that is asked for anew when its connection breaks."""
        heard, pause = clock.monotonic(), 0.05
        while True:
            try:
                for message in stream():
                    yield message
                    heard, pause = clock.monotonic(), 0.05
                return
            except grpc.RpcError as error:
                refused = errors.of(error)
                late = clock.monotonic() - heard > self._retry_for
                if not isinstance(refused, errors.Unavailable) or late:
                    raise refused from None
            clock.sleep(pause)
            pause = min(2 * pause, PAUSE_MAX)
