//! Questions that cannot be answered, as a client of the real house meets them:
//! each is refused with its code, a reason for machines, and the wrong field or
//! what was asked and what there is. Those of sessions are in `sessions/bad.rs`.

use orrery_proto::v1;
use orrery_proto::v1::annotation_service_client::AnnotationServiceClient;
use orrery_proto::v1::artifact_service_client::ArtifactServiceClient;
use orrery_proto::v1::as_of::Bound;
use orrery_proto::v1::certificate_service_client::CertificateServiceClient;
use orrery_proto::v1::epoch_service_client::EpochServiceClient;
use orrery_proto::v1::get_artifact_request::Which;
use orrery_proto::v1::journal_service_client::JournalServiceClient;
use orrery_proto::v1::profile_service_client::ProfileServiceClient;
use orrery_proto::v1::replay_service_client::ReplayServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::live::Live;
use crate::support::Orrery;

/// What a refusal must say.
enum Says<'a> {
    /// This field is wrong.
    Field(&'a str),
    /// There is no such thing: its kind and name.
    Unknown(&'a str, &'a str),
    /// It lies outside of the journal: what was asked.
    Outside(&'a str),
    /// Another reason.
    Reason(Code, &'a str),
}

#[track_caller]
fn check<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, says: &Says<'_>) {
    let status = answer.expect_err("it cannot be answered");
    let info = status.get_details_error_info().expect("a reason for machines");
    assert_eq!(info.domain, "orrery");
    let known = |name: &str| info.metadata.get(name).map(String::as_str);
    match says {
        Says::Field(field) => {
            let wrong = status.get_details_bad_request().expect("the wrong field");
            assert_eq!(wrong.field_violations[0].field, *field, "{status}");
            assert!(!wrong.field_violations[0].description.is_empty());
            assert_eq!(
                (status.code(), info.reason.as_str()),
                (Code::InvalidArgument, "INVALID_FIELD")
            );
        }
        Says::Unknown(kind, name) => {
            assert_eq!(status.code(), Code::NotFound, "{status}");
            assert_eq!((known("kind"), known("name")), (Some(*kind), Some(*name)), "{status}");
            assert!(info.reason.starts_with("UNKNOWN"), "{}", info.reason);
        }
        Says::Outside(asked) => {
            assert_eq!(
                (status.code(), info.reason.as_str()),
                (Code::OutOfRange, "OUTSIDE_OF_JOURNAL"),
                "{status}"
            );
            assert_eq!(known("asked"), Some(*asked), "{status}");
            assert!(known("holds").is_some_and(|holds| holds.starts_with("events 1 to ")));
        }
        Says::Reason(code, reason) => {
            assert_eq!((status.code(), info.reason.as_str()), (*code, *reason), "{status}");
        }
    }
    assert!(!status.message().is_empty());
}

fn spx() -> String {
    "SPX".into()
}

fn seq(seq: u64) -> Option<v1::AsOf> {
    Some(v1::AsOf { bound: Some(Bound::Seq(seq)) })
}

fn time(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

/// A day before the first event.
fn early() -> Option<v1::AsOf> {
    Some(v1::AsOf { bound: Some(Bound::Time(time(1_773_585_000))) })
}
const EARLY: &str = "2026-03-15T14:30:00.000000000Z";

fn point(when: v1::artifact_point::When) -> Option<v1::ArtifactPoint> {
    let (symbol, family) = (spx(), "gex".into());
    Some(v1::ArtifactPoint { symbol, family, when: Some(when), profile: String::new() })
}

async fn moments(channel: &Channel) {
    let mut epochs = EpochServiceClient::new(channel.clone());
    let mut artifacts = ArtifactServiceClient::new(channel.clone());
    let mut profiles = ProfileServiceClient::new(channel.clone());
    let mut annotations = AnnotationServiceClient::new(channel.clone());
    let get = |which| v1::GetArtifactRequest {
        symbol: spx(),
        family: "gex".into(),
        which: Some(which),
        ..Default::default()
    };
    let nanos = prost_types::Timestamp { seconds: 0, nanos: -1 };
    let broken = Some(v1::AsOf { bound: Some(Bound::Time(nanos)) });
    let beyond = "event 999999999";
    for (as_of, says) in [
        (early(), Says::Outside(EARLY)),
        (seq(999_999_999), Says::Outside(beyond)),
        (seq(0), Says::Field("as_of.seq")),
        (broken, Says::Field("as_of.time")),
    ] {
        let bound = as_of.expect("a moment");
        check(artifacts.get_artifact(get(Which::AsOf(bound))).await, &says);
        let corrected = v1::GetArtifactRequest { corrected: true, ..get(Which::AsOf(bound)) };
        check(artifacts.get_artifact(corrected).await, &says);
        let asked = v1::ExplainLevelRequest {
            symbol: spx(),
            level: "net".into(),
            as_of,
            ..Default::default()
        };
        check(artifacts.explain_level(asked).await, &says);
        let asked = v1::ListEpochsRequest { symbol: spx(), as_of, ..Default::default() };
        check(epochs.list_epochs(asked).await, &says);
        let asked = v1::GetActiveEpochRequest { symbol: spx(), as_of };
        check(epochs.get_active_epoch(asked).await, &says);
        let asked = v1::ListContractsRequest { symbol: spx(), as_of, ..Default::default() };
        check(epochs.list_contracts(asked).await, &says);
        check(profiles.list_profiles(v1::ListProfilesRequest { as_of }).await, &says);
        let asked = v1::ListAnnotationsRequest { as_of, ..Default::default() };
        check(annotations.list_annotations(asked).await, &says);
    }
    let lineage = v1::GetLineageRequest {
        artifact: point(v1::artifact_point::When::AsOf(early().expect("a moment"))),
        depth: 1,
    };
    check(artifacts.get_lineage(lineage).await, &Says::Outside(EARLY));
}

async fn names(channel: &Channel) {
    let mut artifacts = ArtifactServiceClient::new(channel.clone());
    let mut epochs = EpochServiceClient::new(channel.clone());
    let get = |symbol: &str, family: &str, version| v1::GetArtifactRequest {
        symbol: symbol.into(),
        family: family.into(),
        which: Some(Which::Version(version)),
        ..Default::default()
    };
    for version in [0, 1_000_000, u64::MAX] {
        let refused = artifacts.get_artifact(get("SPX", "gex", version)).await;
        let info = refused.as_ref().expect_err("none").get_details_error_info().expect("a reason");
        assert_eq!(info.metadata["which"], format!("version {version}"));
        check(refused, &Says::Reason(Code::NotFound, "UNKNOWN_ARTIFACT"));
    }
    check(
        artifacts.get_artifact(get("NOPE", "gex", 1)).await,
        &Says::Reason(Code::NotFound, "UNKNOWN_ARTIFACT"),
    );
    check(artifacts.get_artifact(get("S P X", "gex", 1)).await, &Says::Field("symbol"));
    check(artifacts.get_artifact(get("SPX", "", 1)).await, &Says::Field("family"));
    let diff = v1::DiffArtifactsRequest {
        before: point(v1::artifact_point::When::Version(1_000_000)),
        after: point(v1::artifact_point::When::Version(2)),
        ..Default::default()
    };
    let none = Says::Reason(Code::NotFound, "UNKNOWN_ARTIFACT");
    check(artifacts.diff_artifacts(diff).await, &none);
    let watch = |after_version| v1::WatchArtifactsRequest {
        selectors: vec![v1::ArtifactSelector {
            symbol: spx(),
            family: "gex".into(),
            after_version,
        }],
        ..Default::default()
    };
    let ahead = artifacts.watch_artifacts(watch(Some(1_000_000))).await.map(|r| r.map(drop));
    check(ahead, &Says::Reason(Code::OutOfRange, "VERSION_AHEAD"));
    let asked = v1::WatchArtifactsRequest {
        heartbeat: Some(prost_types::Duration { seconds: 0, nanos: 1 }),
        ..watch(None)
    };
    let hasty = artifacts.watch_artifacts(asked).await.map(|r| r.map(drop));
    check(hasty, &Says::Field("heartbeat"));
    let nobody = v1::ListEpochsRequest { symbol: "NOPE".into(), ..Default::default() };
    check(epochs.list_epochs(nobody).await, &Says::Unknown("symbol", "NOPE"));
    let asked = |strikes| v1::ListContractsRequest { symbol: spx(), strikes, ..Default::default() };
    let range = |min, max| Some(v1::Range { min: Some(min), max: Some(max) });
    for strikes in [range(2.0, 1.0), range(f64::NAN, 1.0)] {
        check(epochs.list_contracts(asked(strikes)).await, &Says::Field("strikes"));
    }
    let mut replays = ReplayServiceClient::new(channel.clone());
    let other = Some(v1::Date { year: 1999, month: 1, day: 4 });
    let start = v1::StartReplayRequest { day: other, threads: 1 };
    check(replays.start_replay(start).await, &Says::Unknown("day", "1999-01-04"));
    let mut certificates = CertificateServiceClient::new(channel.clone());
    let never = Some(v1::Date { year: 2026, month: 2, day: 30 });
    let asked = v1::GetCertificateRequest { day: never, number: 0 };
    check(certificates.get_certificate(asked).await, &Says::Field("day"));
}

async fn ranges(channel: &Channel) {
    let mut journal = JournalServiceClient::new(channel.clone());
    let range = |from_seq, to_seq| v1::ReadRangeRequest { from_seq, to_seq, ..Default::default() };
    let times = |from, to| v1::ReadRangeRequest {
        from_time: Some(time(from)),
        to_time: Some(time(to)),
        ..Default::default()
    };
    let negative = v1::ReadRangeRequest {
        since: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
        ..Default::default()
    };
    for (asked, field) in [(range(9, 8), "to_seq"), (times(9, 8), "to_time"), (negative, "since")] {
        let refused = journal.read_range(asked).await.map(|r| r.map(drop));
        check(refused, &Says::Field(field));
    }
    // What only the journal knows is refused in the stream.
    let beyond = journal.read_range(range(1 << 40, 0)).await.expect("a stream");
    let refused = beyond.into_inner().message().await.map(Response::new);
    check(refused, &Says::Outside("event 1099511627776"));
    let inverted = v1::ListGapsRequest { from: seq(9), to: seq(8), ..Default::default() };
    check(journal.list_gaps(inverted).await, &Says::Field("to"));
    let asked = v1::ListQuarantineRequest { reason: "bad_luck".into(), ..Default::default() };
    check(journal.list_quarantine(asked).await, &Says::Field("reason"));
    let asked = v1::TailRequest { last: 10_001, ..Default::default() };
    check(journal.tail(asked).await.map(|r| r.map(drop)), &Says::Field("last"));
}

/// A token of one request, shown to every other list and to the same one with
/// another question.
async fn tokens(channel: &Channel) {
    let mut epochs = EpochServiceClient::new(channel.clone());
    let mut artifacts = ArtifactServiceClient::new(channel.clone());
    let mut journal = JournalServiceClient::new(channel.clone());
    let mut annotations = AnnotationServiceClient::new(channel.clone());
    let asked = v1::ListContractsRequest { symbol: spx(), page_size: 5, ..Default::default() };
    let page = epochs.list_contracts(asked.clone()).await.expect("a page").into_inner();
    let asked = v1::ListContractsRequest { page_token: page.next_page_token.clone(), ..asked };
    epochs.list_contracts(asked.clone()).await.expect("its own next page");
    let strange = [page.next_page_token, "none of yours".into(), "0".repeat(48)];
    for token in strange {
        let says = Says::Field("page_token");
        let page_token = || token.clone();
        let other =
            v1::ListContractsRequest { right: 1, page_token: page_token(), ..asked.clone() };
        check(epochs.list_contracts(other).await, &says);
        let other =
            v1::ListEpochsRequest { symbol: spx(), page_token: page_token(), ..Default::default() };
        check(epochs.list_epochs(other).await, &says);
        let other = v1::ListContractHistoryRequest {
            ticker: "O:X".into(),
            page_token: page_token(),
            ..Default::default()
        };
        check(epochs.list_contract_history(other).await, &says);
        let other = v1::ListArtifactsRequest { page_token: page_token(), ..Default::default() };
        check(artifacts.list_artifacts(other).await, &says);
        let other = v1::ListDaysRequest { page_token: page_token(), ..Default::default() };
        check(journal.list_days(other).await, &says);
        let other = v1::ListGapsRequest { page_token: page_token(), ..Default::default() };
        check(journal.list_gaps(other).await, &says);
        let other = v1::ListQuarantineRequest { page_token: page_token(), ..Default::default() };
        check(journal.list_quarantine(other).await, &says);
        let other = v1::ListAnnotationsRequest { page_token: page_token(), ..Default::default() };
        check(annotations.list_annotations(other).await, &says);
    }
    let negative = v1::ListDaysRequest { page_size: -1, ..Default::default() };
    check(journal.list_days(negative).await, &Says::Field("page_size"));
}

#[test]
fn every_question_that_cannot_be_answered_is_refused_precisely() {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1", "--json"]).expect(0);
    let live = Live::start(&orrery, &[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let channel = Channel::from_shared(live.url.clone()).expect("an address");
        let channel = channel.connect().await.expect("a connection");
        moments(&channel).await;
        names(&channel).await;
        ranges(&channel).await;
        tokens(&channel).await;
    });
    assert_eq!(live.terminate(), 0);
}
