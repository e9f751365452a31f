//! What cannot be done is refused precisely, over the wire.

use orrery::backend::sessions::Limits;
use orrery::gateway::LIMITS;
use orrery_proto::v1;
use orrery_proto::v1::as_of::Bound;
use orrery_proto::v1::replay_session_service_client::ReplaySessionServiceClient;
use orrery_proto::v1::seek_session_request::Target;
use orrery_proto::v1::session_speed::Speed as Said;
use orrery_proto::v1::watch_session_response::Event;
use prost_types::Timestamp;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{archive, keeper};
use crate::served::Served;

type Client = ReplaySessionServiceClient<Channel>;

async fn client(served: &Served) -> Client {
    let channel = Channel::from_shared(served.url("")).expect("an address");
    Client::new(channel.connect().await.expect("a connection"))
}

fn seq(seq: u64) -> Option<v1::AsOf> {
    Some(v1::AsOf { bound: Some(Bound::Seq(seq)) })
}

fn time(seconds: i64) -> Option<v1::AsOf> {
    Some(v1::AsOf { bound: Some(Bound::Time(Timestamp { seconds, nanos: 0 })) })
}

/// Code, reason and what the sentence must say.
fn check(refused: &Status, code: Code, reason: &str, words: &[&str]) {
    let info = refused.get_details_error_info();
    let got = info.as_ref().map(|i| (i.reason.as_str(), i.domain.as_str()));
    assert_eq!((refused.code(), got), (code, Some((reason, "orrery"))), "{refused}");
    for word in words {
        assert!(refused.message().contains(word), "{word}: {}", refused.message());
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let sessions = keeper(Limits { sessions: 2, ..Limits::default() });
    let served = Served::over(LIMITS, sessions.clone());
    let head = archive().journal().head();
    served.runtime.block_on(async {
        let mut client = client(&served).await;
        let whole = v1::CreateSessionRequest { from: seq(1), ..Default::default() };
        let days = time(head.recv.seconds() - 86_400);
        let cases: Vec<(v1::CreateSessionRequest, Code, &str, &[&str])> = vec![
            (Default::default(), Code::InvalidArgument, "INVALID_FIELD", &["day", "from", "to"]),
            (
                v1::CreateSessionRequest { to: seq(5), from: seq(9), ..Default::default() },
                Code::InvalidArgument,
                "INVALID_FIELD",
                &["event 5", "event 9"],
            ),
            (
                v1::CreateSessionRequest { from: days, ..Default::default() },
                Code::OutOfRange,
                "OUTSIDE_OF_JOURNAL",
                &["events 1 to", "2026-03-16T14:30:00"],
            ),
            (
                v1::CreateSessionRequest { from: seq(head.seq.0 + 1), ..Default::default() },
                Code::OutOfRange,
                "OUTSIDE_OF_JOURNAL",
                &["event"],
            ),
            (
                v1::CreateSessionRequest {
                    day: Some(v1::Date { year: 2015, month: 12, day: 24 }),
                    ..Default::default()
                },
                Code::NotFound,
                "UNKNOWN_DAY",
                &["day 2015-12-24"],
            ),
            (
                v1::CreateSessionRequest {
                    speed: Some(v1::SessionSpeed { speed: Some(Said::Times(1e12)) }),
                    ..whole.clone()
                },
                Code::InvalidArgument,
                "INVALID_FIELD",
                &["speed.times", "0.1 to 100000"],
            ),
            (
                v1::CreateSessionRequest { families: vec!["gecks".into()], ..whole.clone() },
                Code::NotFound,
                "UNKNOWN_FAMILY",
                &["gecks", "gex", "heatmap"],
            ),
            (
                v1::CreateSessionRequest { profiles: vec!["gex/best@1".into()], ..whole.clone() },
                Code::NotFound,
                "UNKNOWN_PROFILE",
                &["gex/best@1", "gex/naive-oi@1"],
            ),
            (
                v1::CreateSessionRequest {
                    without: Some(v1::EventFilter {
                        tickers: vec!["NOPE".into()],
                        ..Default::default()
                    }),
                    ..whole.clone()
                },
                Code::NotFound,
                "UNKNOWN_INSTRUMENT",
                &["instrument NOPE"],
            ),
            (
                v1::CreateSessionRequest { publish: true, ..whole.clone() },
                Code::FailedPrecondition,
                "PRECONDITION",
                &["--redis"],
            ),
        ];
        for (request, code, reason, words) in cases {
            let refused = client.create_session(request).await.expect_err(reason);
            check(&refused, code, reason, words);
        }
        let listed = client.list_sessions(v1::ListSessionsRequest {}).await.expect("a list");
        assert!(listed.into_inner().sessions.is_empty(), "what was refused left nothing");

        let created = client.create_session(whole.clone()).await.expect("a session");
        let id = created.into_inner().session.expect("told").session_id;
        let nowhere = v1::GetSessionRequest { session_id: "session-77".into() };
        let refused = client.get_session(nowhere).await.expect_err("unknown");
        check(&refused, Code::NotFound, "UNKNOWN_SESSION", &["session-77"]);
        let seek = |target| v1::SeekSessionRequest { session_id: id.clone(), target };
        let early = Some(Target::Time(Timestamp { seconds: 1, nanos: 0 }));
        let refused = client.seek_session(seek(early)).await.expect_err("too early");
        check(&refused, Code::OutOfRange, "OUTSIDE_OF_JOURNAL", &["for this session"]);
        let refused = client.seek_session(seek(Some(Target::Seq(u64::MAX)))).await;
        check(&refused.expect_err("too late"), Code::OutOfRange, "OUTSIDE_OF_JOURNAL", &["event"]);
        let nothing = v1::NextArtifact { symbol: String::new(), family: "nope".into() };
        let refused = client.seek_session(seek(Some(Target::Artifact(nothing)))).await;
        check(&refused.expect_err("unknown"), Code::NotFound, "UNKNOWN_FAMILY", &["nope"]);
        let end = seek(Some(Target::Seq(head.seq.0)));
        client.seek_session(end).await.expect("the end");
        let refused = client
            .seek_session(seek(Some(Target::Landmark(v1::Landmark::NextGap.into()))))
            .await
            .expect_err("no gap is left");
        check(&refused, Code::NotFound, "NONE_LEFT", &["gap"]);
        let play = v1::PlaySessionRequest { session_id: id.clone() };
        let refused = client.play_session(play).await.expect_err("at the end");
        check(&refused, Code::FailedPrecondition, "PRECONDITION", &["seek back"]);
        let watch = v1::WatchSessionRequest {
            session_id: id.clone(),
            after_number: Some(1 << 40),
            ..Default::default()
        };
        let refused = client.watch_session(watch).await.expect_err("not told yet");
        check(&refused, Code::InvalidArgument, "INVALID_FIELD", &["after_number", &id]);

        client.create_session(whole.clone()).await.expect("room for two");
        for _ in 2..1_000 {
            let refused = client.create_session(whole.clone()).await.expect_err("full");
            check(&refused, Code::ResourceExhausted, "TOO_MANY_SESSIONS", &["close one"]);
        }
    });
}

#[test]
fn a_stranger_plays_watches_and_closes_a_session() {
    let sessions = keeper(Limits::default());
    let served = Served::over(LIMITS, sessions.clone());
    served.runtime.block_on(async {
        let mut client = client(&served).await;
        let unpaced = Some(v1::SessionSpeed { speed: Some(Said::Unpaced(true)) });
        let order = v1::CreateSessionRequest { from: seq(1), speed: unpaced, ..Default::default() };
        let session = client.create_session(order).await.expect("a session").into_inner().session;
        let id = session.expect("told").session_id;
        let watch = |hold| v1::WatchSessionRequest {
            session_id: id.clone(),
            after_number: Some(0),
            symbols: vec!["SPX".into()],
            hold,
            ..Default::default()
        };
        // One that reads, and one that never does: it holds up nobody.
        let mut stream = client.watch_session(watch(true)).await.expect("a stream").into_inner();
        let mut lazy = client.watch_session(watch(false)).await.expect("a stream").into_inner();
        client
            .play_session(v1::PlaySessionRequest { session_id: id.clone() })
            .await
            .expect("it plays");
        let (mut last, mut artifacts, mut rounds) = (0, 0u64, 0);
        while rounds < 8 {
            let message = stream.message().await.expect("no error").expect("no end yet");
            if message.number > 0 {
                assert!(message.number > last, "{} after {last}", message.number);
                last = message.number;
            }
            match message.event.expect("an event") {
                Event::Artifact(made) => {
                    let (artifact, moment) = (made.artifact.expect("told"), made.moment);
                    let header = artifact.header.expect("told");
                    assert_eq!(header.symbol, "SPX");
                    assert_eq!(header.created_at, moment.expect("told").time);
                    assert_eq!(artifact.body.len() as u64, header.body_bytes);
                    artifacts += 1;
                }
                Event::Session(view) if view.state() == v1::SessionState::Ended => {
                    rounds += 1;
                    let opening = Some(Target::Landmark(v1::Landmark::Opening.into()));
                    let seek = v1::SeekSessionRequest { session_id: id.clone(), target: opening };
                    client.seek_session(seek).await.expect("back");
                    let play = v1::PlaySessionRequest { session_id: id.clone() };
                    client.play_session(play).await.expect("again");
                }
                Event::Lag(lag) => panic!("waited for, and missed {}", lag.missed),
                Event::Session(_) | Event::Heartbeat(_) => {}
            }
        }
        assert!(artifacts > 500, "{artifacts}");
        let close = v1::CloseSessionRequest { session_id: id.clone() };
        let closed = client.close_session(close).await.expect("closed").into_inner().session;
        assert_eq!(closed.expect("told").state(), v1::SessionState::Closed);
        // Both streams end, and the lazy one learns that it lagged.
        let (mut missed, mut told) = (0, None);
        while let Some(message) = lazy.message().await.expect("no error") {
            match message.event.expect("an event") {
                Event::Lag(lag) => missed += lag.missed,
                Event::Session(view) => told = Some(view.state()),
                _ => {}
            }
        }
        assert!(missed > 0, "a stream that was not read has lagged");
        assert_eq!(told, Some(v1::SessionState::Closed), "the end is told to it, too");
        while stream.message().await.expect("no error").is_some() {}
    });
}
