//! The language of `streams/*.toml`: what it accepts, and what it says when it does not.

use tributary_core::stream::{Stream, parse_all};

#[test]
fn the_built_in_stream_is_the_platform_s() {
    let s = Stream::builtin();
    println!("{s:#?}");
    assert_eq!(s.name, "user_events");
}

#[test]
fn the_example_beside_it_reads() {
    let orders = include_str!("../../examples/orders.toml");
    let user_events = include_str!("../../streams/user_events.toml");
    let streams = parse_all(&[("orders.toml", orders), ("user_events.toml", user_events)]).unwrap();
    assert_eq!(streams.len(), 2);
}
