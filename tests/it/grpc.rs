//! gRPC as a stranger calls it: on the listener that HTTP uses.

use std::collections::BTreeSet;
use std::time::Duration;

use orrery_journal::units::Address;
use orrery_proto::v1;
use orrery_proto::v1::artifact_service_client::ArtifactServiceClient;
use orrery_proto::v1::epoch_service_client::EpochServiceClient;
use orrery_proto::v1::replay_service_client::ReplayServiceClient;
use orrery_proto::v1::watch_artifacts_response::Event;
use serde_json::json;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;

use crate::served::{Served, T0, artifact, samples};

async fn channel(served: &Served) -> Channel {
    Channel::from_shared(served.url("")).expect("an address").connect().await.expect("a connection")
}

fn spx() -> String {
    "SPX".into()
}

/// The last message of a watched replay.
async fn last_of(mut stream: tonic::Streaming<v1::WatchReplayResponse>) -> Option<v1::Replay> {
    let mut last = None;
    while let Some(message) = stream.message().await.expect("no error") {
        last = message.replay;
    }
    last
}

fn range(min: f64, max: f64) -> Option<v1::Range> {
    Some(v1::Range { min: Some(min), max: Some(max) })
}

fn at_seq(seq: u64) -> Option<v1::AsOf> {
    Some(v1::AsOf { bound: Some(v1::as_of::Bound::Seq(seq)) })
}

#[test]
fn epochs_are_answered_as_of_a_moment() {
    let served = Served::start();
    served.runtime.block_on(async {
        let mut client = EpochServiceClient::new(channel(&served).await);
        let list = client
            .list_epochs(v1::ListEpochsRequest { symbol: spx(), ..Default::default() })
            .await
            .expect("epochs")
            .into_inner();
        let states: Vec<_> = list.epochs.iter().map(|e| (e.born_seq, e.state())).collect();
        assert_eq!(states, [(100, v1::EpochState::Active), (1, v1::EpochState::Retired)]);
        assert_eq!(list.moment.expect("a moment").seq, 1000);
        assert_eq!(list.epochs[0].widths, [20.0, 100.0]);

        // Before the second was promoted, the first one was active.
        let before = v1::GetActiveEpochRequest { symbol: spx(), as_of: at_seq(104) };
        let active = client.get_active_epoch(before).await.expect("an epoch").into_inner();
        let epoch = active.epoch.expect("an epoch");
        assert_eq!((epoch.born_seq, epoch.retired_seq), (1, None));
        let time = prost_types::Timestamp { seconds: T0 / 1_000_000_000 + 105, nanos: 0 };
        let by_time = v1::GetActiveEpochRequest {
            symbol: spx(),
            as_of: Some(v1::AsOf { bound: Some(v1::as_of::Bound::Time(time)) }),
        };
        let active = client.get_active_epoch(by_time).await.expect("an epoch").into_inner();
        assert_eq!(active.epoch.expect("an epoch").born_seq, 100);
        let warming = v1::GetActiveEpochRequest { symbol: spx(), as_of: at_seq(3) };
        let refused = client.get_active_epoch(warming).await.expect_err("still warming");
        assert_eq!(refused.code(), Code::FailedPrecondition);

        let id = Address::of(b"old").to_string();
        let get = v1::GetEpochRequest { symbol: spx(), epoch_id: id.clone(), as_of: None };
        let epoch = client.get_epoch(get).await.expect("an epoch").into_inner().epoch;
        assert_eq!(epoch.expect("an epoch").id, id);
    });
}

#[test]
fn a_plane_is_cut_and_paged_without_loss_or_repeat() {
    let served = Served::start();
    served.runtime.block_on(async {
        let mut client = EpochServiceClient::new(channel(&served).await);
        let mut asked = v1::ListContractsRequest {
            symbol: spx(),
            strikes: range(6520.0, 6560.0),
            dte: range(0.0, 0.0),
            page_size: 5,
            as_of: at_seq(200),
            ..Default::default()
        };
        asked.set_right(v1::OptionRight::Call);
        let mut strikes = Vec::new();
        loop {
            let page = client.list_contracts(asked.clone()).await.expect("a page").into_inner();
            assert_eq!(page.total, 9);
            assert_eq!(page.moment.expect("a moment").seq, 200, "all pages on one moment");
            assert!(page.contracts.len() <= 5);
            assert!(page.contracts.iter().all(|c| c.dte == 0 && c.ask.is_none()));
            strikes.extend(page.contracts.iter().map(|c| c.strike));
            if page.next_page_token.is_empty() {
                break;
            }
            asked.page_token = page.next_page_token;
        }
        assert_eq!(strikes, (0..9).map(|i| 6520.0 + 5.0 * f64::from(i)).collect::<Vec<_>>());

        // A vertical of 100 needs both ends of the lattice.
        let wide = v1::ListContractsRequest {
            symbol: spx(),
            width: range(100.0, 100.0),
            ..Default::default()
        };
        let page = client.list_contracts(wide).await.expect("a page").into_inner();
        let ends: BTreeSet<i64> = page.contracts.iter().map(|c| c.strike as i64).collect();
        assert_eq!(ends, BTreeSet::from([6500, 6600]));
        assert_eq!((page.contracts.len(), page.spot), (8, Some(6540.25)));
    });
}

#[test]
fn bad_questions_are_refused_with_the_field_that_is_wrong() {
    let served = Served::start();
    served.place_samples(1, 6540.0);
    served.runtime.block_on(async {
        let channel = channel(&served).await;
        let mut epochs = EpochServiceClient::new(channel.clone());
        let mut asked =
            v1::ListContractsRequest { symbol: spx(), page_size: 5, ..Default::default() };
        let page = epochs.list_contracts(asked.clone()).await.expect("a page").into_inner();
        asked.page_token = page.next_page_token.clone();
        asked.strikes = range(1.0, 2.0);
        let other_query = epochs.list_contracts(asked).await.expect_err("another query's token");
        let mut cases = vec![(Code::InvalidArgument, "page_token", other_query)];

        let ask = |symbol: &str, epoch: &str, as_of| v1::ListContractsRequest {
            symbol: symbol.into(),
            epoch_id: epoch.into(),
            as_of,
            ..Default::default()
        };
        for (code, word, question) in [
            (Code::InvalidArgument, "symbol", ask("", "", None)),
            (Code::InvalidArgument, "epoch_id", ask("SPX", "12", None)),
            (Code::InvalidArgument, "as_of.seq", ask("SPX", "", at_seq(0))),
            (Code::OutOfRange, "seq 1 to 1000", ask("SPX", "", at_seq(5000))),
            (Code::NotFound, "symbol NOPE", ask("NOPE", "", None)),
            (Code::NotFound, "epoch", ask("SPX", &Address::of(b"x").to_string(), None)),
            (
                Code::InvalidArgument,
                "strikes: min lies above max",
                v1::ListContractsRequest { strikes: range(2.0, 1.0), ..ask("SPX", "", None) },
            ),
            (
                Code::InvalidArgument,
                "page_size",
                v1::ListContractsRequest { page_size: -1, ..ask("SPX", "", None) },
            ),
            (
                Code::InvalidArgument,
                "right",
                v1::ListContractsRequest { right: 7, ..ask("SPX", "", None) },
            ),
        ] {
            let refused = epochs.list_contracts(question).await.expect_err(word);
            cases.push((code, word, refused));
        }
        let mut artifacts = ArtifactServiceClient::new(channel.clone());
        let missing = v1::GetArtifactRequest {
            symbol: spx(),
            family: "gex".into(),
            which: Some(v1::get_artifact_request::Which::Version(99)),
            ..Default::default()
        };
        let refused = artifacts.get_artifact(missing).await.expect_err("no such version");
        cases.push((Code::NotFound, "SPX/gex version 99", refused));
        let ahead = v1::WatchArtifactsRequest {
            selectors: vec![v1::ArtifactSelector {
                symbol: spx(),
                family: "gex".into(),
                after_version: Some(7),
            }],
            ..Default::default()
        };
        let refused = artifacts.watch_artifacts(ahead).await.expect_err("ahead of us");
        cases.push((Code::OutOfRange, "no version 7", refused));
        let mut replays = ReplayServiceClient::new(channel);
        let day = |year, month, day| v1::StartReplayRequest {
            day: Some(v1::Date { year, month, day }),
            threads: 0,
        };
        let refused = replays.start_replay(day(2015, 2, 30)).await.expect_err("no such date");
        cases.push((Code::InvalidArgument, "day", refused));
        let refused = replays.start_replay(day(2015, 2, 3)).await.expect_err("no such day");
        cases.push((Code::NotFound, "day 2015-02-03", refused));
        let watch = v1::WatchReplayRequest { replay_id: "replay-77".into() };
        let refused = replays.watch_replay(watch).await.expect_err("no such replay");
        cases.push((Code::NotFound, "replay-77", refused));

        for (code, word, status) in cases {
            assert_eq!(status.code(), code, "{status:?}");
            assert!(status.message().contains(word), "{word} in {}", status.message());
            assert!(!status.details().is_empty(), "a reason for machines: {status:?}");
        }
    });
}

#[test]
fn artifacts_by_version_as_of_and_as_lists() {
    let served = Served::start();
    for version in 1..=5 {
        served.place_samples(version, 6540.0);
    }
    served.runtime.block_on(async {
        let mut client = ArtifactServiceClient::new(channel(&served).await);
        let get = |which| v1::GetArtifactRequest {
            symbol: spx(),
            family: "gex".into(),
            which,
            ..Default::default()
        };
        use v1::get_artifact_request::Which;
        for (which, version) in [
            (None, 5),
            (Some(Which::Version(2)), 2),
            (Some(Which::AsOf(at_seq(39).expect("a bound"))), 3),
        ] {
            let got = client.get_artifact(get(which)).await.expect("an artifact").into_inner();
            let artifact = got.artifact.expect("an artifact");
            let header = artifact.header.expect("a header");
            assert_eq!(header.version, version);
            assert_eq!(Address::of(&artifact.body).to_string(), header.content);
        }
        let newest = v1::ListArtifactsRequest { symbol: spx(), page_size: 2, ..Default::default() };
        let page = client.list_artifacts(newest.clone()).await.expect("a page").into_inner();
        assert_eq!(page.headers.len(), 2);
        let rest =
            v1::ListArtifactsRequest { page_token: page.next_page_token, page_size: 10, ..newest };
        let rest = client.list_artifacts(rest).await.expect("a page").into_inner();
        assert_eq!((rest.headers.len(), rest.next_page_token.as_str()), (3, ""));
        assert!(rest.headers.iter().all(|h| h.version == 5));
        let family = v1::ListArtifactsRequest {
            symbol: spx(),
            family: "gex".into(),
            from_version: 2,
            page_size: 3,
            ..Default::default()
        };
        let page = client.list_artifacts(family.clone()).await.expect("a page").into_inner();
        let versions = |page: &v1::ListArtifactsResponse| -> Vec<u64> {
            page.headers.iter().map(|h| h.version).collect()
        };
        assert_eq!(versions(&page), [2, 3, 4]);
        let next = v1::ListArtifactsRequest { page_token: page.next_page_token, ..family };
        let page = client.list_artifacts(next).await.expect("a page").into_inner();
        assert_eq!(versions(&page), [5]);

        let diff = v1::DiffArtifactsRequest {
            symbol: spx(),
            family: "gex".into(),
            before_version: 1,
            ..Default::default()
        };
        let diff = client.diff_artifacts(diff).await.expect("a difference").into_inner();
        assert_eq!(diff.total, 1);
        assert_eq!(diff.changes[0].path, "/by_strike/6540/net");
        assert_eq!(diff.changes[0].absolute, Some(4.0));
        assert_eq!(diff.after.expect("a header").version, 5);

        // The same two by where they stand, with the contracts behind the cell.
        let at = |when| v1::ArtifactPoint {
            symbol: spx(),
            family: "gex".into(),
            when,
            profile: String::new(),
        };
        let first = || at(Some(v1::artifact_point::When::Version(1)));
        let asked = v1::DiffArtifactsRequest {
            before: Some(first()),
            after: Some(at(None)),
            max_contracts: 10,
            ..Default::default()
        };
        let diff = client.diff_artifacts(asked).await.expect("a difference").into_inner();
        assert_eq!(diff.changes[0].path, "/by_strike/6540/net");
        let behind = &diff.changes[0].contracts;
        assert_eq!(behind.len(), 1, "{behind:#?}");
        assert_eq!((behind[0].before, behind[0].after), (Some(1.0), Some(5.0)));

        let asked = v1::ExplainArtifactRequest {
            artifact: Some(first()),
            paths: vec!["/by_strike/6540/net".into(), "/spot".into()],
            max_contracts: 0,
        };
        let told = client.explain_artifact(asked).await.expect("contracts").into_inner();
        assert_eq!(told.header.expect("a header").version, 1);
        assert_eq!((told.cells[0].total, told.cells[0].contracts[0].after), (1, Some(1.0)));
        assert!(told.cells[1].contracts.is_empty(), "no contract is behind the spot");

        let asked = v1::GetLineageRequest { artifact: Some(at(None)), depth: 3 };
        let steps = client.get_lineage(asked).await.expect("a lineage").into_inner().steps;
        let versions: Vec<u64> =
            steps.iter().map(|s| s.header.as_ref().expect("a header").version).collect();
        assert_eq!(versions, [5, 4, 3]);

        // What cannot be asked says which field is wrong, what is not there which
        // artifact.
        let lonely = v1::DiffArtifactsRequest { before: Some(first()), ..Default::default() };
        let refused = client.diff_artifacts(lonely).await.expect_err("no after");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with("after:"), "{refused}");
        let none = v1::ExplainArtifactRequest { artifact: Some(first()), ..Default::default() };
        let refused = client.explain_artifact(none).await.expect_err("no path");
        assert!(refused.message().starts_with("paths:"), "{refused}");
        let nowhere = at(Some(v1::artifact_point::When::Version(99)));
        let asked = v1::GetLineageRequest { artifact: Some(nowhere), depth: 0 };
        let refused = client.get_lineage(asked).await.expect_err("no such version");
        assert_eq!(refused.code(), Code::NotFound);
        assert!(refused.message().contains("version 99"), "{refused}");
    });
}

#[test]
fn a_level_is_explained_by_its_contracts() {
    let served = Served::start();
    served.runtime.block_on(async {
        let mut client = ArtifactServiceClient::new(channel(&served).await);
        let asked = v1::ExplainLevelRequest {
            symbol: spx(),
            level: "call_wall".into(),
            profile: "inverse-oi".into(),
            as_of: at_seq(200),
            max_contracts: 2,
        };
        let told = client.explain_level(asked.clone()).await.expect("an answer").into_inner();
        assert_eq!((told.profile.as_str(), told.level), ("gex/inverse-oi@1", Some(6540.0)));
        assert_eq!((told.moment.expect("a moment").seq, told.total), (200, 3));
        let strikes: Vec<f64> = told.contracts.iter().map(|c| c.strike).collect();
        assert_eq!(strikes, [6540.0, 6541.0], "the largest, as many as were asked for");
        let first = &told.contracts[0];
        assert_eq!((first.value, first.share), (100.0, 0.5));
        assert_eq!(first.expiration, Some(v1::Date { year: 2026, month: 8, day: 19 }));
        let flip = v1::ExplainLevelRequest {
            level: "flip".into(),
            profile: String::new(),
            max_contracts: 0,
            ..asked.clone()
        };
        let told = client.explain_level(flip).await.expect("an answer").into_inner();
        assert_eq!((told.level, told.contracts.len()), (None, 3), "there is none");
        for (level, code) in [("nothing", Code::NotFound), ("", Code::InvalidArgument)] {
            let wrong = v1::ExplainLevelRequest { level: level.into(), ..asked.clone() };
            let refused = client.explain_level(wrong).await.expect_err("no such level");
            assert_eq!(refused.code(), code, "{refused:?}");
        }
    });
}

#[test]
fn a_watcher_resumes_without_loss_or_repeat_and_hears_heartbeats() {
    let served = Served::start();
    for version in 1..=3 {
        served.place_samples(version, 6540.0);
    }
    served.runtime.block_on(async {
        let mut client = ArtifactServiceClient::new(channel(&served).await);
        let watch = |after_version, newest_only| v1::WatchArtifactsRequest {
            selectors: vec![v1::ArtifactSelector {
                symbol: spx(),
                family: "gex".into(),
                after_version,
            }],
            header_only: false,
            newest_only,
            heartbeat: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        };
        let version = |message: v1::WatchArtifactsResponse| match message.event {
            Some(Event::Artifact(told)) => {
                let artifact = told.artifact.expect("an artifact");
                assert!(!artifact.body.is_empty());
                Some((artifact.header.expect("a header").version, told.skipped))
            }
            _ => None,
        };
        let mut stream =
            client.watch_artifacts(watch(Some(1), false)).await.expect("a stream").into_inner();
        for expected in [2, 3] {
            let told = stream.message().await.expect("no error").expect("a version");
            assert_eq!(version(told), Some((expected, 0)));
        }
        // Versions that come while nobody reads are still told, each once.
        for n in 4..=120 {
            served.backend.publish(samples(n, 6540.0).remove(2));
        }
        for expected in 4..=120 {
            let told = stream.message().await.expect("no error").expect("a version");
            assert_eq!(version(told), Some((expected, 0)));
        }
        let beat = stream.message().await.expect("no error").expect("a heartbeat");
        assert!(matches!(beat.event, Some(Event::Heartbeat(v1::Heartbeat { number: 1 }))));

        let mut newest =
            client.watch_artifacts(watch(Some(20), true)).await.expect("a stream").into_inner();
        let told = newest.message().await.expect("no error").expect("a version");
        assert_eq!(version(told), Some((120, 99)), "told how many it skipped");
        let mut fresh =
            client.watch_artifacts(watch(None, false)).await.expect("a stream").into_inner();
        let told = fresh.message().await.expect("no error").expect("a version");
        assert_eq!(version(told), Some((120, 0)));
    });
}

#[test]
fn replays_run_end_differ_and_are_cancelled() {
    let served = Served::start();
    let start = || v1::StartReplayRequest {
        day: Some(v1::Date { year: 2026, month: 8, day: 19 }),
        threads: 2,
    };
    served.runtime.block_on(async {
        let mut client = ReplayServiceClient::new(channel(&served).await);
        let started = client.start_replay(start()).await.expect("started").into_inner();
        let replay_id = started.replay.expect("a replay").replay_id;
        let watch = v1::WatchReplayRequest { replay_id };
        let stream = client.watch_replay(watch).await.expect("a stream").into_inner();
        let states: Vec<v1::Replay> =
            stream.map(|m| m.expect("no error").replay.expect("a replay")).collect().await;
        let last = states.last().expect("a state");
        assert_eq!(last.state(), v1::ReplayState::Identical);
        assert_eq!((last.events, last.events_total, last.artifacts), (1000, 1000, 70));
        assert_eq!(last.elapsed.expect("a time").nanos, 400_000_000);

        served.backend.replay_differs.store(true, std::sync::atomic::Ordering::Relaxed);
        let started = client.start_replay(start()).await.expect("started").into_inner();
        let replay_id = started.replay.expect("a replay").replay_id;
        let watch = v1::WatchReplayRequest { replay_id };
        let stream = client.watch_replay(watch).await.expect("a stream").into_inner();
        let last = last_of(stream).await;
        let difference = last.expect("a replay").difference.expect("a difference");
        assert_eq!((difference.field.as_str(), difference.seq), ("/levels/net", 30));
        served.backend.replay_differs.store(false, std::sync::atomic::Ordering::Relaxed);

        served.backend.replay_waits.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut ids = Vec::new();
        for _ in 0..2 {
            let started = client.start_replay(start()).await.expect("started").into_inner();
            ids.push(started.replay.expect("a replay").replay_id);
        }
        let refused = client.start_replay(start()).await.expect_err("a third one");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        for replay_id in ids {
            let cancel = v1::CancelReplayRequest { replay_id: replay_id.clone() };
            client.cancel_replay(cancel).await.expect("cancelled");
            let watch = v1::WatchReplayRequest { replay_id };
            let stream = client.watch_replay(watch).await.expect("a stream").into_inner();
            let last = last_of(stream).await;
            assert_eq!(last.expect("a replay").state(), v1::ReplayState::Cancelled);
        }
    });
}

#[test]
fn health_and_both_reflections_are_served() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::{v1 as r1, v1alpha as ra};
    let served = Served::start();
    served.runtime.block_on(async {
        let channel = channel(&served).await;
        let mut health = HealthClient::new(channel.clone());
        for service in [
            "",
            "orrery.v1.EpochService",
            "orrery.v1.ArtifactService",
            "orrery.v1.ReplayService",
            "orrery.v1.ReplaySessionService",
        ] {
            let check = HealthCheckRequest { service: service.into() };
            let status = health.check(check).await.expect("a status").into_inner();
            assert_eq!(status.status(), ServingStatus::Serving, "{service}");
        }
        let wanted: BTreeSet<String> = [
            "orrery.v1.EpochService",
            "orrery.v1.ArtifactService",
            "orrery.v1.ReplayService",
            "orrery.v1.ReplaySessionService",
            "orrery.v1.CertificateService",
            "grpc.health.v1.Health",
        ]
        .map(String::from)
        .into();
        let request = r1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(r1::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            )),
        };
        let mut answers =
            r1::server_reflection_client::ServerReflectionClient::new(channel.clone())
                .server_reflection_info(tokio_stream::iter([request]))
                .await
                .expect("reflection v1")
                .into_inner();
        let answer = answers.message().await.expect("no error").expect("an answer");
        let Some(r1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
            answer.message_response
        else {
            panic!("a list of services");
        };
        let names: BTreeSet<String> = list.service.into_iter().map(|s| s.name).collect();
        assert!(names.is_superset(&wanted), "{names:?}");
        let request = ra::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(
                ra::server_reflection_request::MessageRequest::FileContainingSymbol(
                    "orrery.v1.EpochService".into(),
                ),
            ),
        };
        let mut answers = ra::server_reflection_client::ServerReflectionClient::new(channel)
            .server_reflection_info(tokio_stream::iter([request]))
            .await
            .expect("reflection v1alpha")
            .into_inner();
        let answer = answers.message().await.expect("no error").expect("an answer");
        assert!(matches!(
            answer.message_response,
            Some(ra::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
        ));
    });
}

#[test]
fn unknown_methods_are_unimplemented_and_an_oversized_request_is_refused() {
    let served = Served::start();
    served.runtime.block_on(async {
        let channel = channel(&served).await;
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        for path in ["/orrery.v1.EpochService/Nope", "/orrery.v1.Nope/Nope"] {
            grpc.ready().await.expect("ready");
            let codec =
                tonic_prost::ProstCodec::<v1::GetEpochRequest, v1::GetEpochResponse>::default();
            let refused = grpc
                .unary(
                    tonic::Request::new(v1::GetEpochRequest::default()),
                    path.parse().expect("a path"),
                    codec,
                )
                .await
                .expect_err("nobody answers");
            assert_eq!(refused.code(), Code::Unimplemented, "{path}: {refused:?}");
        }
        let mut client = EpochServiceClient::new(channel);
        let huge = v1::GetEpochRequest { epoch_id: "0".repeat(2 << 20), ..Default::default() };
        let refused = client.get_epoch(huge).await.expect_err("too large");
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    });
}

#[test]
fn an_open_watch_ends_with_the_server() {
    let mut served = Served::start();
    served.backend.publish(artifact("SPX", "gex", 1, &json!({"a": 1})));
    let mut stream = served.runtime.block_on(async {
        let mut client = ArtifactServiceClient::new(channel(&served).await);
        let mut stream = client
            .watch_artifacts(v1::WatchArtifactsRequest::default())
            .await
            .expect("a stream")
            .into_inner();
        stream.message().await.expect("no error").expect("the newest");
        stream
    });
    assert!(served.stop(Duration::from_secs(4)), "the server hangs");
    let ended = served.runtime.block_on(stream.message());
    assert_eq!(ended.expect_err("told why").code(), Code::Unavailable);
}
