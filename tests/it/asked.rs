//! gRPC over the real house: a served journal is asked for epochs, planes,
//! artifacts and a replay.

use orrery_proto::v1;
use orrery_proto::v1::artifact_service_client::ArtifactServiceClient;
use orrery_proto::v1::epoch_service_client::EpochServiceClient;
use orrery_proto::v1::replay_service_client::ReplayServiceClient;
use tonic::Code;

use crate::live::Live;
use crate::support::Orrery;

fn as_of(seq: u64) -> Option<v1::AsOf> {
    Some(v1::AsOf { bound: Some(v1::as_of::Bound::Seq(seq)) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_answers_over_grpc() {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1"]).expect(0);
    let told = orrery.run(&["epochs", "--json"]).expect(0).json();
    let live = Live::start(&orrery, &[]);
    assert_eq!(live.get("/readyz").0, 200, "what is recorded has been folded");
    let channel = tonic::transport::Endpoint::new(live.url.clone())
        .expect("an address")
        .connect()
        .await
        .expect("a connection");

    let mut epochs = EpochServiceClient::new(channel.clone());
    let listed = epochs
        .list_epochs(v1::ListEpochsRequest { symbol: "SPX".into(), ..Default::default() })
        .await
        .expect("epochs")
        .into_inner();
    let ids: Vec<&str> = listed.epochs.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(ids.len(), 2);
    for id in told.as_array().expect("a list").iter().filter_map(|e| e["id"].as_str()) {
        assert!(ids.contains(&id), "{id} in {ids:?}");
    }

    // The plane of the first epoch, as of a moment in its life.
    let born = told[0]["born_seq"].as_u64().expect("a seq");
    let first = told[0]["id"].as_str().expect("an id");
    let request = v1::ListContractsRequest {
        symbol: "SPX".into(),
        strikes: Some(v1::Range { min: Some(6_500.0), max: Some(6_550.0) }),
        as_of: as_of(born + 2_000),
        page_size: 1_000,
        ..Default::default()
    };
    let plane = epochs.list_contracts(request).await.expect("contracts").into_inner();
    assert_eq!(plane.epoch_id, first);
    assert!(!plane.contracts.is_empty());
    assert!(plane.contracts.iter().all(|c| (6_500.0..=6_550.0).contains(&c.strike)));
    assert!(plane.contracts.iter().any(|c| c.bid.is_some()), "ticks and chain are in the plane");
    let active = v1::GetActiveEpochRequest { symbol: "SPX".into(), as_of: as_of(born + 2_000) };
    let active = epochs.get_active_epoch(active).await.expect("an epoch").into_inner();
    assert_eq!(active.epoch.expect("an epoch").id, first);
    let unknown = v1::ListEpochsRequest { symbol: "NOPE".into(), ..Default::default() };
    assert_eq!(epochs.list_epochs(unknown).await.expect_err("unknown").code(), Code::NotFound);

    let mut artifacts = ArtifactServiceClient::new(channel.clone());
    let newest =
        v1::GetArtifactRequest { symbol: "SPX".into(), family: "gex".into(), ..Default::default() };
    let newest = artifacts.get_artifact(newest).await.expect("an artifact").into_inner();
    let newest = newest.artifact.expect("an artifact");
    let header = newest.header.expect("a header");
    assert_eq!(blake3::hash(&newest.body).to_hex().as_str(), header.content);
    let earlier = v1::GetArtifactRequest {
        symbol: "SPX".into(),
        family: "gex".into(),
        which: Some(v1::get_artifact_request::Which::AsOf(as_of(born + 5_000).expect("a bound"))),
        ..Default::default()
    };
    let earlier = artifacts.get_artifact(earlier).await.expect("an artifact").into_inner();
    let earlier = earlier.artifact.and_then(|a| a.header).expect("a header");
    assert!(earlier.seq_last <= born + 5_000 && earlier.version < header.version);

    let mut replays = ReplayServiceClient::new(channel);
    let day = v1::Date { year: 2026, month: 3, day: 16 };
    let started = v1::StartReplayRequest { day: Some(day), threads: 2 };
    let started = replays.start_replay(started).await.expect("a replay").into_inner();
    let replay_id = started.replay.expect("a replay").replay_id;
    let mut watched = replays
        .watch_replay(v1::WatchReplayRequest { replay_id })
        .await
        .expect("a stream")
        .into_inner();
    let mut last = None;
    while let Some(told) = watched.message().await.expect("the stream goes on") {
        last = told.replay;
    }
    let last = last.expect("an end");
    assert_eq!(last.state, v1::ReplayState::Identical as i32, "{last:?}");
    assert!(last.artifacts > 100 && last.events == last.events_total, "{last:?}");
    assert_eq!(live.terminate(), 0);
}
