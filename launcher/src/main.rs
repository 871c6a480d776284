//! The `pxrun` command.

fn main() -> std::process::ExitCode {
    pxrun::main()
}
