"""The client against a running server.

Needs ORRERY_GUARDED, the address of a server that asks for ORRERY_SHOWN, a token that
may read; ORRERY_RECORDED, the address of a server whose journal holds a made-up session
and does not grow, and ORRERY_LIVE, of one with a simulated feed.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import threading
import unittest
from decimal import Decimal
from itertools import islice

import orrery_client
from orrery_client import Artifact, AsyncClient, Client, records

RECORDED = os.environ["ORRERY_RECORDED"]
LIVE = os.environ["ORRERY_LIVE"]


class Line:
    """A forwarder that can be cut: every connection through it breaks."""

    def __init__(self, target: str) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._to = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
                far = socket.create_connection(self._to)
            except OSError:
                return
            self._ends += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self._server.close()
        self.cut()


class Recorded(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client(RECORDED)
        self.addCleanup(self.client.close)

    def test_artifacts_by_version_moment_and_list(self) -> None:
        newest = self.client.get_artifact("SPX", "gex")
        self.assertEqual(newest.json()["symbol"], "I:SPX")
        self.assertEqual(len(newest.body), newest.header.body_bytes)
        headers = list(self.client.list_artifacts("SPX", "gex", from_version=2, page_size=7))
        versions = [header.version for header in headers]
        self.assertEqual(versions, list(range(2, newest.header.version + 1)))
        old = self.client.get_artifact("SPX", "gex", version=3, header_only=True)
        self.assertEqual((old.header.version, old.body), (3, b""))
        seq = old.header.seq_last
        at = self.client.get_artifact("SPX", "gex", seq=seq)
        self.assertLessEqual(at.header.seq_last, seq)
        # Nanoseconds, text and datetimes name the same moment.
        nanos = newest.created_at
        text = self.client.get_artifact("SPX", "gex", time=newest.header.created_at.ToJsonString())
        self.assertEqual(text, self.client.get_artifact("SPX", "gex", time=nanos))
        moment = datetime.datetime.fromtimestamp(nanos // 10**9 + 1, datetime.UTC)
        self.assertEqual(self.client.get_artifact("SPX", "gex", time=moment), text)
        families = {header.family for header in self.client.list_artifacts("SPX")}
        self.assertLessEqual({"gex", "heatmap", "gravity", "levels"}, families)
        diff = self.client.diff_artifacts("SPX", "gex", 2, 3)
        self.assertGreater(len(diff.changes), 0)
        self.assertEqual(diff.after.version, 3)
        net = self.client.explain_level("SPX", "net", profile="naive-oi", max_contracts=3)
        self.assertEqual(len(net.contracts), 3)
        self.assertGreater(net.total, 100)

    def test_epochs_and_contracts_page_by_page(self) -> None:
        epochs = list(self.client.list_epochs("SPX"))
        self.assertEqual(len(epochs), 2)
        active = self.client.active_epoch("SPX")
        self.assertEqual(self.client.get_epoch("SPX", active.id), active)
        rows = self.client.list_contracts("SPX", right="call", dte=(0, 0), page_size=50)
        contracts = list(rows)
        self.assertEqual(len(contracts), rows.reply.total)
        self.assertGreater(len(contracts), 50)
        low, high = contracts[3].strike, contracts[8].strike
        some = list(self.client.list_contracts("SPX", right="call", dte=(0, 0), strikes=(low, high)))
        self.assertEqual(some, contracts[3:9])
        early = self.client.list_contracts("SPX", seq=active.born_seq - 1, page_size=5000)
        self.assertNotEqual(next(iter(early)), None)
        self.assertNotEqual(early.reply.epoch_id, active.id)

    def test_events_of_a_range_and_the_tail(self) -> None:
        stat = self.client.stat()
        events = list(self.client.read_range())
        self.assertEqual([e.seq for e in events], list(range(1, stat.head_seq + 1)))
        quotes = list(self.client.read_range(kinds=["quote"], from_seq=2000, limit=10))
        self.assertEqual(len(quotes), 10)
        self.assertTrue(all(e.WhichOneof("body") == "quote" for e in quotes))
        last = list(islice(self.client.tail(last=5), 5))
        self.assertEqual(last, events[-5:])
        with self.assertRaises(ValueError):
            self.client.read_range(kinds=["quotes"])

    def test_frames_are_exact_and_null_where_nothing_is(self) -> None:
        rows = self.client.read_range(kinds=["quote", "trade"])
        messages = list(rows)
        polars, pandas = rows.to_polars(), rows.to_pandas()
        self.assertEqual(polars.height, len(messages))
        self.assertEqual(len(pandas), len(messages))
        bids = [Decimal(m.quote.bid).scaleb(-9) for m in messages if m.quote.HasField("bid")]
        self.assertEqual(polars["quote_bid"].sum(), sum(bids))
        self.assertEqual(sum(pandas["quote_bid"].dropna()), sum(bids))
        self.assertEqual(polars["quote_bid"].null_count(), len(messages) - len(bids))
        self.assertEqual(pandas["quote_bid"].isna().sum(), len(messages) - len(bids))
        self.assertEqual(str(polars.schema["recv"]), "Datetime(time_unit='ns', time_zone='UTC')")
        nanos = orrery_client.nanos(messages[0].recv)
        self.assertEqual(polars["recv"].dt.epoch("ns")[0], nanos)
        self.assertEqual(pandas["recv"][0].value, nanos)
        self.assertEqual(set(polars["kind"]), {"quote", "trade"})
        self.assertNotIn("bar_open", polars.columns)

        contracts = self.client.list_contracts("SPX").to_polars()
        self.assertEqual(set(contracts["right"]), {"call", "put"})
        self.assertEqual(str(contracts.schema["expiration"]), "Date")
        gex = self.client.get_artifact("SPX", "gex")
        strikes = [row["strike"] for row in gex.json()["by_strike"]]
        self.assertEqual(gex.to_polars("by_strike")["strike"].to_list(), strikes)
        self.assertEqual(list(gex.to_pandas("by_strike")["strike"]), strikes)

    def test_refusals_have_a_kind_a_reason_and_the_field(self) -> None:
        with self.assertRaises(orrery_client.NotFound) as unknown:
            self.client.get_artifact("SPX", "gex", version=10**6)
        self.assertEqual(unknown.exception.reason, "UNKNOWN_ARTIFACT")
        with self.assertRaises(orrery_client.InvalidRequest) as invalid:
            list(self.client.list_contracts("SPX", strikes=(2, 1)))
        self.assertEqual(invalid.exception.reason, "INVALID_FIELD")
        self.assertEqual(invalid.exception.field, "strikes")
        with self.assertRaises(orrery_client.OutOfRange):
            self.client.get_artifact("SPX", "gex", seq=10**12)
        with self.assertRaises(orrery_client.OutOfRange) as ahead:
            next(self.client.watch_artifacts(["SPX"], ["gex"], after_version=10**6))
        self.assertEqual(ahead.exception.reason, "VERSION_AHEAD")
        with self.assertRaises(orrery_client.NotFound):
            list(self.client.compare_day("1999-01-04"))
        with self.assertRaises(ValueError):
            self.client.get_artifact("SPX", "gex", time=datetime.datetime(2026, 1, 1))
        with Client("127.0.0.1:1", retry_for=0) as nobody:
            with self.assertRaises(orrery_client.Unavailable):
                nobody.stat()
            with self.assertRaises(orrery_client.Unavailable):
                next(nobody.tail())

    def test_a_day_is_compared_with_its_record(self) -> None:
        recv = next(iter(self.client.read_range(limit=1))).recv
        day = datetime.datetime.fromtimestamp(recv.seconds, datetime.UTC).date()
        states = list(self.client.compare_day(day))
        self.assertEqual(states[-1].state, 2, "identical")
        self.assertEqual(states[-1].events, self.client.stat().head_seq)

    def test_the_journal_is_looked_up(self) -> None:
        days = list(self.client.list_days(with_pages=True))
        self.assertEqual(days[0].first_seq, 1)
        self.assertGreater(days[0].sealed_pages, 2)
        page = self.client.get_page(days[0].pages[0])
        told = self.client.get_event(7)
        same = self.client.get_event(address=told.address, day=datetime.date(2026, 3, 16))
        self.assertEqual(same, told)
        self.assertEqual(page, self.client.get_page(seq=7))
        placed = self.client.get_event(page=page.address, index=6)
        self.assertEqual(placed.event.seq, page.first_seq + 6)
        with self.assertRaises(ValueError):
            self.client.get_event()
        snapshot = next(iter(self.client.read_range(kinds=["chain_snapshot"], limit=1)))
        rows = self.client.get_blob(snapshot.chain_snapshot.rows)
        self.assertGreater(len(rows), 10_000)
        with self.assertRaises(orrery_client.NotFound) as nothing:
            self.client.get_blob("0" * 64)
        self.assertEqual(nothing.exception.reason, "UNKNOWN_BLOB")
        gaps = [event.seq for event in self.client.read_range(kinds=["gap"])]
        self.assertEqual([gap.seq for gap in self.client.list_gaps()], gaps)
        self.assertEqual(len(gaps), 1)
        with self.assertRaises(orrery_client.InvalidRequest) as wrong:
            list(self.client.list_quarantine(reason="bad_luck"))
        self.assertEqual(wrong.exception.field, "reason")

        quote = next(iter(self.client.read_range(kinds=["quote"], from_seq=2000, limit=1)))
        ticks = self.client.contract_history(quote.ticker, page_size=3)
        history = list(ticks)
        read = list(self.client.read_range(kinds=["quote"], tickers=[quote.ticker]))
        self.assertEqual(history, read)
        self.assertEqual(ticks.to_polars().height, len(read))
        some = self.client.contract_history(quote.ticker, from_seq=quote.seq, to_seq=quote.seq)
        self.assertEqual(list(some), [quote])
        with self.assertRaises(orrery_client.InvalidRequest) as inverted:
            list(self.client.contract_history(quote.ticker, from_seq=9, to_seq=8))
        self.assertEqual(inverted.exception.field, "to")

    def test_corrected_reads_and_certificates(self) -> None:
        known = self.client.get_artifact("SPX", "gex")
        corrected = self.client.get_artifact("SPX", "gex", corrected=True)
        assert corrected.corrected is not None
        self.assertEqual(corrected.corrected.events, 0)
        self.assertEqual(corrected.header, known.header)
        self.assertIsNone(known.corrected)
        # The calendar has ended the recorded day; nobody has journaled that.
        day = "2026-03-16"
        with self.assertRaises(orrery_client.FailedPrecondition):
            self.client.get_certificate(day)

    def test_a_session_is_stepped_sought_and_branched(self) -> None:
        day = datetime.date(2026, 3, 16)
        with self.client.session(day, families=["gex"]) as session:
            begin = session.seq
            self.assertEqual(session.step(count=5), 5)
            self.assertEqual(session.seq, begin + 5)
            self.assertEqual(session.step("artifact", 2, family="gex"), 2)
            made = session.seek(artifact=("SPX", "gex")).seq
            self.assertGreater(made, begin + 5)
            self.assertEqual(session.seek(seq=100).seq, 100)
            with self.assertRaises(orrery_client.InvalidRequest) as absurd:
                session.set_speed(1e12)
            self.assertEqual(absurd.exception.field, "speed.times")
            with self.assertRaises(ValueError):
                session.seek()
            branch = session.branch(profiles=["gex/inverse-oi@1"])
            with branch:
                branch.set_speed(None)
                watching = branch.watch(after_number=0)
                branch.play()
                first = next(watching)
                watching.close()
                self.assertEqual(first.header.profile, "gex/inverse-oi@1")
            self.assertEqual(session.refresh().seq, 100)

            async def step() -> list[int]:
                async with AsyncClient(RECORDED) as client:
                    async with await client.session(day) as other:
                        await other.seek(seq=100)
                        await other.step("event", 3)
                        branch = await other.branch(without=["trade"])
                        await branch.set_speed(None)
                        watching = branch.watch(after_number=0, header_only=True)
                        await branch.play()
                        made = await anext(watching)
                        await watching.aclose()
                        await branch.close()
                        return [other.seq, made.header.seq_last, made.header.version]

            seq, at, version = asyncio.run(step())
            self.assertEqual(seq, 103)
            self.assertGreater(at, 103)
            self.assertGreater(version, 0)
            self.assertEqual(session.seek(landmark="opening").seq, begin)

    def test_a_day_is_played_again(self) -> None:
        recorded = list(self.client.list_artifacts("SPX", "gex"))
        day = datetime.datetime.fromtimestamp(recorded[0].created_at.seconds, datetime.UTC).date()
        played = list(self.client.replay(day, symbols=["SPX"], families=["gex"]))
        self.assertEqual([told.header for told in played], recorded)
        self.assertEqual(played[2], self.client.get_artifact("SPX", "gex", version=3))
        # At a pace, under other definitions, and left before its end.
        other = self.client.replay(
            day, speed=1000, symbols=["SPX"], families=["gex"], profiles=["gex/inverse-oi@1"]
        )
        first = next(other)
        other.close()
        self.assertEqual(first.header.profile, "gex/inverse-oi@1")
        with self.assertRaises(orrery_client.InvalidRequest):
            next(self.client.replay(day, speed=1e9))

        async def play() -> list[Artifact]:
            async with AsyncClient(RECORDED) as client:
                return [told async for told in client.replay(day, families=["gex"])]

        self.assertEqual([told.header for told in asyncio.run(play())], recorded)

    def test_the_same_by_asyncio(self) -> None:
        async def ask() -> None:
            async with AsyncClient(RECORDED) as client:
                newest = await client.get_artifact("SPX", "gex")
                self.assertEqual(newest, self.client.get_artifact("SPX", "gex"))
                rows = client.list_contracts("SPX", page_size=500)
                self.assertEqual(await rows.list(), list(self.client.list_contracts("SPX")))
                quotes = client.read_range(kinds=["quote"], limit=20)
                ours, theirs = await quotes.to_polars(), self.client.read_range(kinds=["quote"], limit=20)
                self.assertTrue(ours.equals(theirs.to_polars()))
                self.assertEqual((await client.stat()).head_seq, self.client.stat().head_seq)
                epochs = await client.list_epochs("SPX").list()
                self.assertEqual(await client.get_epoch("SPX", epochs[0].id), epochs[0])
                self.assertEqual(await client.active_epoch("SPX"), self.client.active_epoch("SPX"))
                async for event in client.tail(last=1):
                    self.assertEqual(event.seq, self.client.stat().head_seq)
                    break
                async for artifact in client.watch_artifacts(["SPX"], ["gex"], after_version=1):
                    self.assertEqual(artifact.header.version, 2)
                    break
                diff = await client.diff_artifacts("SPX", "gex", 2, 3)
                self.assertEqual(diff, self.client.diff_artifacts("SPX", "gex", 2, 3))
                net = await client.explain_level("SPX", "net")
                self.assertEqual(net, self.client.explain_level("SPX", "net"))
                headers = await client.list_artifacts("SPX", "gex").list()
                self.assertEqual(headers, list(self.client.list_artifacts("SPX", "gex")))
                with self.assertRaises(orrery_client.NotFound) as unknown:
                    await client.get_artifact("NOPE", "gex")
                self.assertTrue(unknown.exception.reason)
                day = datetime.datetime.fromtimestamp(newest.created_at // 10**9, datetime.UTC)
                states = [state async for state in client.compare_day(day.date())]
                self.assertEqual(states[-1].state, 2, "identical")

        asyncio.run(ask())


class Live(unittest.TestCase):
    def setUp(self) -> None:
        self.line = Line(LIVE)
        self.addCleanup(self.line.close)

    def test_a_watch_goes_on_over_broken_lines_without_loss_or_repeat(self) -> None:
        with Client(self.line.target) as client:
            versions: dict[tuple[str, str], list[int]] = {}
            for n, told in enumerate(client.watch_artifacts(header_only=True)):
                name = (told.header.symbol, told.header.family)
                versions.setdefault(name, []).append(told.header.version)
                if n in (10, 25, 26):
                    self.line.cut()
                if n >= 60:
                    break
        self.assertGreater(len(versions), 5)
        for name, seen in versions.items():
            self.assertEqual(seen, list(range(seen[0], seen[0] + len(seen))), name)

    def test_a_tail_goes_on_over_broken_lines_without_loss_or_repeat(self) -> None:
        with Client(self.line.target) as client:
            seqs = []
            for event in client.tail(from_seq=1):
                seqs.append(event.seq)
                if len(seqs) in (100, 2000, 2001):
                    self.line.cut()
                if len(seqs) >= 4000:
                    break
        self.assertEqual(seqs, list(range(1, 4001)))

    def test_a_tail_without_a_beginning_starts_with_the_next_event(self) -> None:
        with Client(self.line.target) as client:
            head = client.stat().head_seq
            seqs = [event.seq for event in islice(client.tail(), 20)]
        self.assertGreater(seqs[0], head)
        self.assertEqual(seqs, list(range(seqs[0], seqs[0] + 20)))

    def test_asyncio_goes_on_as_well(self) -> None:
        async def follow() -> list[int]:
            seqs: list[int] = []
            async with AsyncClient(self.line.target) as client:
                async for event in client.tail(from_seq=1):
                    seqs.append(event.seq)
                    if len(seqs) == 1000:
                        self.line.cut()
                    if len(seqs) >= 3000:
                        break
            return seqs

        self.assertEqual(asyncio.run(follow()), list(range(1, 3001)))


class Guarded(unittest.TestCase):
    def test_a_token_is_shown(self) -> None:
        target, token = os.environ["ORRERY_GUARDED"], os.environ["ORRERY_SHOWN"]
        with Client(target, retry_for=0) as stranger:
            with self.assertRaises(orrery_client.OrreryError) as refused:
                stranger.stat()
            self.assertEqual(refused.exception.code.name, "UNAUTHENTICATED")
        with Client(target, token=token) as client:
            head = client.stat().head_seq
            self.assertEqual(len(list(client.read_range(limit=5))), 5)
            with self.assertRaises(orrery_client.OrreryError) as refused:
                client.take_checkpoint()
            self.assertEqual(refused.exception.code.name, "PERMISSION_DENIED")

        async def ask() -> tuple[int, int]:
            async with AsyncClient(target, token=token) as client:
                read = await client.read_range(limit=5).list()
                return (await client.stat()).head_seq, len(read)

        seq, read = asyncio.run(ask())
        self.assertGreaterEqual(seq, head)
        self.assertEqual(read, 5)


class Writing(unittest.TestCase):
    """What a client may journal and what an operator asks, beside a live feed."""

    def setUp(self) -> None:
        self.client = Client(LIVE)
        self.addCleanup(self.client.close)

    def test_annotations_are_made_and_listed(self) -> None:
        made = self.client.annotate(
            "SPX",
            "py",
            [6510, records.Line(6520, to=6530, kind="crevasse", color="#f00", weight=2)],
            model="m-9",
            provenance="notebook",
            client="notebook-1",
        )
        self.assertEqual((made.author, made.model, made.symbol), ("py", "m-9", "SPX"))
        self.assertEqual([line.price for line in made.lines], [6510, 6520])
        listed = list(self.client.list_annotations("SPX", author="py", in_force=True))
        self.assertEqual(listed, [made])
        again = self.client.annotate("SPX", "py", [6511])
        (old, new) = self.client.list_annotations(author="py")
        self.assertEqual((old.replaced_by_seq, new.seq), (again.seq, again.seq))
        with self.assertRaises(orrery_client.InvalidRequest) as wrong:
            self.client.annotate("SPX", "py", [6510, -1])
        self.assertEqual(wrong.exception.field, "annotation.lines[1].price")

    def test_records_are_acknowledged(self) -> None:
        frame = '{"ev":"T","sym":"SPY","p":651.5,"s":7,"t":1773671900000}'
        facts = [records.vendor_frame(frame, record_id=str(n)) for n in range(600)]
        results = list(self.client.append(facts, client="py"))
        self.assertEqual([r.record_id for r in results], [str(n) for n in range(600)])
        seqs = [r.last_seq for r in results]
        self.assertEqual(seqs, sorted(set(seqs)))
        trade = seqs[0]
        self.assertEqual(self.client.get_event(trade).event.trade.size, 7)
        (right, never, news, gap, bad, unknown) = self.client.append(
            [
                records.correction(trade, {"price": 650.25}),
                records.cancel(seqs[1]),
                records.news({"title": "calm"}, symbol="SPY"),
                records.gap(1_773_671_900_000_000_000, 1_773_671_960_000_000_000),
                records.vendor_frame('{"ev":', record_id="bad"),
                records.cancel(10**9),
            ]
        )
        self.assertEqual([r.facts for r in (right, never, news, gap, bad, unknown)], [1] * 4 + [0] * 2)
        self.assertEqual(bad.refused[0].reason, "malformed")
        self.assertEqual(unknown.refused[0].field, "correction.corrects_seq")
        kept = {k.seq: k for k in self.client.list_quarantine(reason="malformed")}
        self.assertEqual(kept[bad.last_seq].input, b'{"ev":')
        self.assertIn(gap.last_seq, [g.seq for g in self.client.list_gaps()])

        async def append() -> list[int]:
            async with AsyncClient(LIVE) as client:
                made = await client.annotate("SPX", "aio", [6512])
                listed = await client.list_annotations(author="aio").list()
                self.assertEqual(listed, [made])
                return [r.facts async for r in client.append(facts[:3])]

        self.assertEqual(asyncio.run(append()), [1, 1, 1])

    def test_an_operator_asks(self) -> None:
        status = self.client.status()
        self.assertGreater(status.head_seq, 0)
        taken = self.client.take_checkpoint()
        self.assertGreaterEqual(self.client.status().checkpoint_seq, taken)
        with self.assertRaises(orrery_client.FailedPrecondition):
            self.client.promote_profile("nobody")
        day = status.day
        with self.assertRaises(orrery_client.FailedPrecondition) as early:
            self.client.seal_day(datetime.date(day.year, day.month, day.day), close=True)
        self.assertIn("is not over", str(early.exception))
        self.assertEqual(list(self.client.list_certificates()), [])

        async def ask() -> int:
            async with AsyncClient(LIVE) as client:
                return await client.take_checkpoint()

        self.assertGreaterEqual(asyncio.run(ask()), taken)

    def test_sealed_events_are_proven(self) -> None:
        # A page is sealed by its last event.
        facts = ['{"ev":"T","sym":"SPY","p":651.5,"s":7,"t":1773671900000}'] * 4200
        list(self.client.append(records.vendor_frame(text) for text in facts))
        proof = self.client.prove(events=[5])
        self.assertEqual(proof.json()["key"] if "key" in proof.json() else proof.key, proof.key)
        self.assertTrue(proof.key.startswith("orrery.local/"))
        self.assertGreater(len(proof.bundle), 500)
        with self.assertRaises(ValueError):
            self.client.prove()


if __name__ == "__main__":
    unittest.main(warnings="ignore")
