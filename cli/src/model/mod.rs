//! `model`: set a model up, or look into one.

mod drawing;
mod import;
mod inspect;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::ModelCommand;

/// Runs `model import` or `model inspect`.
pub fn model(command: &ModelCommand) -> Result<ExitCode> {
    match command {
        ModelCommand::Import(args) => import::import(args)?,
        ModelCommand::Inspect(args) => inspect::inspect(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
