//! `kubectl bt`: see [`bt_operator::plugin`].

use std::process::ExitCode;

use bt_operator::plugin::Cli;
use clap::Parser;

fn main() -> ExitCode {
    bt_operator::plugin::main(Cli::parse())
}
