//! Sessions in the schema's words, and back.

use std::time::Duration;

use orrery_journal::units::{Address, NANOS_PER_SECOND, RecvTime, Seq};
use orrery_proto::v1;
use orrery_proto::v1::as_of::Bound;
use orrery_proto::v1::session_speed::Speed as Said;
use orrery_replay::session::{GAP_CAP_MAX, Moment, Speed, Unit};
use tonic::{Code, Status};

use super::{BranchOrder, Command, SeekTo, SessionOrder, SessionView, Shows, Standing};
use crate::control::convert::{date, name, recv_time, timestamp, trading_day};
use crate::control::events::{Edge, filter, filter_message, nanos};
use crate::control::status::{invalid, refusal};

/// Names that a list of symbols, families or profiles may have.
const NAMES_MAX: usize = 64;
/// Units of one step.
const STEPS_MAX: u32 = 100_000;
/// The longest idle timeout.
const IDLE_MAX: Duration = Duration::from_secs(86_400);

/// The order of a request.
pub fn order(said: v1::CreateSessionRequest) -> Result<SessionOrder, Status> {
    let order = SessionOrder {
        day: said.day.map(|day| trading_day("day", Some(day))).transpose()?,
        from: edge("from", said.from)?,
        to: edge("to", said.to)?,
        shows: shows(said.symbols, said.families)?,
        profiles: names("profiles", said.profiles)?,
        only: filter(said.only)?,
        without: filter(said.without)?,
        speed: speed(said.speed)?.unwrap_or_default(),
        gap_cap: said.gap_cap.map(gap_cap).transpose()?.flatten(),
        play: said.play,
        publish: said.publish,
        idle: said.idle_timeout.map(idle).transpose()?,
    };
    if order.day.is_none() && order.from.is_none() && order.to.is_none() {
        return Err(invalid("day", "must be given, or from, or to"));
    }
    Ok(order)
}

/// An order on the wire.
pub fn order_message(order: &SessionOrder) -> v1::CreateSessionRequest {
    let SessionOrder { shows, only, without, .. } = order.clone();
    let edge = |edge: Option<Edge>| {
        edge.map(|edge| match edge {
            Edge::Seq(seq) => v1::AsOf { bound: Some(Bound::Seq(seq.0)) },
            Edge::Time(time) => v1::AsOf { bound: Some(Bound::Time(timestamp(time))) },
        })
    };
    v1::CreateSessionRequest {
        day: order.day.and_then(date),
        from: edge(order.from),
        to: edge(order.to),
        symbols: shows.symbols,
        families: shows.families,
        profiles: order.profiles.clone(),
        only: Some(filter_message(&only)),
        without: Some(filter_message(&without)),
        speed: Some(speed_message(order.speed)),
        gap_cap: order.gap_cap.map(duration),
        play: order.play,
        publish: order.publish,
        idle_timeout: order.idle.and_then(|idle| prost_types::Duration::try_from(idle).ok()),
    }
}

/// The branch of a request.
pub fn branch(said: v1::BranchSessionRequest) -> Result<BranchOrder, Status> {
    Ok(BranchOrder {
        profiles: names("profiles", said.profiles)?,
        only: filter(said.only)?,
        without: filter(said.without)?,
        publish: said.publish,
    })
}

/// A branch on the wire.
pub fn branch_message(id: &str, order: &BranchOrder) -> v1::BranchSessionRequest {
    v1::BranchSessionRequest {
        session_id: id.to_owned(),
        profiles: order.profiles.clone(),
        only: Some(filter_message(&order.only)),
        without: Some(filter_message(&order.without)),
        publish: order.publish,
    }
}

/// The step of a request.
pub fn step(said: &v1::StepSessionRequest) -> Result<Command, Status> {
    let unit = match said.unit() {
        v1::StepUnit::Event => Unit::Event,
        v1::StepUnit::Frame => Unit::Frame,
        v1::StepUnit::Timer => Unit::Timer,
        v1::StepUnit::Artifact => Unit::Artifact,
        v1::StepUnit::Unspecified => {
            return Err(invalid("unit", "is event, frame, timer or artifact"));
        }
    };
    if said.count > STEPS_MAX {
        return Err(invalid("count", &format!("{STEPS_MAX} at most")));
    }
    let list = |name: &str| if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
    Ok(Command::Step(unit, said.count.max(1), shows(list(&said.symbol), list(&said.family))?))
}

/// A step on the wire.
pub fn step_message(id: &str, unit: Unit, count: u32, shows: &Shows) -> v1::StepSessionRequest {
    let unit = match unit {
        Unit::Event => v1::StepUnit::Event,
        Unit::Frame => v1::StepUnit::Frame,
        Unit::Timer => v1::StepUnit::Timer,
        Unit::Artifact => v1::StepUnit::Artifact,
    };
    v1::StepSessionRequest {
        session_id: id.to_owned(),
        unit: unit.into(),
        count,
        symbol: shows.symbols.first().cloned().unwrap_or_default(),
        family: shows.families.first().cloned().unwrap_or_default(),
    }
}

/// The seek of a request.
pub fn seek(said: v1::SeekSessionRequest) -> Result<Command, Status> {
    use v1::seek_session_request::Target;
    let landmark = |tag: i32| match v1::Landmark::try_from(tag) {
        Ok(v1::Landmark::Opening) => Ok(SeekTo::Opening),
        Ok(v1::Landmark::NextEpochChange) => Ok(SeekTo::NextEpoch),
        Ok(v1::Landmark::NextGap) => Ok(SeekTo::NextGap),
        Ok(v1::Landmark::NextFlipCrossing) => Ok(SeekTo::NextFlip),
        Ok(v1::Landmark::Unspecified) | Err(_) => Err(invalid("landmark", "is none that there is")),
    };
    Ok(Command::Seek(match said.target {
        None => return Err(invalid("target", "must be given")),
        Some(Target::Seq(seq)) => SeekTo::Seq(Seq(seq)),
        Some(Target::Time(time)) => SeekTo::Time(recv_time("time", time)?),
        Some(Target::Landmark(tag)) => landmark(tag)?,
        Some(Target::Artifact(next)) => {
            let family = name("artifact.family", &next.family)?.to_owned();
            let symbols = if next.symbol.is_empty() { Vec::new() } else { vec![next.symbol] };
            SeekTo::NextArtifact(shows(symbols, vec![family])?)
        }
    }))
}

/// A seek on the wire.
pub fn seek_message(id: &str, to: &SeekTo) -> v1::SeekSessionRequest {
    use v1::seek_session_request::Target;
    let landmark = |landmark: v1::Landmark| Target::Landmark(landmark.into());
    let target = match to {
        SeekTo::Opening => landmark(v1::Landmark::Opening),
        SeekTo::Seq(seq) => Target::Seq(seq.0),
        SeekTo::Time(time) => Target::Time(timestamp(*time)),
        SeekTo::NextEpoch => landmark(v1::Landmark::NextEpochChange),
        SeekTo::NextGap => landmark(v1::Landmark::NextGap),
        SeekTo::NextFlip => landmark(v1::Landmark::NextFlipCrossing),
        SeekTo::NextArtifact(shows) => Target::Artifact(v1::NextArtifact {
            symbol: shows.symbols.first().cloned().unwrap_or_default(),
            family: shows.families.first().cloned().unwrap_or_default(),
        }),
    };
    v1::SeekSessionRequest { session_id: id.to_owned(), target: Some(target) }
}

/// Speed and gap cap of a request.
pub fn speeds(said: v1::SetSessionSpeedRequest) -> Result<Command, Status> {
    Ok(Command::Speed(speed(said.speed)?, said.gap_cap.map(gap_cap).transpose()?))
}

/// Speed and gap cap on the wire.
pub fn speeds_message(
    id: &str,
    speed: Option<Speed>,
    gap_cap: Option<Option<i64>>,
) -> v1::SetSessionSpeedRequest {
    v1::SetSessionSpeedRequest {
        session_id: id.to_owned(),
        speed: speed.map(speed_message),
        gap_cap: gap_cap.map(|cap| duration(cap.unwrap_or_default())),
    }
}

fn speed(said: Option<v1::SessionSpeed>) -> Result<Option<Speed>, Status> {
    match said.and_then(|s| s.speed) {
        None => Ok(None),
        Some(Said::Unpaced(true)) => Ok(Some(Speed::Max)),
        Some(Said::Unpaced(false)) => Err(invalid("speed.unpaced", "is true or left out")),
        Some(Said::Times(times)) => {
            let speed = Speed::times(times);
            speed.map(Some).map_err(|e| invalid("speed.times", &e.to_string()))
        }
    }
}

fn speed_message(speed: Speed) -> v1::SessionSpeed {
    let said = speed.factor().map_or(Said::Unpaced(true), Said::Times);
    v1::SessionSpeed { speed: Some(said) }
}

/// 0 caps nothing.
fn gap_cap(said: prost_types::Duration) -> Result<Option<i64>, Status> {
    let cap = nanos("gap_cap", said)?;
    if cap > GAP_CAP_MAX {
        return Err(invalid("gap_cap", "7 days at most"));
    }
    Ok((cap > 0).then_some(cap))
}

fn idle(said: prost_types::Duration) -> Result<Duration, Status> {
    let idle = Duration::try_from(said).ok().filter(|d| !d.is_zero() && *d <= IDLE_MAX);
    idle.ok_or_else(|| invalid("idle_timeout", "lies above 0 and is a day at most"))
}

fn duration(nanos: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: nanos / NANOS_PER_SECOND,
        nanos: i32::try_from(nanos % NANOS_PER_SECOND).unwrap_or_default(),
    }
}

fn edge(field: &str, said: Option<v1::AsOf>) -> Result<Option<Edge>, Status> {
    Ok(match said.and_then(|s| s.bound) {
        None => None,
        Some(Bound::Seq(0)) => return Err(invalid(field, "the first event is 1")),
        Some(Bound::Seq(seq)) => Some(Edge::Seq(Seq(seq))),
        Some(Bound::Time(time)) => Some(Edge::Time(recv_time(field, time)?)),
    })
}

fn names(field: &str, said: Vec<String>) -> Result<Vec<String>, Status> {
    if said.len() > NAMES_MAX {
        return Err(invalid(field, &format!("{NAMES_MAX} at most")));
    }
    for text in &said {
        name(field, text)?;
    }
    Ok(said)
}

/// What is told, of a request.
pub fn shows(symbols: Vec<String>, families: Vec<String>) -> Result<Shows, Status> {
    Ok(Shows { symbols: names("symbols", symbols)?, families: names("families", families)? })
}

/// A moment on the wire.
pub fn moment(at: Moment) -> v1::Moment {
    let time = (at.time > RecvTime(i64::MIN)).then(|| timestamp(at.time));
    v1::Moment { seq: at.seq.0, time }
}

/// A moment from the wire.
pub fn moment_said(said: Option<v1::Moment>) -> Result<Moment, Status> {
    let said = said.unwrap_or_default();
    let time = said.time.map(|t| recv_time("time", t)).transpose()?;
    Ok(Moment { seq: Seq(said.seq), time: time.unwrap_or(RecvTime(i64::MIN)) })
}

/// A session on the wire.
pub fn session(view: SessionView) -> v1::ReplaySession {
    use v1::SessionState as State;
    let error = match &view.standing {
        Standing::Failed(why) => why.clone(),
        _ => String::new(),
    };
    let state = match view.standing {
        Standing::Warming => State::Warming,
        Standing::Paused => State::Paused,
        Standing::Playing => State::Playing,
        Standing::Ended => State::Ended,
        Standing::Failed(_) => State::Failed,
        Standing::Closed => State::Closed,
        Standing::Expired => State::Expired,
    };
    v1::ReplaySession {
        session_id: view.id,
        state: state.into(),
        error,
        first_seq: view.first.0,
        last_seq: view.last.0,
        end_time: Some(timestamp(view.end)),
        position: Some(moment(view.at)),
        speed: Some(speed_message(view.speed)),
        gap_cap: view.gap_cap.map(duration),
        symbols: view.shows.symbols,
        families: view.shows.families,
        profiles: view.profiles,
        configuration: view.configuration.to_string(),
        origin_id: view.origin.unwrap_or_default(),
        publish_prefix: view.prefix.unwrap_or_default(),
        watchers: view.watchers,
        last_number: view.last_number,
        folded_events: view.folded,
        idle_timeout: prost_types::Duration::try_from(view.idle).ok(),
    }
}

/// A session from the wire.
pub fn view(said: Option<v1::ReplaySession>) -> Result<SessionView, Status> {
    use v1::SessionState as State;
    let said = said.ok_or_else(|| refusal(Code::Internal, "NO_SESSION", "no session was told"))?;
    let standing = match said.state() {
        State::Warming => Standing::Warming,
        State::Playing => Standing::Playing,
        State::Ended => Standing::Ended,
        State::Failed => Standing::Failed(said.error.clone()),
        State::Closed => Standing::Closed,
        State::Expired => Standing::Expired,
        State::Paused | State::Unspecified => Standing::Paused,
    };
    let some = |text: String| if text.is_empty() { None } else { Some(text) };
    Ok(SessionView {
        id: said.session_id,
        standing,
        first: Seq(said.first_seq),
        last: Seq(said.last_seq),
        end: said.end_time.map(|t| recv_time("end_time", t)).transpose()?.unwrap_or_default(),
        at: moment_said(said.position)?,
        speed: speed(said.speed)?.unwrap_or_default(),
        gap_cap: said.gap_cap.map(gap_cap).transpose()?.flatten(),
        shows: Shows { symbols: said.symbols, families: said.families },
        profiles: said.profiles,
        configuration: Address::parse(&said.configuration).unwrap_or_default(),
        origin: some(said.origin_id),
        prefix: some(said.publish_prefix),
        watchers: said.watchers,
        last_number: said.last_number,
        folded: said.folded_events,
        idle: said.idle_timeout.and_then(|d| Duration::try_from(d).ok()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use orrery_journal::event::Kind;
    use orrery_journal::units::TradingDay;

    use super::*;
    use crate::control::events::EventFilter;

    #[test]
    fn orders_and_commands_say_the_same_on_both_sides() {
        let tickers = EventFilter { kinds: vec![Kind::Quote], tickers: vec!["SPY".into()] };
        let asked = SessionOrder {
            day: TradingDay::parse("2015-12-24"),
            from: Some(Edge::Seq(Seq(7))),
            to: Some(Edge::Time(RecvTime(1_450_967_280_000_000_001))),
            shows: Shows { symbols: vec!["SPX".into()], families: vec!["gex".into()] },
            profiles: vec!["gex/inverse-oi@1".into()],
            only: EventFilter::default(),
            without: tickers.clone(),
            speed: Speed::times(2.5).expect("a speed"),
            gap_cap: Some(5_000_000_001),
            play: true,
            publish: true,
            idle: Some(Duration::from_millis(1_500)),
        };
        assert_eq!(order(order_message(&asked)).expect("in order"), asked);
        let asked = BranchOrder { without: tickers, publish: true, ..BranchOrder::default() };
        assert_eq!(branch(branch_message("s", &asked)).expect("in order"), asked);
        let family = Shows { symbols: Vec::new(), families: vec!["gex".into()] };
        for unit in [Unit::Event, Unit::Frame, Unit::Timer, Unit::Artifact] {
            let said = step(&step_message("s", unit, 9, &family)).expect("in order");
            assert_eq!(said, Command::Step(unit, 9, family.clone()));
        }
        for to in [
            SeekTo::Opening,
            SeekTo::Seq(Seq(3)),
            SeekTo::Time(RecvTime(5)),
            SeekTo::NextEpoch,
            SeekTo::NextGap,
            SeekTo::NextFlip,
            SeekTo::NextArtifact(family),
        ] {
            assert_eq!(seek(seek_message("s", &to)).expect("in order"), Command::Seek(to));
        }
        for (speed, cap) in [(None, None), (Some(Speed::Max), Some(None)), (None, Some(Some(7)))] {
            let said = speeds(speeds_message("s", speed, cap)).expect("in order");
            assert_eq!(said, Command::Speed(speed, cap));
        }
    }

    #[test]
    fn a_session_says_the_same_on_both_sides() {
        for standing in [
            Standing::Warming,
            Standing::Paused,
            Standing::Playing,
            Standing::Ended,
            Standing::Failed("why".into()),
            Standing::Closed,
            Standing::Expired,
        ] {
            let told = SessionView {
                id: "session-3".into(),
                standing,
                first: Seq(5),
                last: Seq(9),
                end: RecvTime(99),
                at: Moment { seq: Seq(4), time: RecvTime(i64::MIN) },
                speed: Speed::Max,
                gap_cap: Some(1),
                shows: Shows::default(),
                profiles: vec!["gex/naive-oi@1".into()],
                configuration: Address::of(b"all"),
                origin: Some("session-1".into()),
                prefix: None,
                watchers: 2,
                last_number: 77,
                folded: 1_000,
                idle: Duration::from_secs(5),
            };
            assert_eq!(view(Some(session(told.clone()))).expect("in order"), told);
        }
    }

    #[test]
    fn absurd_requests_are_refused_by_field() {
        let day = Some(v1::Date { year: 2015, month: 12, day: 24 });
        let base = v1::CreateSessionRequest { day, ..Default::default() };
        let times = |times| Some(v1::SessionSpeed { speed: Some(Said::Times(times)) });
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let cases = [
            ("day", v1::CreateSessionRequest { day: None, ..base.clone() }),
            ("speed.times", v1::CreateSessionRequest { speed: times(1e9), ..base.clone() }),
            ("speed.times", v1::CreateSessionRequest { speed: times(f64::NAN), ..base.clone() }),
            ("gap_cap", v1::CreateSessionRequest { gap_cap: seconds(-1), ..base.clone() }),
            ("gap_cap", v1::CreateSessionRequest { gap_cap: seconds(1 << 40), ..base.clone() }),
            ("idle_timeout", v1::CreateSessionRequest { idle_timeout: seconds(0), ..base.clone() }),
            ("families", v1::CreateSessionRequest { families: vec!["".into()], ..base.clone() }),
            ("symbols", v1::CreateSessionRequest { symbols: vec!["S".into(); 65], ..base }),
        ];
        for (field, request) in cases {
            let refused = order(request).expect_err(field);
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert!(refused.message().starts_with(field), "{field}: {}", refused.message());
        }
        assert!(seek(v1::SeekSessionRequest::default()).is_err());
        assert!(step(&v1::StepSessionRequest::default()).is_err());
        let many = step_message("s", Unit::Event, 100_001, &Shows::default());
        assert!(step(&many).is_err());
    }
}
