//! How fast records become batches, on one core: both parsers in turn over the same records, in one run.
//!
//! `cargo run --profile up -p tributary-core --example decode_bench -- [rounds]`

use std::sync::Arc;
use std::time::Instant;

use tributary_core::decode::{Decoder, Record};
use tributary_core::stream::Stream;

/// Rows of a batch, as the consumer cuts them.
const ROWS: usize = 32_768;
const EVENTS: usize = 1 << 20;

/// What a line of the output is about: its name, its records, its decoder.
type Way<'a> = (&'static str, &'a [String], fn(Arc<Stream>, i32) -> Decoder);

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5_usize);
    let usual: Vec<_> = (0..EVENTS).map(|n| event(n, "")).collect();
    let undeclared: Vec<_> =
        (0..EVENTS).map(|n| event(n, r#", "session": "9f2c", "experiment": {"id": 7, "arm": "b"}"#)).collect();
    let bytes: usize = usual.iter().map(String::len).sum();
    println!("{EVENTS} events of {} bytes, batches of {ROWS} rows, median of {rounds} rounds in turn", bytes / EVENTS);

    let stream = Arc::new(Stream::builtin());
    let ways: [Way<'_>; 4] = [
        ("usual events, fast", &usual, Decoder::new),
        ("usual events, reference", &usual, Decoder::reference),
        ("undeclared fields, fast", &undeclared, Decoder::new),
        ("undeclared fields, reference", &undeclared, Decoder::reference),
    ];
    let mut took = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (way, took) in ways.iter().zip(&mut took) {
            let mut decoder = way.2(Arc::clone(&stream), 1);
            let start = Instant::now();
            let mut ok = 0;
            for (n, payload) in way.1.iter().enumerate() {
                let record =
                    Record { partition: 0, offset: n as i64, timestamp_ms: Some(NOW_MS), payload: Some(payload.as_bytes()) };
                decoder.push(record);
                if decoder.rows() == ROWS {
                    ok += decoder.finish().statuses[0];
                }
            }
            ok += decoder.finish().statuses[0];
            assert_eq!(ok, EVENTS as u64, "every event of the benchmark is valid");
            took.push(start.elapsed().as_secs_f64());
        }
    }
    for (way, took) in ways.iter().zip(&mut took) {
        took.sort_by(f64::total_cmp);
        let rate = |seconds: f64| EVENTS as f64 / seconds / 1e6;
        let median = took[took.len() / 2];
        println!(
            "{:30} {:6.2} M events/s   (best {:.2}, {:.0} ns an event)",
            way.0,
            rate(median),
            rate(took[0]),
            median * 1e9 / EVENTS as f64
        );
    }
}

/// 2026-11-23T07:00:00Z.
const NOW_MS: i64 = 1_795_417_200_000;

/// As Python writes it: a blank after each comma and colon.
fn event(n: usize, more: &str) -> String {
    // A multiplier spreads the ids, so that neither branch nor text repeats.
    let x = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let kind = ["click", "login", "purchase", "logout", "click", "click"][(x >> 32) as usize % 6];
    let page = ["/home", "/products", "/products/detail", "/cart", "/checkout", "/profile", "/settings"][(x >> 40) as usize % 7];
    let source = if x & 1 == 0 { "web" } else { "mobile" };
    format!(
        r#"{{"event_id": "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}", "user_id": {}, "event_type": "{kind}", "page": "{page}", "timestamp": "2026-11-23T07:{:02}:{:02}.{:06}+00:00", "source": "{source}"{more}}}"#,
        x >> 32,
        x >> 16 & 0xffff,
        x >> 52,
        x >> 40 & 0xfff,
        x & 0xffff_ffff_ffff,
        x % 100_000 + 1,
        n / 300_000,
        n / 5_000 % 60,
        x % 1_000_000,
    )
}
