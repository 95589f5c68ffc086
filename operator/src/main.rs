//! The program: `proofmill-operator --worker-image IMAGE ..`.

use clap::Parser;
use proofmill_operator::{run, settings::Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(Settings::parse()).await
}
