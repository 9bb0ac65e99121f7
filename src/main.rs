//! The binary. Everything is in the library beside it, so that tests reach it.

use std::process::ExitCode;

/// Many short-lived buffers on many threads: measurably faster than the system's allocator, and it gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tributary::main()
}
