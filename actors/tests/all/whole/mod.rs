//! The whole pipeline under its supervisor: a real broker, a real PostgreSQL, a real lake, and what the world does to them.

mod flows;
mod house;
mod troubles;

/// Runs a test on an actix system of its own.
fn in_system(test: impl Future<Output = ()>) {
    actix::System::new().block_on(test);
}
