"""Lists that are fetched page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from . import frames

M = TypeVar("M", bound=Message)


class Rows(Generic[M]):
    """Messages that are fetched page by page while they are iterated, again each time."""

    def __init__(self, pages: Callable[[], Iterator[tuple[Any, Iterable[M]]]], of: type[M]) -> None:
        self._pages, self._of = pages, of
        #: The reply that the newest rows came with: its ``moment``, ``total``, ``spot``...
        self.reply: Any = None

    def __iter__(self) -> Iterator[M]:
        for self.reply, rows in self._pages():
            yield from rows

    def to_pandas(self) -> Any:
        """All of them as a ``pandas.DataFrame``."""
        return frames.to_pandas(frames.columns(self._of.DESCRIPTOR, self))

    def to_polars(self) -> Any:
        """All of them as a ``polars.DataFrame``."""
        return frames.to_polars(frames.columns(self._of.DESCRIPTOR, self))


class AsyncRows(Generic[M]):
    """Messages that are fetched page by page while they are iterated, again each time."""

    def __init__(
        self, pages: Callable[[], AsyncIterator[tuple[Any, Iterable[M]]]], of: type[M]
    ) -> None:
        self._pages, self._of = pages, of
        #: The reply that the newest rows came with: its ``moment``, ``total``, ``spot``...
        self.reply: Any = None

    async def __aiter__(self) -> AsyncIterator[M]:
        async for self.reply, rows in self._pages():
            for row in rows:
                yield row

    async def list(self) -> list[M]:
        """All of them."""
        return [row async for row in self]

    async def to_pandas(self) -> Any:
        """All of them as a ``pandas.DataFrame``."""
        return frames.to_pandas(frames.columns(self._of.DESCRIPTOR, await self.list()))

    async def to_polars(self) -> Any:
        """All of them as a ``polars.DataFrame``."""
        return frames.to_polars(frames.columns(self._of.DESCRIPTOR, await self.list()))
