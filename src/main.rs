//! The command `toritsugi`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
