//! Artifacts as rows: one for each version, header and body, and the tables that
//! bodies of some families fill.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use orrery_journal::units::TradingDay;
use orrery_replay::engine::Made;
use serde_json::Value;

use super::ExportError;
use super::files::{FileId, Files};
use super::flat;
use super::table::{Cell, Table, Type, always, optional};

/// A version: everything of its header but symbol and family, which are folders.
const ARTIFACT: Table = Table {
    name: "artifact",
    groups: &[&[
        always("version", Type::U64, ""),
        always("created_at", Type::Time, "ns since 1970-01-01 UTC"),
        always("made_at", Type::U64, ""),
        always("seq_first", Type::U64, ""),
        always("seq_last", Type::U64, ""),
        optional("epoch", Type::Text, ""),
        always("profile", Type::Text, ""),
        always("configuration", Type::Text, ""),
        always("content", Type::Text, ""),
        always("body_len", Type::U64, "bytes"),
        always("previous", Type::Text, ""),
        always("header", Type::Text, ""),
        optional("body", Type::Text, "JSON"),
    ]],
};

/// Symbol and family.
type Name = (Box<str>, Box<str>);

/// What is open of the day at hand.
#[derive(Default)]
pub(super) struct Artifacts {
    open: BTreeMap<(Name, &'static str), FileId>,
    /// The newest body of each family whose tables look back.
    before: BTreeMap<Name, Value>,
    /// Versions by family.
    pub(super) counts: BTreeMap<Box<str>, u64>,
}

impl Artifacts {
    /// The files of the day are closed.
    pub(super) fn end_of_day(&mut self) {
        self.open.clear();
    }

    pub(super) fn take(
        &mut self,
        made: &Made,
        day: TradingDay,
        files: &mut Files,
    ) -> Result<(), ExportError> {
        let header = &made.artifact.header;
        let name = (header.symbol.clone(), header.family.clone());
        *self.counts.entry(header.family.clone()).or_default() += 1;
        let file = self.file(&name, made, day, &ARTIFACT, files)?;
        let body = std::str::from_utf8(&made.artifact.body).ok();
        let row = [
            header.version.into(),
            header.created_at.into(),
            made.at.0.into(),
            header.seq_first.0.into(),
            header.seq_last.0.into(),
            header.epoch.map(|epoch| epoch.to_string()).into(),
            (&*header.profile).into(),
            header.configuration.to_string().into(),
            header.content.to_string().into(),
            header.body_len.into(),
            header.previous.to_string().into(),
            header.hash().to_string().into(),
            body.into(),
        ];
        files.row(file, &row)?;
        let tables = flat::of(&header.family);
        let parsed: Option<Value> = match (tables.is_empty(), body) {
            (false, Some(body)) => serde_json::from_str(body).ok(),
            _ => None,
        };
        let Some(parsed) = parsed else { return Ok(()) };
        for table in tables {
            let rows = table.rows(&parsed, self.before.get(&name));
            if rows.is_empty() {
                continue;
            }
            let file = self.file(&name, made, day, table.table, files)?;
            for row in rows {
                let mut cells: Vec<Cell<'_>> =
                    vec![header.version.into(), header.created_at.into(), header.seq_last.0.into()];
                cells.extend(row);
                files.row(file, &cells)?;
            }
        }
        if tables.iter().any(flat::Flat::looks_back) {
            self.before.insert(name, parsed);
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: &Name,
        made: &Made,
        day: TradingDay,
        table: &'static Table,
        files: &mut Files,
    ) -> Result<FileId, ExportError> {
        let key = (name.clone(), table.name);
        if let Some(file) = self.open.get(&key) {
            return Ok(*file);
        }
        let header = &made.artifact.header;
        let (symbol, family) = (folder_name(&name.0), folder_name(&name.1));
        let folder = match table.name {
            "artifact" => format!("artifacts/family={family}/symbol={symbol}/date={day}"),
            flat => format!("tables/table={flat}/family={family}/symbol={symbol}/date={day}"),
        };
        let own = [
            ("day", day.to_string()),
            ("symbol", name.0.to_string()),
            ("family", name.1.to_string()),
            ("profile", header.profile.to_string()),
        ];
        let file = files.begin(&folder, table, &own)?;
        self.open.insert(key, file);
        Ok(file)
    }
}

/// A name as readers of such folders take it back: what is no letter, digit,
/// `.`, `-` or `_` is written as `%` and its number.
fn folder_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'.' if out.is_empty() => out.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => out.push(byte.into()),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_of_their_folder() {
        for (name, folder) in [
            ("SPX", "SPX"),
            ("gex_naive_oi", "gex_naive_oi"),
            ("../x", "%2E.%2Fx"),
            ("ä", "%C3%A4"),
        ] {
            assert_eq!(folder_name(name), folder);
        }
    }
}
