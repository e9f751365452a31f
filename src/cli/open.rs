//! Opening a data directory, the same way for every command.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use orrery_journal::units::{RecvTime, Seq, TradingDay};
use orrery_journal::{Calendar, DaySummary, Journal, OpenError, OpenOptions, SyncMode, listening};
use orrery_replay::catch_up::CaughtUp;
use orrery_replay::derived::Derived;

use super::{Common, output, parameters};
use crate::backend::Archive;
use crate::control::client::Client;
use crate::control::client::way::{Bearer, Way};
use crate::control::events::Edge;
use crate::models::parameters::Parameters;
use crate::world::MarketWorld;

/// A data directory: the truth, what is derived from it, and the definitions.
pub struct Data {
    /// What happened.
    pub journal: Journal,
    /// What follows from it.
    pub derived: Derived,
    /// By which definitions.
    pub world: Arc<MarketWorld>,
}

/// Opens the journal of an existing data directory.
///
/// # Errors
/// When there is none, or it does not open.
pub fn journal(common: &Common) -> anyhow::Result<Journal> {
    if !common.data_dir().join("journal").is_dir() {
        bail!(
            "{} holds no journal; `orrery import PATH...` or `orrery demo` makes one, --data names another",
            common.data_dir().display()
        );
    }
    open_journal(common, None, SyncMode::Group)
}

/// Opens an existing data directory.
///
/// # Errors
/// When there is none, or it does not open.
pub fn existing(common: &Common) -> anyhow::Result<Data> {
    with(common, journal(common)?)
}

/// Opens a data directory, or makes it.
///
/// # Errors
/// When it does not open.
pub fn or_create(
    common: &Common,
    calendar: Option<Calendar>,
    sync: SyncMode,
) -> anyhow::Result<Data> {
    std::fs::create_dir_all(common.data_dir())
        .with_context(|| format!("cannot make the data folder {}", common.data_dir().display()))?;
    with(common, open_journal(common, calendar, sync)?)
}

fn open_journal(
    common: &Common,
    calendar: Option<Calendar>,
    sync: SyncMode,
) -> anyhow::Result<Journal> {
    if unfinished(common.data_dir()).exists() {
        bail!(
            "{} is being restored, or a restore broke off: run `orrery restore` again",
            common.data_dir().display()
        );
    }
    let options = OpenOptions { calendar, sync };
    let journal = Journal::open(common.data_dir(), &options).map_err(|e| hint(common, e))?;
    journal.keep_free(common.disk_reserve);
    Ok(journal)
}

/// The file that is there while a data directory is being restored.
#[must_use]
pub fn unfinished(data: &Path) -> PathBuf {
    data.join("RESTORING")
}

/// Which server to ask.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Ask the server at this address instead of opening the data directory.
    /// Without it the server that holds the directory is asked, if one does.
    #[arg(long, visible_alias = "grpc", value_name = "ADDRESS")]
    connect: Option<String>,
    /// Show the server the token in this file, which holds nothing else.
    #[arg(long, env = "ORRERY_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Issuer of the certificate of a server that speaks TLS (PEM).
    #[arg(long, env = "ORRERY_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Our own certificate, for a server that asks for one (PEM).
    #[arg(long, env = "ORRERY_TLS_OWN_CERT", value_name = "FILE", requires = "tls_own_key")]
    tls_own_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, env = "ORRERY_TLS_OWN_KEY", value_name = "FILE", requires = "tls_own_cert")]
    tls_own_key: Option<PathBuf>,
}

impl Server {
    /// The way to the server that is meant.
    ///
    /// # Errors
    /// When none is named and none holds the data directory, or what it is to be
    /// shown cannot be read.
    pub fn address(&self, common: &Common) -> anyhow::Result<Way> {
        let found = self.connect.clone().or_else(|| listening(common.data_dir()));
        let address = found.with_context(|| {
            format!(
                "no server holds {}; `orrery serve` starts one, --connect names another",
                common.data_dir().display()
            )
        })?;
        self.way(address)
    }

    /// The way to an address, with what the server asks for.
    fn way(&self, address: String) -> anyhow::Result<Way> {
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let token = match &self.token_file {
            None => None,
            Some(path) => {
                let text = read(path)?;
                let text = String::from_utf8_lossy(&text);
                let token = Bearer::new(text.trim());
                Some(token.with_context(|| format!("{} holds no token", path.display()))?)
            }
        };
        let identity = match (&self.tls_own_cert, &self.tls_own_key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        let server_ca = self.tls_ca.as_ref().map(read).transpose()?;
        Ok(Way { address, token, server_ca, identity })
    }

    /// Whether a server was named.
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.connect.is_some()
    }
}

/// A journal within reach.
pub enum Reach {
    /// Opened by this process.
    Here(Journal),
    /// In the hands of a server.
    Server(Box<Client>),
}

/// Opens the journal, or finds the server that holds it.
///
/// # Errors
/// When there is no journal, or another process holds it that is no server.
pub fn reach(common: &Common, server: &Server) -> anyhow::Result<Reach> {
    if let Some(address) = &server.connect {
        return Ok(Reach::Server(Box::new(Client::connect(server.way(address.clone())?)?)));
    }
    let refused = match journal(common) {
        Ok(journal) => return Ok(Reach::Here(journal)),
        Err(refused) => refused,
    };
    let held = matches!(refused.downcast_ref(), Some(OpenError::Locked { .. }));
    match listening(common.data_dir()).filter(|_| held) {
        Some(address) => Ok(Reach::Server(Box::new(Client::connect(server.way(address)?)?))),
        None => Err(refused),
    }
}

/// Says where to read on when the data are the reason.
fn hint(common: &Common, refused: OpenError) -> anyhow::Error {
    let damaged = refused.is_damage();
    let refused = anyhow::Error::new(refused);
    match damaged {
        false => refused,
        true => refused.context(format!(
            "the journal was not opened; `orrery doctor --data {}` says all that is wrong and \
             what can be done",
            common.data_dir().display()
        )),
    }
}

pub fn with(common: &Common, journal: Journal) -> anyhow::Result<Data> {
    let derived = Derived::open(common.data_dir())?;
    let parameters = Parameters { calendar: journal.calendar(), ..parameters::read(common)? };
    let world = Arc::new(MarketWorld::new(parameters)?);
    Ok(Data { journal, derived, world })
}

impl Data {
    /// The archive over this data.
    #[must_use]
    pub fn into_archive(self, threads: u16) -> Archive {
        Archive::new(self.journal, self.derived, self.world, threads)
    }
}

/// An archive whose derived data stands at the journal's head.
///
/// # Errors
/// When the data does not open or cannot be folded.
pub fn archive(common: &Common) -> anyhow::Result<Archive> {
    let archive = existing(common)?.into_archive(common.threads);
    catch_up(&archive)?;
    Ok(archive)
}

/// Brings derived data to the journal's head, with a progress bar.
///
/// # Errors
/// When the journal or derived data is damaged.
pub fn catch_up(archive: &Archive) -> anyhow::Result<CaughtUp> {
    let bar = output::progress(archive.journal().head().seq.0, "folding");
    let caught_up = archive.catch_up(&mut |at| {
        bar.set_position(at.seq.0);
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    Ok(caught_up)
}

/// A day of the journal by its text.
///
/// # Errors
/// When the text is no date or the journal has no such day.
pub fn day(journal: &Journal, text: &str) -> anyhow::Result<DaySummary> {
    let day = TradingDay::parse(text)
        .with_context(|| format!("`{text}` is no date; write YYYY-MM-DD"))?;
    let days = journal.days()?;
    let known: Vec<String> = days.iter().map(|d| d.day.to_string()).collect();
    days.into_iter().find(|d| d.day == day).with_context(|| {
        format!(
            "the journal has no day {text}; it has {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )
    })
}

/// One end of a range on the command line: `seq:123`, a bare seq, or RFC 3339.
///
/// # Errors
/// When it is neither.
pub fn edge(text: &str) -> Result<Edge, String> {
    if let Ok(n) = text.strip_prefix("seq:").unwrap_or(text).parse::<u64>() {
        return Ok(Edge::Seq(Seq(n)));
    }
    RecvTime::parse_rfc3339(text).map(Edge::Time).ok_or_else(|| {
        "no moment; write a seq (`seq:1200`) or a time (`2015-12-24T15:30:00Z`)".to_owned()
    })
}

/// A moment on the command line: `seq:123`, a bare seq, or RFC 3339.
///
/// # Errors
/// When it is neither, or lies before the first event.
pub fn moment(journal: &Journal, text: Option<&str>) -> anyhow::Result<Seq> {
    let Some(text) = text else { return Ok(journal.head().seq) };
    let seq = match edge(text) {
        Ok(Edge::Seq(seq)) => seq,
        Ok(Edge::Time(time)) => journal.seq_at(time)?,
        Err(why) => bail!("`{text}` is {why}"),
    };
    if seq == Seq::BEFORE_FIRST {
        bail!("`{text}` lies before the first event");
    }
    if seq > journal.head().seq {
        bail!("`{text}` lies beyond the last event, {}", journal.head().seq);
    }
    Ok(seq)
}
