//! What clients journal while a server runs: annotations, corrections, vendor
//! frames, news and gaps, each acknowledged; what is refused of it; and how any
//! of it is found again.

use orrery_journal::units::Address;
use orrery_proto::v1;
use orrery_proto::v1::admin_service_client::AdminServiceClient;
use orrery_proto::v1::annotation_service_client::AnnotationServiceClient;
use orrery_proto::v1::append_record::Body;
use orrery_proto::v1::correction_record::Instead;
use orrery_proto::v1::epoch_service_client::EpochServiceClient;
use orrery_proto::v1::journal_service_client::JournalServiceClient;
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::live::Live;
use crate::proof::import;
use crate::support::Orrery;

/// 2026-03-16 14:30 UTC, ms.
const OPENING: i64 = 1_773_671_400_000;

fn trade(second: i64, price: f64) -> String {
    let at = OPENING + second * 1_000;
    format!("{{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":{price},\"s\":100,\"t\":{at}}}\n")
}

/// A journal with some trades of SPY, of which gravity makes a profile.
fn recorded() -> Orrery {
    let orrery = Orrery::new();
    let trades: String = (0..200).map(|n| trade(n, 650.0 + (n % 20) as f64 / 10.0)).collect();
    import(&orrery, "trades.ndjson", &trades);
    orrery
}

async fn channel(live: &Live) -> Channel {
    let endpoint = Channel::from_shared(live.url.clone()).expect("an address");
    endpoint.connect().await.expect("a connection")
}

fn record(id: &str, body: Body) -> v1::AppendRecord {
    v1::AppendRecord { record_id: id.into(), body: Some(body) }
}

fn frame(text: &str) -> Body {
    Body::VendorFrame(text.to_owned())
}

fn drawn(author: &str, price: f64) -> v1::AnnotationDraft {
    let line = v1::AnnotationLine {
        kind: v1::AnnotationLineKind::VolumeNode.into(),
        price,
        color: "#ffcc00".into(),
        ..Default::default()
    };
    v1::AnnotationDraft {
        symbol: "SPY".into(),
        author: author.into(),
        model: "m-7".into(),
        provenance: "picture 12".into(),
        lines: vec![line],
        ..Default::default()
    }
}

/// Waits until the newest profile of SPY shows lines that a condition accepts.
async fn shown(channel: &Channel, wanted: impl Fn(&serde_json::Value) -> bool) {
    use orrery_proto::v1::artifact_service_client::ArtifactServiceClient;
    let mut client = ArtifactServiceClient::new(channel.clone());
    let mut lines = serde_json::Value::Null;
    for _ in 0..100 {
        let asked = v1::GetArtifactRequest {
            symbol: "SPY".into(),
            family: "gravity".into(),
            ..Default::default()
        };
        if let Ok(got) = client.get_artifact(asked).await {
            let body = got.into_inner().artifact.expect("an artifact").body;
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            lines = body["structural_lines"].clone();
            if wanted(&lines) {
                return;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("never shown: {lines:#}");
}

#[test]
fn records_are_acknowledged_one_by_one_and_bad_ones_kept_in_quarantine() {
    let orrery = recorded();
    let head = orrery.run(&["journal", "stat", "--json"]).expect(0).json()["head_seq"]
        .as_u64()
        .expect("a head");
    let live = Live::start(&orrery, &[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let results = runtime.block_on(async {
        let mut client = JournalServiceClient::new(channel(&live).await);
        let (send, requests) = tokio::sync::mpsc::channel(4);
        let mut answers =
            client.append(ReceiverStream::new(requests)).await.expect("a stream").into_inner();
        let correction = |corrects_seq, instead| {
            Body::Correction(v1::CorrectionRecord { corrects_seq, instead: Some(instead) })
        };
        let right = |text: &str| Instead::Right(text.into());
        let good = frame(r#"{"ev":"T","sym":"SPY","p":651.5,"s":7,"t":1773671900000}"#);
        let mixed = frame(
            r#"[{"ev":"T","sym":"SPY","p":651.25,"s":3,"t":1773671901000},{"ev":"T","sym":"SPY","p":-1,"s":3,"t":1773671901000}]"#,
        );
        let order = r#"{"ev":"status","control":"profiles","do":"promote","name":"calm"}"#;
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let gap = v1::GapRecord { from: at(1_773_671_900), to: at(1_773_671_960) };
        let news = v1::NewsRecord { symbol: "SPY".into(), json: r#"{"title":"calm"}"#.into() };
        let mut bad_line = drawn("ann", 651.0);
        bad_line.lines.push(v1::AnnotationLine { price: f64::NAN, ..bad_line.lines[0].clone() });
        let json = v1::AnnotationDraft {
            symbol: "SPY".into(),
            json: r#"{"author":"bob","lines":[652],"mood":"good"}"#.into(),
            ..Default::default()
        };
        let records = vec![
            record("a", good),
            record("b", Body::Annotation(drawn("ann", 650.5))),
            record("c", Body::Annotation(json)),
            record("d", Body::Annotation(bad_line)),
            record("e", mixed),
            record("f", frame("{\"ev\":")),
            record("g", frame(order)),
            record("h", correction(head + 1_000, right("{}"))),
            record("i", correction(1, right("{\"price\":1}"))),
            record("j", correction(head - 1, right("{\"price\":651.75}"))),
            record("k", Body::Gap(gap)),
            record("l", Body::News(news)),
            v1::AppendRecord { record_id: "m".into(), body: None },
        ];
        let request = v1::AppendRequest { client: "desk-7".into(), records };
        send.send(request).await.expect("sent");
        let first = answers.message().await.expect("no error").expect("an answer").results;
        // The stream goes on behind what was refused, also many requests at once.
        for n in 0..40 {
            let text =
                format!(r#"{{"ev":"T","sym":"SPY","p":651.5,"s":{},"t":1773672000000}}"#, n + 1);
            let records = vec![record(&n.to_string(), frame(&text))];
            let request = v1::AppendRequest { client: String::new(), records };
            send.send(request).await.expect("sent");
        }
        drop(send);
        let mut last = first.last().expect("a result").last_seq;
        for n in 0..40 {
            let answer = answers.message().await.expect("no error").expect("an answer");
            let [result] = answer.results.as_slice() else { panic!("one result: {answer:?}") };
            assert_eq!((result.record_id.as_str(), result.facts), (&*n.to_string(), 1));
            assert!(result.first_seq > last && result.last_seq >= result.first_seq);
            last = result.last_seq;
        }
        assert!(answers.message().await.expect("no error").is_none(), "the end is the end");
        first
    });
    let says: Vec<_> = results
        .iter()
        .map(|r| {
            let refused: Vec<_> =
                r.refused.iter().map(|r| (r.reason.as_str(), r.field.as_str())).collect();
            (r.record_id.as_str(), r.facts, refused)
        })
        .collect();
    assert_eq!(
        says,
        [
            ("a", 1, vec![]),
            ("b", 1, vec![]),
            ("c", 1, vec![]),
            ("d", 0, vec![("bad_price", "annotation.lines[1].price")]),
            ("e", 1, vec![("bad_price", "vendor_frame")]),
            ("f", 0, vec![("malformed", "vendor_frame")]),
            ("g", 0, vec![("unknown_kind", "vendor_frame")]),
            ("h", 0, vec![("malformed", "correction.corrects_seq")]),
            ("i", 0, vec![("unknown_kind", "correction.corrects_seq")]),
            ("j", 1, vec![]),
            ("k", 1, vec![]),
            ("l", 1, vec![]),
            ("m", 0, vec![("missing_field", "body")]),
        ],
        "{results:#?}"
    );
    assert!(results[7].refused[0].message.contains("the last one is"), "{:?}", results[7]);
    assert!(results.windows(2).all(|w| w[0].last_seq < w[1].first_seq), "in their order");

    runtime.block_on(async {
        let mut client = JournalServiceClient::new(channel(&live).await);
        // What was refused is kept with its reason, and counted.
        let asked = v1::ListQuarantineRequest { page_size: 3, ..Default::default() };
        let (mut asked, mut kept) = (asked, Vec::new());
        loop {
            let page = client.list_quarantine(asked.clone()).await.expect("a page").into_inner();
            assert!(page.inputs.len() <= 3);
            kept.extend(page.inputs);
            if page.next_page_token.is_empty() {
                break;
            }
            asked.page_token = page.next_page_token;
        }
        let reasons: Vec<&str> = kept.iter().map(|k| k.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "bad_price",
                "bad_price",
                "malformed",
                "unknown_kind",
                "malformed",
                "unknown_kind",
                "missing_field"
            ]
        );
        assert_eq!(kept[2].input, "{\"ev\":".as_bytes());
        assert!(kept[2].source.contains("desk-7"), "{}", kept[2].source);
        let seqs: Vec<u64> =
            results.iter().filter(|r| !r.refused.is_empty()).map(|r| r.last_seq).collect();
        assert_eq!(kept.iter().map(|k| k.seq).collect::<Vec<_>>(), seqs);
        let some = v1::ListQuarantineRequest {
            reason: "malformed".into(),
            without_input: true,
            ..Default::default()
        };
        let some = client.list_quarantine(some).await.expect("a page").into_inner().inputs;
        assert_eq!(some.len(), 2);
        assert!(some.iter().all(|k| k.input.is_empty()));

        let gaps =
            client.list_gaps(v1::ListGapsRequest::default()).await.expect("gaps").into_inner().gaps;
        let [gap] = gaps.as_slice() else { panic!("one gap: {gaps:?}") };
        assert_eq!(
            (gap.seq, gap.to.expect("an end").seconds),
            (results[10].last_seq, 1_773_671_960)
        );
        let days = client.list_days(v1::ListDaysRequest { page_size: 1, ..Default::default() });
        let page = days.await.expect("days").into_inner();
        assert_eq!((page.days.len(), page.days[0].first_seq), (1, 1));
        let rest = v1::ListDaysRequest {
            page_size: 9,
            page_token: page.next_page_token,
            with_pages: false,
        };
        let rest = client.list_days(rest).await.expect("days").into_inner();
        let today = rest.days.last().expect("today");
        assert_eq!(today.refused.iter().map(|r| r.count).sum::<u64>(), 7, "{today:?}");
        assert_eq!(
            today.kinds.iter().find(|k| k.kind() == v1::EventKind::Annotation).map(|k| k.count),
            Some(2)
        );

        // An annotation's text is there byte for byte.
        let asked = v1::GetEventRequest {
            which: Some(v1::get_event_request::Which::Seq(results[2].last_seq)),
        };
        let told = client.get_event(asked).await.expect("an event").into_inner();
        let event = told.event.expect("an event");
        assert_eq!((event.kind(), event.ticker.as_str()), (v1::EventKind::Annotation, "SPY"));
        assert_eq!(Address::of(&event.canonical).to_string(), told.address);
        let Some(v1::journal_event::Body::Blob(blob)) = event.body else { panic!("{event:?}") };
        let mut pieces = client
            .get_blob(v1::GetBlobRequest { address: blob.address })
            .await
            .expect("a stream")
            .into_inner();
        let piece = pieces.message().await.expect("no error").expect("a piece");
        assert_eq!(piece.piece, r#"{"author":"bob","lines":[652],"mood":"good"}"#.as_bytes());
        assert_eq!(piece.total_bytes, piece.piece.len() as u64);
        let channel = channel(&live).await;
        shown(&channel, |lines| {
            let lines = lines.as_array().cloned().unwrap_or_default();
            lines.iter().any(|l| l["author"] == "bob" && l["from"] == 652.0)
                && lines.iter().any(|l| l["author"] == "ann" && l["model"] == "m-7")
        })
        .await;
    });
    assert_eq!(live.terminate(), 0);
    orrery.run(&["verify"]).expect(0);
}

#[test]
fn events_and_pages_are_found_by_position_and_address() {
    let (orrery, _) = crate::proof::journal(crate::proof::LARGE);
    let live = Live::start(&orrery, &[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        use v1::get_event_request::Which;
        use v1::get_page_request::Which as WhichPage;
        let channel = channel(&live).await;
        let mut client = JournalServiceClient::new(channel.clone());
        let days = client
            .list_days(v1::ListDaysRequest { with_pages: true, ..Default::default() })
            .await
            .expect("days")
            .into_inner()
            .days;
        let page = days[0].pages[0].clone();
        assert_eq!(days[0].pages.len() as u64, days[0].sealed_pages);
        let by_address = v1::GetPageRequest { which: Some(WhichPage::Address(page.clone())) };
        let got = client.get_page(by_address).await.expect("a page").into_inner();
        assert_eq!(Address::of(&got.canonical).to_string(), page);
        assert_eq!((got.first_seq, got.last_seq, got.day), (1, 4_096, days[0].date));
        let by_seq = v1::GetPageRequest { which: Some(WhichPage::Seq(4_000)) };
        assert_eq!(client.get_page(by_seq).await.expect("a page").into_inner(), got);

        let mut event =
            async |which| client.get_event(v1::GetEventRequest { which: Some(which) }).await;
        let by_seq = event(Which::Seq(777)).await.expect("an event").into_inner();
        assert_eq!((by_seq.page.as_str(), by_seq.index), (page.as_str(), 776));
        let paged = v1::PagedEvent { page: page.clone(), index: 776 };
        assert_eq!(event(Which::Paged(paged)).await.expect("an event").into_inner(), by_seq);
        let hashed = v1::HashedEvent { address: by_seq.address.clone(), day: by_seq.day };
        assert_eq!(event(Which::Hashed(hashed)).await.expect("an event").into_inner(), by_seq);

        let nowhere = Address::of(b"nothing").to_string();
        let other_day = days[1].date;
        for (which, code, reason) in [
            (Which::Seq(0), Code::InvalidArgument, "INVALID_FIELD"),
            (Which::Seq(1 << 40), Code::OutOfRange, "OUTSIDE_OF_JOURNAL"),
            (
                Which::Paged(v1::PagedEvent { page: page.clone(), index: 4_096 }),
                Code::InvalidArgument,
                "INVALID_FIELD",
            ),
            (
                Which::Paged(v1::PagedEvent { page: nowhere.clone(), index: 0 }),
                Code::NotFound,
                "UNKNOWN_PAGE",
            ),
            (
                Which::Hashed(v1::HashedEvent { address: by_seq.address.clone(), day: other_day }),
                Code::NotFound,
                "UNKNOWN_EVENT",
            ),
            (
                Which::Hashed(v1::HashedEvent { address: "12".into(), day: other_day }),
                Code::InvalidArgument,
                "INVALID_FIELD",
            ),
        ] {
            let refused = event(which).await.expect_err(reason);
            let info = refused.get_details_error_info().expect("a reason");
            assert_eq!((refused.code(), info.reason.as_str()), (code, reason), "{refused}");
        }
        let blob = v1::GetBlobRequest { address: nowhere };
        let refused = client.get_blob(blob).await.expect_err("no such blob");
        assert_eq!(refused.get_details_error_info().expect("a reason").reason, "UNKNOWN_BLOB");

        // All quotes of one contract between two points, page by page.
        let quoted = v1::ReadRangeRequest {
            filter: Some(v1::EventFilter {
                kinds: vec![v1::EventKind::Quote.into()],
                tickers: Vec::new(),
            }),
            from_seq: 1_000,
            to_seq: 9_000,
            ..Default::default()
        };
        let mut stream = client.read_range(quoted).await.expect("a stream").into_inner();
        let mut all = Vec::new();
        while let Some(part) = stream.message().await.expect("no error") {
            all.extend(part.events);
        }
        let ticker = all[0].ticker.clone();
        all.retain(|e| e.ticker == ticker);
        let at = |seq| Some(v1::AsOf { bound: Some(v1::as_of::Bound::Seq(seq)) });
        let mut asked = v1::ListContractHistoryRequest {
            ticker: ticker.clone(),
            from: at(1_000),
            to: at(9_000),
            page_size: 7,
            ..Default::default()
        };
        let mut epochs = EpochServiceClient::new(channel);
        let mut found = Vec::new();
        loop {
            let page =
                epochs.list_contract_history(asked.clone()).await.expect("a page").into_inner();
            assert!(page.events.len() <= 7 && page.to_seq == 9_000);
            found.extend(page.events);
            if page.next_page_token.is_empty() {
                break;
            }
            asked.page_token = page.next_page_token;
        }
        assert!(found.len() > 14, "several pages: {}", found.len());
        assert_eq!(found, all);
        // A token serves its own request and no other.
        asked.page_token = epochs
            .list_contract_history(v1::ListContractHistoryRequest {
                page_token: String::new(),
                ..asked.clone()
            })
            .await
            .expect("a page")
            .into_inner()
            .next_page_token;
        asked.trades = true;
        let refused =
            epochs.list_contract_history(asked.clone()).await.expect_err("another request");
        let violation =
            refused.get_details_bad_request().expect("a field").field_violations.remove(0);
        assert_eq!(violation.field, "page_token");
        for (ticker, from, to, code, field) in [
            ("", None, None, Code::InvalidArgument, Some("ticker")),
            ("O:NOPE", None, None, Code::NotFound, None),
            (ticker.as_str(), at(9), at(8), Code::InvalidArgument, Some("to")),
            (ticker.as_str(), at(0), None, Code::InvalidArgument, Some("from")),
            (ticker.as_str(), at(1 << 40), None, Code::OutOfRange, None),
        ] {
            let asked = v1::ListContractHistoryRequest {
                ticker: ticker.into(),
                from,
                to,
                ..Default::default()
            };
            let refused = epochs.list_contract_history(asked).await.expect_err("refused");
            assert_eq!(refused.code(), code, "{refused}");
            let named =
                refused.get_details_bad_request().map(|b| b.field_violations[0].field.clone());
            assert_eq!(named.as_deref(), field, "{refused}");
        }
    });
    assert_eq!(live.terminate(), 0);
}

#[test]
fn annotations_are_made_listed_replaced_and_corrected_beside_a_feed() {
    let orrery = recorded();
    let live = Live::start(&orrery, &[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let channel = channel(&live).await;
        let mut client = AnnotationServiceClient::new(channel.clone());
        let mut create = async |draft: v1::AnnotationDraft| {
            let request =
                v1::CreateAnnotationRequest { annotation: Some(draft), client: "desk-7".into() };
            client.create_annotation(request).await
        };
        let first = create(drawn("ann", 650.5)).await.expect("made").into_inner();
        let first = first.annotation.expect("an annotation");
        assert_eq!(
            (first.author.as_str(), first.model.as_str(), first.provenance.as_str()),
            ("ann", "m-7", "picture 12")
        );
        assert_eq!((first.symbol.as_str(), first.lines.len()), ("SPY", 1));
        assert_eq!(first.lines[0].kind(), v1::AnnotationLineKind::VolumeNode);
        assert!(first.source.contains("desk-7"));
        let second = create(drawn("ann", 651.5)).await.expect("made").into_inner().annotation;
        let second = second.expect("an annotation");
        let other = create(drawn("eve", 652.5)).await.expect("made").into_inner().annotation;
        let other = other.expect("an annotation");
        // What is wrong is said, and nothing is journaled then.
        for (draft, field) in [
            (v1::AnnotationDraft { author: String::new(), ..drawn("", 1.0) }, "annotation.author"),
            (drawn("ann", -1.0), "annotation.lines[0].price"),
            (v1::AnnotationDraft { symbol: String::new(), ..drawn("a", 1.0) }, "annotation.symbol"),
            (
                v1::AnnotationDraft {
                    symbol: "SPY".into(),
                    json: "{".into(),
                    ..Default::default()
                },
                "annotation.json",
            ),
            (
                v1::AnnotationDraft {
                    symbol: "SPY".into(),
                    json: r#"{"author":"ann","lines":[-5]}"#.into(),
                    ..Default::default()
                },
                "annotation.json",
            ),
        ] {
            let refused = create(draft).await.expect_err(field);
            let named = refused.get_details_bad_request().expect("a field");
            assert_eq!(named.field_violations[0].field, field);
            assert_eq!(refused.code(), Code::InvalidArgument);
        }

        // The command line asks the server that holds the folder.
        let file = orrery.file("lines.json", r#"{"author":"cli","lines":[649.5]}"#);
        let told = orrery.run(&["annotate", "SPY", file.to_str().expect("UTF-8"), "--json"]);
        let by_hand = told.expect(0).json()["seq"].as_u64().expect("a seq");
        let bad = orrery.file("bad.json", r#"{"author":"cli"#);
        let refused = orrery.run(&["annotate", "SPY", bad.to_str().expect("UTF-8")]).expect(2);
        assert!(refused.stderr.contains("is not journaled"), "{}", refused.stderr);
        let seq = other.seq.to_string();
        let cancel = orrery.run(&["correct", &seq, "--cancel", "--json"]).expect(0).json();
        let refused = orrery.run(&["correct", "999999", "--cancel"]).expect(2).stderr;
        assert!(refused.contains("there is no event 999999"), "{refused}");
        let refused = orrery.run(&["correct", &seq, "--right", "{\"author\":\"x\"}"]).expect(2);
        assert!(refused.stderr.contains("another author"), "{}", refused.stderr);
        orrery.run(&["correct", &seq, "--cancel", "--at", "2026-03-16T15:00:00Z"]).expect(2);

        let mut list =
            async |request| client.list_annotations(request).await.expect("a list").into_inner();
        let all = list(v1::ListAnnotationsRequest::default()).await;
        let flat: Vec<_> = all
            .annotations
            .iter()
            .map(|a| (a.seq, a.author.as_str(), a.replaced_by_seq, a.cancelled))
            .collect();
        assert_eq!(
            flat,
            [
                (first.seq, "ann", Some(second.seq), false),
                (second.seq, "ann", None, false),
                (other.seq, "eve", None, true),
                (by_hand, "cli", None, false),
            ]
        );
        assert_eq!(all.annotations[2].corrected_by_seq, cancel["seq"].as_u64());
        let in_force =
            list(v1::ListAnnotationsRequest { in_force: true, ..Default::default() }).await;
        let seqs: Vec<u64> = in_force.annotations.iter().map(|a| a.seq).collect();
        assert_eq!(seqs, [second.seq, by_hand]);
        // As known before the second one, and page by page.
        let at = Some(v1::AsOf { bound: Some(v1::as_of::Bound::Seq(first.seq)) });
        let early =
            list(v1::ListAnnotationsRequest { as_of: at, in_force: true, ..Default::default() })
                .await;
        assert_eq!(early.annotations.len(), 1);
        assert_eq!(early.annotations[0], first);
        let mut asked =
            v1::ListAnnotationsRequest { symbol: "SPY".into(), page_size: 3, ..Default::default() };
        let page = list(asked.clone()).await;
        assert_eq!((page.annotations.len(), page.total), (3, 4));
        asked.page_token = page.next_page_token;
        let page = list(asked).await;
        assert_eq!((page.annotations.len(), page.next_page_token.as_str()), (1, ""));
        let by_model = v1::ListAnnotationsRequest { model: "m-8".into(), ..Default::default() };
        assert_eq!(list(by_model).await.total, 0);
        shown(&channel, |lines| {
            let authors: Vec<&str> = lines
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|l| l["author"].as_str())
                .collect();
            authors == ["ann", "cli"] && lines[0]["from"] == 651.5
        })
        .await;
    });
    assert_eq!(live.terminate(), 0);
    // What the server journaled folds to the same without it.
    let day = orrery.run(&["days", "--json"]).expect(0).json();
    let day =
        day.as_array().and_then(|d| d.last()).and_then(|d| d["day"].as_str()).map(str::to_owned);
    orrery.run(&["replay", &day.expect("a day")]).expect(0);
}

#[test]
fn an_operator_sees_how_a_server_stands_and_takes_checkpoints() {
    let orrery = recorded();
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "4"]);
    live.wait_for("/api/models/spot", "I:SPX");
    let status = orrery.run(&["server", "status", "--json"]).expect(0).json();
    assert_eq!((&status["ready"], &status["feed"]), (&json!(true), &json!("live")), "{status:#}");
    let before = status["checkpoint_seq"].as_u64().unwrap_or_default();
    let taken = orrery.run(&["server", "checkpoint", "--json"]).expect(0).json();
    let taken = taken["seq"].as_u64().expect("a seq");
    assert!(taken > before, "{taken} after {before}");
    let status = orrery.run(&["server", "status", "--json"]).expect(0).json();
    assert!(status["checkpoint_seq"].as_u64() >= Some(taken), "{status:#}");
    assert!(status["folded_seq"].as_u64() >= Some(taken), "{status:#}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut client = AdminServiceClient::new(channel(&live).await);
        let said = client.get_status(v1::GetStatusRequest {}).await.expect("a status").into_inner();
        assert_eq!((said.version.as_str(), said.ready), (env!("CARGO_PKG_VERSION"), true));
        assert_eq!(said.feed(), v1::FeedState::Live);
        let day = said.day;
        let seal = v1::SealDayRequest { day, close: true, again: false };
        let refused = client.seal_day(seal).await.expect_err("today is not over");
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("is not over"), "{refused}");
        let nobody = v1::PromoteProfileRequest { name: "calm".into() };
        let refused = client.promote_profile(nobody).await.expect_err("no such shadow");
        assert!(refused.message().contains("there is no shadow calm"), "{refused}");
        let empty = v1::PromoteProfileRequest::default();
        let refused = client.promote_profile(empty).await.expect_err("no name");
        assert_eq!(refused.code(), Code::InvalidArgument);
    });
    assert_eq!(
        orrery.run(&["profiles", "shadow", "add", "calm", "--profile", "gex/inverse-oi@1"]).code,
        0
    );
    runtime.block_on(async {
        let mut client = AdminServiceClient::new(channel(&live).await);
        let promote = v1::PromoteProfileRequest { name: "calm".into() };
        let seq = client.promote_profile(promote).await.expect("promoted").into_inner().seq;
        assert!(seq > taken);
    });
    let standing = orrery.run(&["profiles", "list", "--json"]).expect(0).json();
    assert!(standing["in_force"].to_string().contains("gex/inverse-oi@1"), "{standing:#}");
    assert_eq!(live.terminate(), 0);
}

#[test]
fn a_client_that_reads_no_answers_is_held_up_and_nobody_else() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    const REQUESTS: usize = 100;
    let orrery = recorded();
    let live = Live::start(&orrery, &[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let id = |request: usize, n: usize| format!("{request:030}{n:030}");
    runtime.block_on(async {
        let mut client = JournalServiceClient::new(channel(&live).await);
        let (send, requests) = tokio::sync::mpsc::channel(1);
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        tokio::spawn(async move {
            let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
            let gap = v1::GapRecord { from: at(1_773_671_900), to: at(1_773_671_960) };
            for request in 0..REQUESTS {
                let records = (0..1_024).map(|n| record(&id(request, n), Body::Gap(gap)));
                let records = records.collect();
                let request = v1::AppendRequest { client: "eager".into(), records };
                if send.send(request).await.is_err() {
                    return;
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut answers =
            client.append(ReceiverStream::new(requests)).await.expect("a stream").into_inner();
        // Answers that nobody reads stand in the way of further requests.
        let mut before = usize::MAX;
        while before != sent.load(Ordering::Relaxed) {
            before = sent.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(before > 4 && before < REQUESTS, "{before} requests were taken");
        // Another client is answered meanwhile, at once.
        let mut other = JournalServiceClient::new(channel(&live).await);
        for n in 0..5 {
            let text =
                format!(r#"{{"ev":"T","sym":"SPY","p":651.5,"s":{},"t":1773672000000}}"#, n + 1);
            let records = vec![record("o", frame(&text))];
            let request = v1::AppendRequest { client: "other".into(), records };
            let asked = other.append(tokio_stream::iter([request])).await.expect("a stream");
            let mut asked = asked.into_inner();
            let answer = tokio::time::timeout(Duration::from_secs(10), asked.message()).await;
            let answer = answer.expect("in time").expect("no error").expect("an answer");
            assert_eq!(answer.results[0].facts, 1);
        }
        // Then it reads: every record has its answer, in order, none twice.
        let mut last = 0;
        for request in 0..REQUESTS {
            let answer = answers.message().await.expect("no error").expect("an answer");
            assert_eq!(answer.results.len(), 1_024);
            for (n, result) in answer.results.iter().enumerate() {
                assert_eq!(result.record_id, id(request, n));
                assert!(result.first_seq > last, "{} after {last}", result.first_seq);
                last = result.last_seq;
            }
        }
        assert!(answers.message().await.expect("no error").is_none());
    });
    assert_eq!(live.terminate(), 0);
}

#[test]
fn a_full_disk_ends_the_stream_and_says_so() {
    let orrery = recorded();
    let live = Live::start(&orrery, &["--disk-reserve", "100000TiB"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut client = JournalServiceClient::new(channel(&live).await);
        let text = r#"{"ev":"T","sym":"SPY","p":651.5,"s":7,"t":1773672000000}"#;
        let records = vec![record("a", frame(text)), record("b", frame(text))];
        let request = v1::AppendRequest { client: String::new(), records };
        let stream = client.append(tokio_stream::iter([request])).await.expect("a stream");
        let refused = stream.into_inner().message().await.expect_err("the disk is full");
        let info = refused.get_details_error_info().expect("a reason");
        assert_eq!((refused.code(), info.reason.as_str()), (Code::ResourceExhausted, "DISK_FULL"));
        assert!(refused.message().contains("nothing was taken"), "{refused}");
        for records in [Vec::new(), vec![v1::AppendRecord::default(); 1_025]] {
            let request = v1::AppendRequest { client: String::new(), records };
            let stream = client.append(tokio_stream::iter([request])).await.expect("a stream");
            let refused = stream.into_inner().message().await.expect_err("no such request");
            let wrong = refused.get_details_bad_request().expect("a field");
            assert_eq!(wrong.field_violations[0].field, "records");
        }
        let request =
            v1::AppendRequest { client: "a b".into(), records: vec![record("a", frame(text))] };
        let stream = client.append(tokio_stream::iter([request])).await.expect("a stream");
        let refused = stream.into_inner().message().await.expect_err("no name");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    });
    assert_eq!(live.terminate(), 0);
}
