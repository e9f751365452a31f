//! `orrery parameters`: the definitions and numbers that decide about output.

use anyhow::Context;
use clap::Args;

use super::exit::Exit;
use super::{Common, output};
use crate::models::parameters::Parameters as All;

/// Print every parameter of the models, and the hash that artifacts carry.
///
/// The output is a whole parameter file: change what should differ and give it
/// back with --parameters.
///
/// Example: orrery parameters > mine.json
#[derive(Debug, Args)]
pub struct Parameters {}

/// Runs the command.
///
/// # Errors
/// When the parameter file cannot be used.
pub fn run(common: &Common, _command: &Parameters) -> anyhow::Result<Exit> {
    let parameters = read(common)?;
    output::json(&parameters)?;
    if !common.json {
        eprintln!("configuration hash {}", parameters.hash());
    }
    Ok(Exit::Fine)
}

/// The parameters of a command line.
///
/// # Errors
/// When the file cannot be read, names what does not exist, or a value cannot be
/// used.
pub fn read(common: &Common) -> anyhow::Result<All> {
    let Some(path) = &common.parameters else { return Ok(All::default()) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the parameters in {}", path.display()))?;
    let parameters: All = serde_json::from_str(&text)
        .with_context(|| format!("the parameters in {} cannot be used", path.display()))?;
    parameters.check().with_context(|| format!("the parameters in {}", path.display()))?;
    Ok(parameters)
}
