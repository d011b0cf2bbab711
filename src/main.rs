//! doorcode.

use clap::Parser;
use doorcode::{cli::Cli, commands};
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Many small allocations on one thread, freed on another: glibc's allocator took a fifth of the processor time of a login.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(io::stdout());
    let done = commands::run(cli, &mut out).await;
    match done.and(out.flush().map_err(Into::into)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be gone too; the exit code says it then.
            let _ = writeln!(io::stderr(), "{}", error.report());
            error.exit().into()
        }
    }
}
