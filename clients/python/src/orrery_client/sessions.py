"""A replay session in the hands of its user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Self

import grpc

from orrery.v1 import session_pb2

from . import errors, requests
from .requests import Kind, Landmark, Time, Unit
from .results import Artifact


class Session:
    """A recorded day on a virtual clock: :meth:`.Client.session` makes it.

    ``state`` is what the server said last of it: ``state.position`` is where it stands.
    """

    def __init__(
        self, ask: Callable[..., Any], calls: Any, made: session_pb2.ReplaySession
    ) -> None:
        self._ask, self._calls = ask, calls
        #: What the server said last of it.
        self.state = made

    @property
    def session_id(self) -> str:
        """Its name in the server."""
        return self.state.session_id

    @property
    def seq(self) -> int:
        """The last event that has happened in it."""
        return self.state.position.seq

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        except errors.OrreryError:
            pass  # It ends by itself when nobody asks for it.

    def _told(self, reply: Any) -> Any:
        self.state = reply.session
        return reply

    def refresh(self) -> Self:
        """Asks where it stands."""
        asked = session_pb2.GetSessionRequest(session_id=self.session_id)
        self._told(self._ask(self._calls.GetSession, asked))
        return self

    def play(self) -> Self:
        """Lets its clock run."""
        asked = session_pb2.PlaySessionRequest(session_id=self.session_id)
        self._told(self._ask(self._calls.PlaySession, asked))
        return self

    def pause(self) -> Self:
        """Stops its clock."""
        asked = session_pb2.PauseSessionRequest(session_id=self.session_id)
        self._told(self._ask(self._calls.PauseSession, asked))
        return self

    def step(
        self, unit: Unit = "event", count: int = 1, *, symbol: str = "", family: str = ""
    ) -> int:
        """Goes on by events, frames, timers or artifacts (of a symbol and family); how
        many there were, fewer than asked for at the end."""
        asked = requests.step(self.session_id, unit, count, symbol, family)
        return int(self._told(self._ask(self._calls.StepSession, asked)).done)

    def seek(
        self,
        *,
        seq: int | None = None,
        time: Time | None = None,
        landmark: Landmark | None = None,
        artifact: tuple[str, str] | None = None,
    ) -> Self:
        """Goes to a moment, or on to the next thing of a kind; ``artifact`` is a symbol
        (any when empty) and a family."""
        asked = requests.seek(self.session_id, seq, time, landmark, artifact)
        self._told(self._ask(self._calls.SeekSession, asked))
        return self

    def set_speed(self, speed: float | None) -> Self:
        """Seconds of the market in a second; ``None``: as fast as it can be folded."""
        asked = session_pb2.SetSessionSpeedRequest(
            session_id=self.session_id, speed=requests.pace(speed)
        )
        self._told(self._ask(self._calls.SetSessionSpeed, asked))
        return self

    def branch(
        self, *, profiles: Iterable[str] = (), without: Iterable[Kind] = ()
    ) -> Session:
        """Another session that goes on from here under other definitions, or without some
        kinds of events."""
        left_out = list(without)
        asked = session_pb2.BranchSessionRequest(
            session_id=self.session_id,
            profiles=list(profiles),
            without=requests.event_filter(left_out, ()) if left_out else None,
        )
        made = self._ask(self._calls.BranchSession, asked).session
        return Session(self._ask, self._calls, made)

    def watch(
        self, *, after_number: int | None = None, hold: bool = True, header_only: bool = False
    ) -> Iterator[Artifact]:
        """Artifacts as they come out, until the session ends; with ``after_number`` 0
        from its opening on, as far as they are held."""
        asked = session_pb2.WatchSessionRequest(
            session_id=self.session_id,
            after_number=after_number,
            hold=hold,
            header_only=header_only,
        )
        stream = self._calls.WatchSession(asked)
        try:
            for message in stream:
                told = requests.played(message)
                if told is None:
                    return
                if told.WhichOneof("event") == "artifact":
                    found = told.artifact.artifact
                    yield Artifact(found.header, found.body)
        except grpc.RpcError as error:
            raise errors.of(error) from None
        finally:
            stream.cancel()

    def close(self) -> None:
        """Ends it."""
        asked = session_pb2.CloseSessionRequest(session_id=self.session_id)
        self._told(self._ask(self._calls.CloseSession, asked))


class AsyncSession:
    """A recorded day on a virtual clock: :meth:`.AsyncClient.session` makes it;
    see :class:`.Session`.

    ``state`` is what the server said last of it: ``state.position`` is where it stands.
    """

    def __init__(
        self, ask: Callable[..., Any], calls: Any, made: session_pb2.ReplaySession
    ) -> None:
        self._ask, self._calls = ask, calls
        #: What the server said last of it.
        self.state = made

    @property
    def session_id(self) -> str:
        """Its name in the server."""
        return self.state.session_id

    @property
    def seq(self) -> int:
        """The last event that has happened in it."""
        return self.state.position.seq

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.close()
        except errors.OrreryError:
            pass  # It ends by itself when nobody asks for it.

    def _told(self, reply: Any) -> Any:
        self.state = reply.session
        return reply

    async def refresh(self) -> Self:
        """Asks where it stands."""
        asked = session_pb2.GetSessionRequest(session_id=self.session_id)
        self._told(await self._ask(self._calls.GetSession, asked))
        return self

    async def play(self) -> Self:
        """Lets its clock run."""
        asked = session_pb2.PlaySessionRequest(session_id=self.session_id)
        self._told(await self._ask(self._calls.PlaySession, asked))
        return self

    async def pause(self) -> Self:
        """Stops its clock."""
        asked = session_pb2.PauseSessionRequest(session_id=self.session_id)
        self._told(await self._ask(self._calls.PauseSession, asked))
        return self

    async def step(
        self, unit: Unit = "event", count: int = 1, *, symbol: str = "", family: str = ""
    ) -> int:
        """Goes on by events, frames, timers or artifacts (of a symbol and family); how
        many there were, fewer than asked for at the end."""
        asked = requests.step(self.session_id, unit, count, symbol, family)
        return int(self._told(await self._ask(self._calls.StepSession, asked)).done)

    async def seek(
        self,
        *,
        seq: int | None = None,
        time: Time | None = None,
        landmark: Landmark | None = None,
        artifact: tuple[str, str] | None = None,
    ) -> Self:
        """Goes to a moment, or on to the next thing of a kind; ``artifact`` is a symbol
        (any when empty) and a family."""
        asked = requests.seek(self.session_id, seq, time, landmark, artifact)
        self._told(await self._ask(self._calls.SeekSession, asked))
        return self

    async def set_speed(self, speed: float | None) -> Self:
        """Seconds of the market in a second; ``None``: as fast as it can be folded."""
        asked = session_pb2.SetSessionSpeedRequest(
            session_id=self.session_id, speed=requests.pace(speed)
        )
        self._told(await self._ask(self._calls.SetSessionSpeed, asked))
        return self

    async def branch(
        self, *, profiles: Iterable[str] = (), without: Iterable[Kind] = ()
    ) -> AsyncSession:
        """Another session that goes on from here under other definitions, or without some
        kinds of events."""
        left_out = list(without)
        asked = session_pb2.BranchSessionRequest(
            session_id=self.session_id,
            profiles=list(profiles),
            without=requests.event_filter(left_out, ()) if left_out else None,
        )
        made = (await self._ask(self._calls.BranchSession, asked)).session
        return AsyncSession(self._ask, self._calls, made)

    async def watch(
        self, *, after_number: int | None = None, hold: bool = True, header_only: bool = False
    ) -> AsyncIterator[Artifact]:
        """Artifacts as they come out, until the session ends; with ``after_number`` 0
        from its opening on, as far as they are held."""
        asked = session_pb2.WatchSessionRequest(
            session_id=self.session_id,
            after_number=after_number,
            hold=hold,
            header_only=header_only,
        )
        stream = self._calls.WatchSession(asked)
        try:
            async for message in stream:
                told = requests.played(message)
                if told is None:
                    return
                if told.WhichOneof("event") == "artifact":
                    found = told.artifact.artifact
                    yield Artifact(found.header, found.body)
        except grpc.RpcError as error:
            raise errors.of(error) from None
        finally:
            stream.cancel()

    async def close(self) -> None:
        """Ends it."""
        asked = session_pb2.CloseSessionRequest(session_id=self.session_id)
        self._told(await self._ask(self._calls.CloseSession, asked))
