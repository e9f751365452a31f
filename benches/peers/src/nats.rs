//! NATS JetStream, one stream on files, every publish acknowledged, 2,000 under
//! way; replay by an ordered consumer. The bench has started the server.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Instant;

use async_nats::jetstream::{consumer::pull, stream};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::Run;
use crate::fold::Fold;
use crate::tick::Tick;

const UNDER_WAY: usize = 2_000;

/// Append and replay against the server at a port.
pub fn run(port: u16, ticks: &[Tick]) -> Result<Run, Box<dyn Error>> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(exchange(port, ticks))
}

async fn exchange(port: u16, ticks: &[Tick]) -> Result<Run, Box<dyn Error>> {
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
    let context = async_nats::jetstream::new(client);
    let stream = context
        .create_stream(stream::Config {
            name: "TICKS".into(),
            subjects: vec!["t.*".into()],
            storage: stream::StorageType::File,
            ..stream::Config::default()
        })
        .await?;
    let start = Instant::now();
    let mut acks = VecDeque::new();
    for tick in ticks {
        let payload = Bytes::copy_from_slice(&tick.row());
        acks.push_back(context.publish("t.q", payload).await?);
        if acks.len() >= UNDER_WAY {
            for ack in acks.drain(..UNDER_WAY / 2) {
                ack.await?;
            }
        }
    }
    for ack in acks {
        ack.await?;
    }
    let append = start.elapsed().as_secs_f64();

    let mut fold = Fold::default();
    let start = Instant::now();
    let consumer = stream.create_consumer(pull::OrderedConfig::default()).await?;
    let mut messages = consumer.messages().await?;
    for _ in 0..ticks.len() {
        let message = messages.next().await.ok_or("the stream ended early")??;
        fold.tick(&Tick::from_row(message.payload.as_ref().try_into()?));
    }
    let replay = start.elapsed().as_secs_f64();
    let n = ticks.len() as f64;
    Ok(Run { append: n / append, replay: n / replay, bytes: None, digest: fold.digest() })
}
