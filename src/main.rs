//! Parse, run, turn the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use provision::cli::{self, args::Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli::before_anything_opens(&cli);
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("PROVISION_LOG"))
        .with_writer(std::io::stderr)
        .init();
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(cli::main(cli)),
        Err(error) => {
            tracing::error!(%error, "no runtime");
            ExitCode::FAILURE
        }
    }
}
