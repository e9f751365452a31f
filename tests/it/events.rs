//! Reading and following the journal's events, from the command line and over
//! gRPC, with and without a server; proofs beside a running server.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use orrery::bundle::{self, AnyProven};
use orrery_journal::event;
use orrery_journal::proof::note::PublicKey;
use orrery_proto::v1;
use orrery_proto::v1::journal_event::Body;
use orrery_proto::v1::journal_service_client::JournalServiceClient;
use serde_json::Value;
use tonic::Code;
use tonic::transport::Channel;

use crate::live::Live;
use crate::proof::{LARGE, journal};
use crate::support::{Ended, Orrery};

/// Three days with five sealed pages and one that is open.
fn recorded() -> Orrery {
    journal(LARGE).0
}

#[track_caller]
fn read(orrery: &Orrery, args: &[&str]) -> Value {
    orrery.run(&[&["journal", "read", "--json"], args].concat()).expect(0).json()
}

fn seqs(read: &Value) -> Vec<u64> {
    let events = read["events"].as_array().expect("a list").iter();
    events.map(|event| event["seq"].as_u64().expect("a seq")).collect()
}

/// The events of a whole read that a condition lets through.
fn chosen(all: &Value, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    all["events"].as_array().expect("a list").iter().filter(|e| wanted(e)).cloned().collect()
}

#[test]
fn events_are_read_by_day_range_kind_and_ticker() {
    let orrery = recorded();
    let all = read(&orrery, &[]);
    let head = all["to"].as_u64().expect("a head");
    assert_eq!(seqs(&all), (1..=head).collect::<Vec<_>>());
    assert_eq!(
        (&all["count"], &all["next"], &all["pages_skipped"]),
        (&all["to"], &Value::Null, &0.into())
    );
    let pages = all["pages_read"].as_u64().expect("a count");
    assert!(pages >= 5 && all["frames_read"].as_u64() > Some(0), "{pages}");
    let sample = &all["events"][4_999];
    assert!(
        sample["bid"].is_string()
            && sample["ticker"].as_str().expect("named").starts_with("O:SPXW")
    );

    let same = |args: &[&str], wanted: &dyn Fn(&Value) -> bool| {
        let found = read(&orrery, args);
        assert_eq!(found["events"].as_array().expect("a list"), &chosen(&all, wanted), "{args:?}");
        found
    };
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let seq = |event: &Value| event["seq"].as_u64().expect("a seq");
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    let (first, last) =
        (days[1]["first_seq"].as_u64().unwrap(), days[1]["last_seq"].as_u64().unwrap());
    same(&["--day", days[1]["day"].as_str().unwrap()], &|e| (first..=last).contains(&seq(e)));
    same(&["--from", "seq:4090", "--to", "4100"], &|e| (4_090..=4_100).contains(&seq(e)));
    let moment = text(&all["events"][5_000], "recv");
    same(&["--from", &moment], &|e| text(e, "recv") >= moment);
    same(&["--to", &moment], &|e| text(e, "recv") <= moment);
    same(&["--ticker", "SPY", "--kind", "trade,quote", "--from", "4000"], &|e| {
        text(e, "ticker") == "SPY" && text(e, "kind") == "trade" && seq(e) >= 4_000
    });
    // The last event of all is the beat that closes the import.
    let near = same(&["--since", "32s", "--kind", "quote,clock_beat"], &|e| {
        seq(e) > last
            && ["quote", "clock_beat"].contains(&text(e, "kind").as_str())
            && e["recv"].as_str() >= days[3]["first_recv"].as_str()
    });
    assert!(near["count"].as_u64() > Some(1), "{near:#}");

    // A bar stands in one page of all, an instrument in few: the rest is skipped.
    let bars = same(&["--kind", "bar"], &|e| text(e, "kind") == "bar");
    assert_eq!((&bars["count"], &bars["pages_read"]), (&1.into(), &1.into()), "{bars:#}");
    assert_eq!(bars["pages_skipped"].as_u64(), Some(pages - 1));
    let none = same(&["--kind", "news"], &|_| false);
    assert_eq!((&none["pages_read"], none["pages_skipped"].as_u64()), (&0.into(), Some(pages)));

    // In parts: each goes on where the one before ended.
    let (mut from, mut parts) = ("1".to_owned(), Vec::new());
    loop {
        let part = read(&orrery, &["--from", &from, "--limit", "3000"]);
        parts.extend(seqs(&part));
        let Some(next) = part["next"].as_u64() else { break };
        assert_eq!(part["count"], 3_000);
        from = next.to_string();
    }
    assert_eq!(parts, seqs(&all));

    let shown = orrery.run(&["journal", "read", "--kind", "bar"]).expect(0);
    assert!(shown.stdout.contains(" kind=bar ") && shown.stdout.lines().count() == 1, "{shown:?}");
    assert!(
        shown.stderr.contains("1 events; 1 pages read")
            && shown.stderr.contains("skipped by their summary"),
        "{shown:?}"
    );
    let empty = read(&orrery, &["--to", "2001-01-01T00:00:00Z"]);
    assert_eq!((&empty["events"], &empty["count"]), (&Value::Array(Vec::new()), &0.into()));
    for (args, why) in [
        (&["--kind", "quotes"][..], "there are quote, trade"),
        (&["--ticker", "NOPE"], "no instrument NOPE"),
        (&["--day", "2015-13-01"], "YYYY-MM-DD"),
        (&["--day", "2015-12-01"], "no day 2015-12-01"),
        (&["--from", "yesterday"], "RFC 3339"),
        (&["--from", "99999999"], "outside of the journal"),
        (&["--since", "5"], "90s"),
        (&["--limit", "0"], "limit"),
    ] {
        let ended = orrery.run(&[&["journal", "read"], args].concat()).expect(2);
        let told = ended.stderr.replace('`', "");
        assert!(
            told.contains(why) || why == "RFC 3339" && told.contains("no moment"),
            "{args:?}: {told}"
        );
    }
}

#[test]
fn without_a_server_the_last_events_are_told_and_that_none_follow() {
    let orrery = recorded();
    let head = read(&orrery, &[])["to"].as_u64().expect("a head");
    let lines = |args: &[&str]| -> Vec<u64> {
        let ended = orrery.run(&[&["journal", "tail", "--json"], args].concat()).expect(0);
        assert!(
            ended.stderr.contains("no server writes") || args.contains(&"--count"),
            "{ended:?}"
        );
        let lines = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        lines.map(|event: Value| event["seq"].as_u64().expect("a seq")).collect()
    };
    assert_eq!(lines(&[]), (head - 9..=head).collect::<Vec<_>>());
    assert_eq!(lines(&["-n", "2", "--kind", "clock_beat"]).len(), 2);
    assert_eq!(lines(&["-n", "10000"]).len(), 10_000.min(head as usize));
    assert_eq!(lines(&["--from", &(head - 2).to_string()]), [head - 2, head - 1, head]);
    assert_eq!(lines(&["--from", "1", "--count", "3"]), [1, 2, 3]);
    assert!(lines(&["--from", &(head + 1).to_string()]).is_empty());
}

async fn client(live: &Live) -> JournalServiceClient<Channel> {
    let channel = Channel::from_shared(live.url.clone()).expect("an address");
    JournalServiceClient::new(channel.connect().await.expect("a connection"))
}

fn filter(kinds: &[v1::EventKind], tickers: &[&str]) -> Option<v1::EventFilter> {
    let kinds = kinds.iter().map(|kind| *kind as i32).collect();
    Some(v1::EventFilter { kinds, tickers: tickers.iter().map(|t| (*t).to_owned()).collect() })
}

/// The events of a read, and what it came to.
async fn range(
    client: &mut JournalServiceClient<Channel>,
    request: v1::ReadRangeRequest,
) -> (Vec<v1::JournalEvent>, v1::ReadDone) {
    let mut stream = client.read_range(request).await.expect("a stream").into_inner();
    let (mut events, mut done) = (Vec::new(), None);
    while let Some(said) = stream.message().await.expect("no error") {
        assert!(done.is_none(), "nothing after the account");
        events.extend(said.events);
        done = said.done;
    }
    (events, done.expect("an account"))
}

#[test]
fn a_server_gives_ranges_to_any_client_and_to_the_command_line() {
    let orrery = recorded();
    let here = read(&orrery, &["--to", "9000"]);
    let bars = read(&orrery, &["--kind", "bar"]);
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "3"]);
    // The command line asks the server that holds the folder, and gets the same.
    let there = read(&orrery, &["--to", "9000"]);
    assert!(there["server"].as_str().is_some_and(|s| live.url.ends_with(s)), "{}", there["server"]);
    assert_eq!(there["events"], here["events"]);
    assert_eq!(there["pages_read"], here["pages_read"]);
    let address = live.url.trim_start_matches("http://");
    let elsewhere = Orrery::new();
    let asked = elsewhere.run(&["journal", "read", "--connect", address, "--to", "9000", "--json"]);
    assert_eq!(asked.expect(0).json()["events"], here["events"]);
    assert!(!elsewhere.data().exists(), "nothing is opened here");

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut client = client(&live).await;
        let all = v1::ReadRangeRequest { to_seq: 9_000, canonical: true, ..Default::default() };
        let (events, done) = range(&mut client, all).await;
        assert!(events.iter().map(|e| e.seq).eq(1..=9_000));
        assert_eq!((done.events, done.from_seq, done.to_seq, done.next_seq), (9_000, 1, 9_000, None));
        assert!(done.pages_read >= 2 && done.pages_skipped == 0);
        // What is said in fields is what the canonical bytes say.
        for (event, shown) in events.iter().zip(here["events"].as_array().expect("a list")) {
            let canonical = event::decode(&event.canonical).expect("canonical").0;
            assert_eq!(canonical.body.kind() as i32, event.kind);
            assert_eq!(event.kind().as_str_name().to_lowercase(), format!("event_kind_{}", shown["kind"].as_str().unwrap()));
            match (&event.body, &canonical.body) {
                (Some(Body::Quote(said)), event::Body::Quote(q)) => {
                    assert_eq!((said.bid, said.ask), (q.bid.map(|p| p.0), q.ask.map(|p| p.0)));
                    assert_eq!((said.bid_size, said.vendor_seq), (q.bid_size, q.vendor_seq));
                }
                (Some(Body::Trade(said)), event::Body::Trade(t)) => {
                    assert_eq!((said.price, said.size, event.ticker.as_str()), (t.price.0, t.size, "SPY"));
                }
                (Some(Body::Definition(_)), _) => {}
                (None, event::Body::ClockBeat) => {}
                other => panic!("{other:?}"),
            }
        }
        // A filter skips pages here as there.
        let asked = v1::ReadRangeRequest { filter: filter(&[v1::EventKind::Bar], &["SPY"]), to_seq: bars["to"].as_u64().unwrap(), ..Default::default() };
        let (events, done) = range(&mut client, asked).await;
        assert_eq!(events.len(), 1);
        assert!(matches!(&events[0].body, Some(Body::Bar(bar)) if bar.volume == Some(5) && bar.vwap.is_none()));
        assert!(events[0].canonical.is_empty());
        assert_eq!(done.pages_read, 1);
        assert!(done.pages_skipped >= 3, "{done:?}");
        // A limit says where to go on.
        let asked = v1::ReadRangeRequest { from_seq: 5, limit: 7, ..Default::default() };
        let (events, done) = range(&mut client, asked).await;
        assert_eq!((events.len(), done.next_seq), (7, Some(12)));

        // Refusals have a code and a reason.
        let mut refused = async |request| match client.read_range(request).await {
            Err(status) => status.code(),
            Ok(stream) => stream.into_inner().message().await.expect_err("refused").code(),
        };
        let unknown = v1::ReadRangeRequest { filter: filter(&[], &["NOPE"]), ..Default::default() };
        assert_eq!(refused(unknown).await, Code::NotFound);
        let kind = Some(v1::EventFilter { kinds: vec![99], tickers: Vec::new() });
        assert_eq!(refused(v1::ReadRangeRequest { filter: kind, ..Default::default() }).await, Code::InvalidArgument);
        let beyond = v1::ReadRangeRequest { from_seq: u64::MAX, ..Default::default() };
        assert_eq!(refused(beyond).await, Code::OutOfRange);
    });
    assert_eq!(live.terminate(), 0);
}

#[test]
fn a_server_is_followed_without_loss_or_repeat() {
    let orrery = Orrery::new();
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "4"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut client = client(&live).await;
        // From the first event on, and again from where that stream was left.
        let (mut next, mut seen) = (1, 0u64);
        for _ in 0..2 {
            let asked = v1::TailRequest { from_seq: next, ..Default::default() };
            let mut stream = client.tail(asked).await.expect("a stream").into_inner();
            for _ in 0..8 {
                let said = stream.message().await.expect("no error").expect("more");
                for event in &said.events {
                    assert_eq!(event.seq, next, "no gap, no repeat");
                    next += 1;
                    seen += 1;
                }
                assert_eq!(said.next_seq, next);
            }
        }
        assert!(seen > 100, "{seen}");
        // A filter that nothing passes hears heartbeats that move on, and a
        // ticker that is not yet there is waited for.
        let asked = v1::TailRequest {
            filter: filter(&[], &["NOT-YET"]),
            heartbeat: Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 }),
            ..Default::default()
        };
        let mut stream = client.tail(asked).await.expect("a stream").into_inner();
        let mut heard = 0;
        for _ in 0..5 {
            let said = stream.message().await.expect("no error").expect("a heartbeat");
            assert!(said.events.is_empty() && said.next_seq >= heard);
            heard = said.next_seq;
        }
        // The last ones, and then those that come.
        let asked = v1::TailRequest {
            last: 3,
            filter: filter(&[v1::EventKind::Quote], &[]),
            ..Default::default()
        };
        let mut stream = client.tail(asked).await.expect("a stream").into_inner();
        let first = stream.message().await.expect("no error").expect("quotes");
        assert_eq!(first.events.len(), 3);
        let then = stream.message().await.expect("no error").expect("quotes");
        assert!(then.events[0].seq > first.events[2].seq);
        for (last, from_seq, nanos) in [(20_000, 0, 200_000_000), (1, 1, 200_000_000), (0, 1, 1)] {
            let heartbeat = Some(prost_types::Duration { seconds: 0, nanos });
            let asked = v1::TailRequest { last, from_seq, heartbeat, ..Default::default() };
            assert_eq!(
                client.tail(asked).await.expect_err("refused").code(),
                Code::InvalidArgument
            );
        }
        // So many streams and no more; one that ends makes room.
        let mut open = Vec::new();
        let refused = loop {
            match client.tail(v1::TailRequest::default()).await {
                Ok(stream) => open.push(stream.into_inner()),
                Err(status) => break status,
            }
            assert!(open.len() < 100);
        };
        assert_eq!(refused.code(), Code::ResourceExhausted);
        drop(open);
        drop(stream);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while client.tail(v1::TailRequest::default()).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "streams that ended hold their place");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    // The command line follows, too, and ends by itself or with the server.
    let ended = orrery.run(&["journal", "tail", "--count", "40", "-n", "5", "--json"]).expect(0);
    let seqs: Vec<u64> = ended
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_u64().expect("a seq")
        })
        .collect();
    assert_eq!(seqs.len(), 40);
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{seqs:?}");
    let child = orrery
        .command(&["journal", "tail", "--kind", "quote"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(live.terminate(), 0, "an open stream does not hold up the end");
    let ended: Ended = child.wait_with_output().expect("an end").into();
    assert!(ended.code == 2 && ended.stderr.contains("stopping"), "{ended:?}");
    assert!(
        ended.stdout.lines().all(|line| line.contains(" kind=quote ")) && !ended.stdout.is_empty()
    );
    orrery.run(&["verify"]).expect(0);
}

fn prove(orrery: &Orrery, name: &str, args: &[&str]) -> PathBuf {
    let path = orrery.file(name, "");
    let out = path.to_str().expect("UTF-8");
    orrery.run(&[&["prove"], args, &["--out", out]].concat()).expect(0);
    path
}

#[track_caller]
fn holds(orrery: &Orrery, path: &Path, key: &str) -> String {
    let path = path.to_str().expect("UTF-8");
    orrery.run(&["prove", "--check", path, "--key", key]).expect(0).stdout
}

#[test]
fn a_journal_is_proven_beside_the_server_that_writes_it() {
    let (orrery, key) = journal(LARGE);
    let before = prove(&orrery, "before.json", &["event", "5000"]);
    let monday = orrery.run(&["prove", "checkpoint"]).expect(0).stdout;
    let monday = orrery.file("monday.txt", monday);
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "6"]);
    assert_eq!(orrery.run(&["prove", "key"]).expect(0).stdout.trim(), key, "the same log");
    let beside = prove(&orrery, "beside.json", &["event", "5000"]);
    let told = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    assert_eq!(told(&holds(&orrery, &beside, &key)), told(&holds(&orrery, &before, &key)));
    assert!(
        holds(&orrery, &prove(&orrery, "range.json", &["range", "4000", "4200"]), &key)
            .lines()
            .count()
            == 202
    );
    prove(&orrery, "page.json", &["page", "1"]);

    // The log grows while it is proven: a day has ended, so its page is sealed.
    let size = |text: &Value| text["size"].as_u64().expect("a size");
    let grown = orrery.run(&["prove", "checkpoint", "--json"]).expect(0).json();
    let path = prove(&orrery, "grown.json", &["consistency", monday.to_str().expect("UTF-8")]);
    assert!(holds(&orrery, &path, &key).contains("is the beginning of it"));
    assert!(size(&grown) > 5, "{grown:#}");

    for (args, why) in [
        (&["event", "99999999"][..], "the journal ends at event"),
        (&["range", "9", "8"], "no range"),
        (&["consistency", "1"], "there are some over"),
        (&["key", "--origin", "x.example"], "keeps its name"),
    ] {
        let ended = orrery.run(&[&["prove"], args].concat()).expect(2);
        assert!(ended.stderr.contains(why), "{args:?}: {}", ended.stderr);
    }

    // As a stranger asks: the pieces make one bundle that the key checks.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut client = client(&live).await;
        let parse = |key: &str| PublicKey::parse(key).expect("a key");
        let what = v1::prove_request::What::Range(v1::ProveRange { from_seq: 1, to_seq: 8_500 });
        let asked = v1::ProveRequest { what: Some(what), origin: String::new() };
        let mut stream = client.prove(asked).await.expect("a stream").into_inner();
        let (mut text, mut pieces, mut by) = (Vec::new(), 0, String::new());
        while let Some(said) = stream.message().await.expect("no error") {
            text.extend_from_slice(&said.bundle);
            by.push_str(&said.key);
            pieces += 1;
        }
        assert_eq!(by, key);
        assert!(pieces > 1, "{pieces}");
        let proven = bundle::parse(&text).expect("a bundle").check(&parse(&key)).expect("holds");
        let AnyProven::Log(proven) = proven else { panic!("events") };
        assert_eq!(proven.events.len(), 8_500);
        let signed = client
            .get_checkpoint(v1::GetCheckpointRequest::default())
            .await
            .expect("a note")
            .into_inner();
        assert!(signed.size >= size(&grown) && signed.note.contains(&signed.origin));
        let nothing = v1::ProveRequest::default();
        assert_eq!(client.prove(nothing).await.expect_err("nothing").code(), Code::InvalidArgument);
        let open = v1::prove_request::What::Events(v1::ProveEvents { seqs: vec![u64::MAX] });
        let asked = v1::ProveRequest { what: Some(open), origin: String::new() };
        let mut stream = client.prove(asked).await.expect("a stream").into_inner();
        assert_eq!(stream.message().await.expect_err("not there").code(), Code::FailedPrecondition);
    });
    assert_eq!(live.terminate(), 0);
    // And the log that it left is one history.
    let after = prove(&orrery, "after.json", &["consistency", monday.to_str().expect("UTF-8")]);
    holds(&orrery, &after, &key);
}
