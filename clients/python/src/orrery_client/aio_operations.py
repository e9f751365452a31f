"""The calls of :mod:`.operations`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from orrery.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    annotation_pb2,
    annotation_pb2_grpc,
    certificate_pb2,
    certificate_pb2_grpc,
    epoch_pb2,
    event_pb2,
    journal_pb2,
)

from . import errors, records, requests
from .operations import BATCH
from .records import Line
from .requests import Day, Time
from .results import Proof
from .rows import AsyncRows

M = TypeVar("M", bound=Message)


async def _awaited(
    facts: Iterable[journal_pb2.AppendRecord] | AsyncIterable[journal_pb2.AppendRecord],
) -> AsyncIterator[journal_pb2.AppendRecord]:
    if isinstance(facts, AsyncIterable):
        async for fact in facts:
            yield fact
    else:
        for fact in facts:
            yield fact


class AsyncOperations:
    """Calls that write, prove and run a server, awaited; see :class:`.Operations`."""

    _timeout: float
    _journal: Any
    _epochs: Any

    def _connect(self, channel: Any) -> None:
        self._annotations = annotation_pb2_grpc.AnnotationServiceStub(channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(channel)
        self._certificates = certificate_pb2_grpc.CertificateServiceStub(channel)

    async def _ask(self, call: Callable[..., Any], request: Message) -> Any:
        raise NotImplementedError

    def _rows(self, call: Callable[..., Any], request: Any, name: str, of: type[M]) -> AsyncRows[M]:
        raise NotImplementedError

    # Annotations and other input.

    async def annotate(
        self,
        symbol: str,
        author: str,
        lines: Iterable[Line | float] = (),
        *,
        model: str = "",
        provenance: str = "",
        client: str = "",
    ) -> annotation_pb2.Annotation:
        """Journals structural lines; the newest of an author takes the place of the
        former one. ``client`` names who calls, for the record."""
        draft = records.annotation_draft(symbol, author, lines, model, provenance)
        asked = annotation_pb2.CreateAnnotationRequest(annotation=draft, client=client)
        return (await self._ask(self._annotations.CreateAnnotation, asked)).annotation

    def list_annotations(
        self,
        symbol: str = "",
        *,
        author: str = "",
        model: str = "",
        in_force: bool = False,
        seq: int | None = None,
        time: Time | None = None,
        page_size: int = 0,
    ) -> AsyncRows[annotation_pb2.Annotation]:
        """Annotations as known at a moment, with what became of each."""
        asked = annotation_pb2.ListAnnotationsRequest(
            symbol=symbol,
            author=author,
            model=model,
            in_force=in_force,
            as_of=requests.as_of(seq, time),
            page_size=page_size,
        )
        return self._rows(
            self._annotations.ListAnnotations, asked, "annotations", annotation_pb2.Annotation
        )

    async def append(
        self,
        facts: Iterable[journal_pb2.AppendRecord] | AsyncIterable[journal_pb2.AppendRecord],
        *,
        client: str = "",
    ) -> AsyncIterator[journal_pb2.AppendResult]:
        """Journals records in their order; tells of each once it is durable."""

        async def messages() -> AsyncIterator[journal_pb2.AppendRequest]:
            batch: list[journal_pb2.AppendRecord] = []
            async for fact in _awaited(facts):
                batch.append(fact)
                if len(batch) >= BATCH:
                    yield journal_pb2.AppendRequest(client=client, records=batch)
                    batch = []
            if batch:
                yield journal_pb2.AppendRequest(client=client, records=batch)

        stream = self._journal.Append(messages())
        try:
            async for message in stream:
                for result in message.results:
                    yield result
        except grpc.RpcError as error:
            raise errors.of(error) from None
        finally:
            stream.cancel()

    # The journal, looked up.

    def list_days(self, *, with_pages: bool = False, page_size: int = 0) -> AsyncRows[journal_pb2.JournalDay]:
        """Trading days with what they hold, oldest first; ``with_pages`` with the addresses
        of their pages."""
        asked = journal_pb2.ListDaysRequest(page_size=page_size, with_pages=with_pages)
        return self._rows(self._journal.ListDays, asked, "days", journal_pb2.JournalDay)

    def list_gaps(self, *, day: Day | None = None) -> AsyncRows[journal_pb2.FeedGap]:
        """Stretches in which a feed was away."""
        asked = journal_pb2.ListGapsRequest(day=None if day is None else requests.date(day))
        return self._rows(self._journal.ListGaps, asked, "gaps", journal_pb2.FeedGap)

    def list_quarantine(
        self, *, day: Day | None = None, reason: str = ""
    ) -> AsyncRows[journal_pb2.QuarantinedInput]:
        """Refused input with its reason and its bytes."""
        asked = journal_pb2.ListQuarantineRequest(
            day=None if day is None else requests.date(day), reason=reason
        )
        kind = journal_pb2.QuarantinedInput
        return self._rows(self._journal.ListQuarantine, asked, "inputs", kind)

    async def get_event(
        self,
        seq: int | None = None,
        *,
        page: str = "",
        index: int = 0,
        address: str = "",
        day: Day | None = None,
    ) -> journal_pb2.GetEventResponse:
        """An event by its seq, by its place in a page, or by its hash on a day."""
        return await self._ask(self._journal.GetEvent, requests.event(seq, page, index, address, day))

    async def get_page(self, address: str = "", *, seq: int | None = None) -> journal_pb2.GetPageResponse:
        """A sealed page by its address, or the one that holds an event."""
        asked = journal_pb2.GetPageRequest(address=address)
        if seq is not None:
            asked = journal_pb2.GetPageRequest(seq=seq)
        return await self._ask(self._journal.GetPage, asked)

    async def get_blob(self, address: str) -> bytes:
        """The bytes behind an address that an event carries."""
        asked = journal_pb2.GetBlobRequest(address=address)
        try:
            stream = self._journal.GetBlob(asked, timeout=self._timeout)
            return b"".join([m.piece async for m in stream])
        except grpc.RpcError as error:
            raise errors.of(error) from None

    def contract_history(
        self,
        ticker: str,
        *,
        day: Day | None = None,
        from_seq: int | None = None,
        to_seq: int | None = None,
        from_time: Time | None = None,
        to_time: Time | None = None,
        trades: bool = False,
        page_size: int = 0,
    ) -> AsyncRows[event_pb2.JournalEvent]:
        """All quotes of a contract between two points, and its trades if asked for."""
        asked = requests.history(ticker, day, (from_seq, from_time), (to_seq, to_time), trades)
        asked.page_size = page_size
        return self._rows(
            self._epochs.ListContractHistory, asked, "events", event_pb2.JournalEvent
        )

    # Certificates and proofs.

    async def list_certificates(self) -> list[certificate_pb2.Certificate]:
        """All certificates, ascending by day and number."""
        asked = certificate_pb2.ListCertificatesRequest()
        return list((await self._ask(self._certificates.ListCertificates, asked)).certificates)

    async def get_certificate(self, day: Day, *, number: int = 0) -> certificate_pb2.Certificate:
        """A day's newest certificate, or one of its others."""
        asked = certificate_pb2.GetCertificateRequest(day=requests.date(day), number=number)
        return (await self._ask(self._certificates.GetCertificate, asked)).certificate

    async def verify_certificate(
        self, day: Day, *, number: int = 0, from_scratch: bool = False, timeout: float = 600.0
    ) -> list[certificate_pb2.CertifiedDifference]:
        """What differs from what is certified, once the day is folded again; empty when
        the certificate holds."""
        asked = certificate_pb2.VerifyCertificateRequest(
            day=requests.date(day), number=number, from_scratch=from_scratch
        )
        try:
            reply = await self._certificates.VerifyCertificate(asked, timeout=timeout)
        except grpc.RpcError as error:
            raise errors.of(error) from None
        return list(reply.differences)

    async def prove(
        self,
        *,
        events: Iterable[int] = (),
        day: Day | None = None,
        artifact: tuple[str, str, int] | None = None,
    ) -> Proof:
        """A self-contained proof of single events, of a certified day, or of an artifact
        (symbol, family, version); ``tools/verify.py`` checks it without orrery."""
        asked = requests.prove(list(events), day, artifact)
        proof = Proof(b"", "")
        try:
            async for message in self._journal.Prove(asked):
                proof = Proof(proof.bundle + message.bundle, proof.key or message.key)
        except grpc.RpcError as error:
            raise errors.of(error) from None
        return proof

    # Running a server.

    async def status(self) -> admin_pb2.GetStatusResponse:
        """How the server stands."""
        return await self._ask(self._admin.GetStatus, admin_pb2.GetStatusRequest())

    async def take_checkpoint(self) -> int:
        """Has the folds write a checkpoint now; the seq at which they stood."""
        asked = admin_pb2.TakeCheckpointRequest()
        return int((await self._ask(self._admin.TakeCheckpoint, asked)).seq)

    async def seal_day(
        self, day: Day, *, close: bool = False, again: bool = False
    ) -> certificate_pb2.Certificate:
        """Certifies a day; with ``close`` it ends the newest one first, if the calendar
        has."""
        asked = admin_pb2.SealDayRequest(day=requests.date(day), close=close, again=again)
        return (await self._ask(self._admin.SealDay, asked)).certificate

    async def promote_profile(self, name: str) -> int:
        """Puts a shadow in force; the seq of the event from which on it is."""
        asked = admin_pb2.PromoteProfileRequest(name=name)
        return int((await self._ask(self._admin.PromoteProfile, asked)).seq)
