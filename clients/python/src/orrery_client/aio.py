"""The client whose calls are awaited; what it asks is what :mod:`.client` asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
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
from .aio_operations import AsyncOperations
from .client import OPTIONS, PAUSE_MAX
from .requests import Bounds, Day, Kind, Level, Time
from .results import Artifact
from .rows import AsyncRows
from .sessions import AsyncSession
from .token import awaited

M = TypeVar("M", bound=Message)


class AsyncClient(AsyncOperations):
    """A connection to ``HOST:PORT`` of ``orrery serve``, for asyncio.

    Every method is that of :class:`.Client` of the same name.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 30.0,
        retry_for: float = 60.0,
        token: str | None = None,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        if channel is not None and token is not None:
            raise ValueError("a channel of your own shows its own token")
        shown = None if token is None else awaited(token)
        self._channel = channel or grpc.aio.insecure_channel(
            target.removeprefix("http://"), options=OPTIONS, interceptors=shown
        )
        self._timeout, self._retry_for = timeout, retry_for
        self._artifacts = artifact_pb2_grpc.ArtifactServiceStub(self._channel)
        self._epochs = epoch_pb2_grpc.EpochServiceStub(self._channel)
        self._journal = journal_pb2_grpc.JournalServiceStub(self._channel)
        self._replays = replay_pb2_grpc.ReplayServiceStub(self._channel)
        self._sessions = session_pb2_grpc.ReplaySessionServiceStub(self._channel)
        self._connect(self._channel)

    async def close(self) -> None:
        """Ends the connection and whatever still streams over it."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get_artifact(
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
        """The newest version, one version, or the newest as of an event or a moment."""
        asked = requests.get_artifact(symbol, family, version, seq, time, header_only)
        asked.corrected = corrected
        return Artifact.of(await self._ask(self._artifacts.GetArtifact, asked))

    def list_artifacts(
        self, symbol: str = "", family: str = "", *, from_version: int = 0, page_size: int = 0
    ) -> AsyncRows[artifact_pb2.ArtifactHeader]:
        """Headers of a family by version, or the newest of every family."""
        asked = artifact_pb2.ListArtifactsRequest(
            symbol=symbol, family=family, from_version=from_version, page_size=page_size
        )
        return self._rows(
            self._artifacts.ListArtifacts, asked, "headers", artifact_pb2.ArtifactHeader
        )

    async def watch_artifacts(
        self,
        symbols: Iterable[str] = (),
        families: Iterable[str] = (),
        *,
        after_version: int | None = None,
        header_only: bool = False,
        newest_only: bool = False,
    ) -> AsyncIterator[Artifact]:
        """Versions as they appear, each once, also over broken connections."""
        seen = requests.Watching(symbols, families, after_version, header_only, newest_only)

        def stream() -> AsyncIterator[Any]:
            return aiter(self._artifacts.WatchArtifacts(seen.request()))

        async for message in self._lasting(stream):
            if message.WhichOneof("event") == "artifact":
                told = message.artifact
                if seen.take(told.artifact.header):
                    found = told.artifact
                    yield Artifact(found.header, found.body, told.skipped, told.behind)

    async def diff_artifacts(
        self, symbol: str, family: str, before: int, after: int = 0, *, max_changes: int = 0
    ) -> artifact_pb2.DiffArtifactsResponse:
        """Cells in which two versions differ, biggest change first."""
        asked = artifact_pb2.DiffArtifactsRequest(
            symbol=symbol,
            family=family,
            before_version=before,
            after_version=after,
            max_changes=max_changes,
        )
        return await self._ask(self._artifacts.DiffArtifacts, asked)

    async def explain_level(
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
        return await self._ask(self._artifacts.ExplainLevel, asked)

    def list_epochs(
        self,
        symbol: str,
        *,
        seq: int | None = None,
        time: Time | None = None,
        page_size: int = 0,
    ) -> AsyncRows[epoch_pb2.Epoch]:
        """Epochs that had begun at a moment, newest first."""
        asked = epoch_pb2.ListEpochsRequest(
            symbol=symbol, as_of=requests.as_of(seq, time), page_size=page_size
        )
        return self._rows(self._epochs.ListEpochs, asked, "epochs", epoch_pb2.Epoch)

    async def get_epoch(
        self, symbol: str, epoch_id: str, *, seq: int | None = None, time: Time | None = None
    ) -> epoch_pb2.Epoch:
        """An epoch by its id."""
        moment = requests.as_of(seq, time)
        asked = epoch_pb2.GetEpochRequest(symbol=symbol, epoch_id=epoch_id, as_of=moment)
        return (await self._ask(self._epochs.GetEpoch, asked)).epoch

    async def active_epoch(
        self, symbol: str, *, seq: int | None = None, time: Time | None = None
    ) -> epoch_pb2.Epoch:
        """The epoch that is active at a moment."""
        asked = epoch_pb2.GetActiveEpochRequest(symbol=symbol, as_of=requests.as_of(seq, time))
        return (await self._ask(self._epochs.GetActiveEpoch, asked)).epoch

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
    ) -> AsyncRows[epoch_pb2.Contract]:
        """Contracts of an epoch with what was known of them at a moment."""
        asked = requests.contracts(symbol, epoch_id, strikes, dte, right, width, seq, time)
        asked.page_size = page_size
        return self._rows(self._epochs.ListContracts, asked, "contracts", epoch_pb2.Contract)

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
    ) -> AsyncRows[event_pb2.JournalEvent]:
        """Events of a range, in order; all bounds hold together, none is everything."""
        asked = requests.read_range(
            day, from_seq, to_seq, from_time, to_time, kinds, tickers, limit, canonical
        )

        async def pages() -> AsyncIterator[tuple[Any, Iterable[event_pb2.JournalEvent]]]:
            try:
                async for message in self._journal.ReadRange(asked):
                    yield message, message.events
            except grpc.RpcError as error:
                raise errors.of(error) from None

        return AsyncRows(pages, event_pb2.JournalEvent)

    async def tail(
        self,
        *,
        from_seq: int = 0,
        last: int = 0,
        kinds: Iterable[Kind] = (),
        tickers: Iterable[str] = (),
    ) -> AsyncIterator[event_pb2.JournalEvent]:
        """Events as they become durable, each once, also over broken connections."""
        if not from_seq and not last:
            # By name, so that a line that breaks at once loses nothing.
            from_seq = (await self.stat()).head_seq + 1
        asked = journal_pb2.TailRequest(
            from_seq=from_seq, last=last, filter=requests.event_filter(kinds, tickers)
        )

        def stream() -> AsyncIterator[Any]:
            return aiter(self._journal.Tail(asked))

        async for message in self._lasting(stream):
            for event in message.events:
                yield event
            if message.next_seq:
                asked.last, asked.from_seq = 0, message.next_seq

    async def stat(self) -> journal_pb2.JournalStat:
        """The journal in numbers."""
        return (await self._ask(self._journal.Stat, journal_pb2.StatRequest())).stat

    async def replay(
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
    ) -> AsyncIterator[Artifact]:
        """What a recorded day brings out when it is played again."""
        asked = requests.replay(day, speed, gap_cap, symbols, families, profiles, without)
        session_id = (await self._ask(self._sessions.CreateSession, asked)).session.session_id
        try:
            async for artifact in self._played(session_id, header_only):
                yield artifact
        finally:
            try:
                close = session_pb2.CloseSessionRequest(session_id=session_id)
                await self._sessions.CloseSession(close, timeout=self._timeout)
            except (grpc.RpcError, grpc.aio.UsageError):
                pass  # It ends by itself when nobody asks for it.

    async def _played(self, session_id: str, header_only: bool) -> AsyncIterator[Artifact]:
        watch = session_pb2.WatchSessionRequest(
            session_id=session_id, after_number=0, hold=True, header_only=header_only
        )
        stream = self._sessions.WatchSession(watch)
        playing = False
        try:
            async for message in stream:
                if not playing:
                    # The stream is there: from here on nothing is missed.
                    play = session_pb2.PlaySessionRequest(session_id=session_id)
                    await self._ask(self._sessions.PlaySession, play)
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

    async def session(
        self,
        day: Day,
        *,
        speed: float | None = None,
        gap_cap: float | None = None,
        symbols: Iterable[str] = (),
        families: Iterable[str] = (),
        profiles: Iterable[str] = (),
        without: Iterable[Kind] = (),
    ) -> AsyncSession:
        """A replay session that is stepped, sought, played and branched by hand."""
        asked = requests.replay(day, speed, gap_cap, symbols, families, profiles, without)
        made = (await self._ask(self._sessions.CreateSession, asked)).session
        return AsyncSession(self._ask, self._sessions, made)

    async def compare_day(
        self, day: Day, *, threads: int = 0
    ) -> AsyncIterator[replay_pb2.Replay]:
        """Folds a day again on the server and compares every artifact with the record."""
        asked = replay_pb2.StartReplayRequest(day=requests.date(day), threads=threads)
        started = (await self._ask(self._replays.StartReplay, asked)).replay
        watch = replay_pb2.WatchReplayRequest(replay_id=started.replay_id)
        try:
            async for message in self._replays.WatchReplay(watch):
                yield message.replay
        except grpc.RpcError as error:
            raise errors.of(error) from None

    async def _ask(self, call: Callable[..., Any], request: Message) -> Any:
        try:
            return await call(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise errors.of(error) from None

    def _rows(
        self, call: Callable[..., Any], request: Any, name: str, of: type[M]
    ) -> AsyncRows[M]:
        async def pages() -> AsyncIterator[tuple[Any, Iterable[M]]]:
            asked = type(request).FromString(request.SerializeToString())
            while True:
                reply = await self._ask(call, asked)
                yield reply, getattr(reply, name)
                if not reply.next_page_token:
                    return
                asked.page_token = reply.next_page_token

        return AsyncRows(pages, of)

    async def _lasting(self, stream: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """A stream that is asked for anew when its connection breaks."""
        now = asyncio.get_running_loop().time
        heard, pause = now(), 0.05
        while True:
            try:
                async for message in stream():
                    yield message
                    heard, pause = now(), 0.05
                return
            except grpc.RpcError as error:
                refused = errors.of(error)
                late = now() - heard > self._retry_for
                if not isinstance(refused, errors.Unavailable) or late:
                    raise refused from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_MAX)
