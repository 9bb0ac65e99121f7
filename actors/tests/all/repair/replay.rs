//! After a declaration was corrected, what it had refused counts once: in bronze, in the windows, for silver.

use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use tributary_actors::repair::letters::Which;
use tributary_actors::repair::replay::{Request, replay};
use tributary_actors::serving::new_windows::add;
use tributary_actors::serving::prepare;
use tributary_core::decode::{Decoder, Record};
use tributary_core::replay::untaken;
use tributary_core::stream::{Field, Stream};

use super::world::{World, because, decoded, narrow, refunds};
use crate::common::payments::{payment, stream, windows};

const ALL: [(i32, std::ops::Range<i64>); 2] = [(0, 0..400), (1, 0..400)];

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_record_counts_once_in_bronze_and_in_the_windows() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    assert_ne!(world.database.windows(&stream()).await, windows(&ALL), "refunds are missing");

    let replayed = world.replay().await;
    assert_eq!((replayed.revived, replayed.added, replayed.beyond), (refunds(&ALL), refunds(&ALL), 0));
    assert_eq!((replayed.commits, replayed.without_payload), (1, 0));
    let still: Vec<_> = replayed.still.iter().map(|((status, reason), _)| (status.as_str(), reason.as_str())).collect();
    assert_eq!(still, [("malformed", "not_json")]);
    assert_eq!(replayed.records, replayed.revived + replayed.still.values().sum::<u64>());
    assert_eq!(world.rows().await, decoded(&stream(), &ALL), "every row is what ingest would write today");
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
    assert_eq!(world.database.offsets().await, ["0:400", "1:400"]);

    let again = world.replay().await;
    assert_eq!((again.revived, again.added, again.commits), (0, 0, 0));
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
    assert_eq!(world.replays().await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_however_small_add_up_to_the_same() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let replayed = world.replay_bit_by_bit().await;
    assert_eq!((replayed.revived, replayed.added), (refunds(&ALL), refunds(&ALL)));
    assert!(replayed.commits > 3, "{} commits", replayed.commits);
    assert_eq!(replayed.records, replayed.revived + replayed.still.values().sum::<u64>(), "none is looked at twice");
    assert_eq!(world.rows().await, decoded(&stream(), &ALL));
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_windows_have_not_passed_is_left_for_another_time() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&[(0, 0..400), (1, 0..120)]).await;
    let replayed = world.replay().await;
    let malformed = (120..400).filter(|offset| payment(1, *offset).malformed).count() as u64;
    assert_eq!(replayed.revived, refunds(&[(0, 0..400), (1, 0..120)]));
    assert_eq!(replayed.beyond, malformed + refunds(&[(1, 120..400)]));
    // A running pipeline goes on by the old declaration.
    world.merge(&[(1, 120..400)]).await;
    assert_eq!(world.replay().await.revived, refunds(&[(1, 120..400)]));
    assert_eq!(world.rows().await, decoded(&stream(), &ALL));
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_records_that_are_meant_are_replayed() {
    let Some(world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let which = Which { partition: Some(1), from_offset: Some(100), to_offset: Some(200), ..because("not_allowed") };
    let request = Request { which, ..Request::default() };
    let dry = replay(&world.stores(), &Request { dry: true, ..request.clone() }, &|_| ()).await.unwrap();
    assert_eq!((dry.revived, dry.commits, dry.added), (refunds(&[(1, 100..200)]), 0, 0));
    assert_eq!(world.replays().await, None, "a dry run writes nothing");
    assert_eq!(world.rows().await, decoded(&narrow(), &ALL));

    let replayed = replay(&world.stores(), &request, &|_| ()).await.unwrap();
    assert_eq!((replayed.revived, replayed.records), (dry.revived, dry.records));
    let mut expected = decoded(&narrow(), &ALL).slice(0, 500);
    for (stream, from, to) in [(stream(), 500, 600), (narrow(), 600, 800)] {
        let part = decoded(&stream, &ALL).slice(from, to - from);
        expected = arrow_select::concat::concat_batches(&expected.schema(), &[expected, part]).unwrap();
    }
    assert_eq!(world.rows().await, expected);
}

/// Records that were called ancient lie in the folder of Kafka's day; as events they belong to their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_moves_to_the_day_of_its_event() {
    let mut strict = (*stream()).clone();
    strict.limits.max_age_ms = 0;
    let Some(world) = World::new(Arc::new(strict.clone())).await else { return };
    world.merge(&ALL).await;
    assert!(world.database.windows(&stream()).await.is_empty(), "everything is ancient");
    let days = |stream: &Arc<Stream>| decoded(stream, &ALL).column_by_name("event_date").unwrap().clone();
    assert_ne!(&days(&Arc::new(strict)), &days(&stream()), "some records change their day");
    world.replay_bit_by_bit().await;
    assert_eq!(world.rows().await, decoded(&stream(), &ALL));
    assert_eq!(world.database.windows(&stream()).await, windows(&ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_no_longer_declared_keeps_its_values() {
    let mut wide = (*narrow()).clone();
    wide.fields.push(Field { name: "currency".into(), column: "currency".into(), required: false, ..wide.fields[2].clone() });
    let wide = Arc::new(wide);
    let Some(mut world) = World::empty(Arc::clone(&wide)).await else { return };
    let mut decoder = Decoder::new(wide, 1);
    for offset in 0..100 {
        let payload = payment(0, offset).payload().replace('}', r#","currency":"EUR"}"#);
        let timestamp_ms = Some(payment(0, offset).at_ms + 1_000);
        decoder.push(Record { partition: 0, offset, timestamp_ms, payload: Some(payload.as_bytes()) });
    }
    world.ingest_rows(&decoder.finish().rows, &[(0, 0..100)]).await;
    world.merge(&[(0, 0..100)]).await;
    let revived = world.replay().await.revived;
    assert_eq!(revived, refunds(&[(0, 0..100)]));
    let rows = world.rows().await;
    let of = |column: &str| rows.column_by_name(column).unwrap().as_string::<i32>().clone();
    let (currency, extra, status) = (of("currency"), of("extra"), of("status"));
    for offset in 0..100 {
        let event = payment(0, offset as i64);
        let there = (currency.is_valid(offset), extra.is_valid(offset), status.value(offset));
        let expected = match (event.malformed, event.kind) {
            (true, _) => (false, false, "malformed"),
            (_, "refund") => (false, true, "ok"),
            _ => (true, false, "ok"),
        };
        assert_eq!(there, expected, "offset {offset}");
    }
    assert_eq!(world.database.windows(&stream()).await, windows(&[(0, 0..100)]));
}

/// Silver goes by offsets; what became valid behind it comes by the tags.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_by_offsets_finds_what_became_valid_behind_it() {
    let Some(mut world) = World::new(narrow()).await else { return };
    world.merge(&ALL).await;
    let named = |files: &[tributary_core::table::TableFile], from, until| -> u64 {
        untaken(files, from, until).unwrap().iter().flat_map(|file| file.rows.values()).map(|set| set.count()).sum()
    };
    world.replay_bit_by_bit().await;
    let until = world.replays().await.unwrap();
    assert_eq!(named(&world.table_files().await, 0, until), refunds(&ALL));
    assert_eq!(named(&world.table_files().await, until, until), 0);

    world.ingest(&[(0, 400..450)]).await;
    world.merge(&[(0, 400..450)]).await;
    world.replay().await;
    let next = world.replays().await.unwrap();
    let files = world.table_files().await;
    assert_eq!((next, named(&files, until, next)), (until + 1, refunds(&[(0, 400..450)])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_declared_later_has_replayed_records_once() {
    let both = stream();
    let one = Arc::new(Stream { windows: both.windows[..1].to_vec(), ..(*narrow()).clone() });
    let Some(world) = World::new(one).await else { return };
    world.merge(&ALL).await;
    // Replayed by somebody who has declared the second window already, whose table nobody has made.
    world.replay().await;
    let missing = prepare(&world.database.url, &both).await.unwrap();
    assert_eq!(missing, both.windows[1..]);
    add(&both, missing, &world.table.store, &world.database.url).await.unwrap();
    assert_eq!(world.database.windows(&both).await, windows(&ALL));
    assert_eq!(world.replay().await.added, 0);
    assert_eq!(world.database.windows(&both).await, windows(&ALL));
}
