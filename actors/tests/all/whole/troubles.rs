//! What the world does: panics, topics that are recreated, records that are gone, a database that is away.

use std::sync::Arc;

use tributary_actors::decisions::{self, Undecided};
use tributary_actors::line::{Line, NotReady};
use tributary_core::span::{Leg, Legs};
use tributary_core::stream::Stream;

use super::house::House;
use super::in_system;
use crate::common::payments::{TOPIC, stream, windows};
use crate::common::postgres::{Database, Server, database};

#[test]
fn a_panic_in_a_room_is_rebuilt_from_and_nothing_is_lost_or_doubled() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        let running = house.start();
        house.produce(&[(0, 0..500)]);
        running.reaches(&[(0, 500)]).await;
        // Before the data files, and between them and the log entry.
        for (n, at) in [(1, ".parquet"), (2, ".json")] {
            house.store.set(move |path| if path.ends_with(at) { panic!("on purpose") } else { Ok(()) });
            house.produce(&[(0, n * 500..n * 500 + 500), (1, n * 100 - 100..n * 100)]);
            let state = running.reaches(&[(0, n * 500 + 500), (1, n * 100)]).await;
            assert!(state.restarts == n as u64 && state.is_ready(), "{state:?}");
        }
        running.stop().await;
        house.holds(&[(0, 0..1_500), (1, 0..200)]).await;
    });
}

#[test]
fn a_recreated_topic_waits_for_a_person_and_goes_on_beside_the_old_one() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        let running = house.start();
        house.produce(&[(0, 0..300), (1, 0..50)]);
        running.reaches(&[(0, 300), (1, 50)]).await;
        house.kafka.delete(TOPIC).await;
        let state = running
            .shows("a question to a person", |s| s.problem.as_ref().is_some_and(|p| p.contains("tributary topic adopt")))
            .await;
        assert!(state.partitions.is_empty(), "nothing is read meanwhile: {state:?}");
        let adopted = decisions::adopt(&house.line).await.unwrap();
        assert_eq!(adopted.incarnation, 2);
        house.produce(&[(0, 0..120), (1, 0..200)]);
        running.reaches(&[(0, 120), (1, 200)]).await;
        running.stop().await;
        let again = decisions::adopt(&house.line).await;
        assert!(matches!(again, Err(Undecided::Nothing(_))), "everything would count twice: {again:?}");
        let known = "SELECT incarnation::text FROM ops.topic_incarnations ORDER BY 1";
        assert_eq!(house.database.texts(known).await, ["1", "2"]);
        let both = [(0, 0..300), (1, 0..50), (0, 0..120), (1, 0..200)];
        assert_eq!(house.database.windows(&stream()).await, windows(&both));
        assert_eq!(crate::common::lake::rows(&house.line.table).await.len(), 670);
    });
}

#[test]
fn a_partition_whose_records_are_gone_waits_while_the_others_go_on() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        let running = house.start();
        house.produce(&[(0, 0..100), (1, 0..100)]);
        running.reaches(&[(0, 100), (1, 100)]).await;
        running.stop().await;
        house.produce(&[(0, 100..600), (1, 100..600)]);
        house.kafka.forget(TOPIC, 0, 350).await;
        let running = house.start();
        let state = running
            .shows("the other partition goes on", |s| {
                s.partitions.get(&1).is_some_and(|p| p.bronze == Some(600) && p.serving == Some(600))
            })
            .await;
        assert!(state.blocked[&0].contains("tributary topic skip payments"), "{state:?}");
        assert!(!state.partitions.contains_key(&0) && !state.is_ready());

        let skipped = decisions::skip(&house.line, None).await.unwrap();
        assert_eq!(skipped.len(), 1);
        assert_eq!((skipped[0].partition, skipped[0].bronze, skipped[0].serving), (0, Some((100, 350)), Some((100, 350))));
        running.reaches(&[(0, 600), (1, 600)]).await;
        running.stop().await;
        let counted = [(0, 0..100), (0, 350..600), (1, 0..600)];
        assert_eq!(house.database.windows(&stream()).await, windows(&counted));
        // The lost range is one row.
        assert_eq!(crate::common::lake::rows(&house.line.table).await.len(), 100 + 1 + 250 + 600);
        let lost = "SELECT concat_ws(' ', kafka_partition, from_offset, to_offset, leg) FROM ops.lost_ranges";
        assert_eq!(house.database.texts(lost).await, ["0 100 350 serving"]);
    });
}

#[test]
fn windows_that_are_away_at_the_start_catch_up_and_come_back() {
    in_system(async {
        let Some(server) = Server::new() else { return println!("SKIPPED: no PostgreSQL in /usr/lib/postgresql") };
        let house = House::new(Database { url: server.database_url() }).await;
        house.produce(&[(0, 0..2_000), (1, 0..300)]);
        let running = house.start();
        let state = running
            .shows("bronze alone", |s| {
                s.partitions.get(&0).is_some_and(|p| p.bronze == Some(2_000)) && s.catching_up == ["serving"]
            })
            .await;
        assert!(state.legs == ["bronze"] && !state.is_ready(), "{state:?}");
        server.start();
        house.produce(&[(0, 2_000..2_500), (2, 0..40)]);
        running.shows("both legs again", |s| s.is_ready() && s.legs == ["bronze", "serving"]).await;
        house.produce(&[(1, 300..333)]);
        running.reaches(&[(0, 2_500), (1, 333), (2, 40)]).await;
        running.stop().await;
        house.holds(&[(0, 0..2_500), (1, 0..333), (2, 0..40)]).await;
    });
}

#[test]
fn windows_that_go_away_leave_bronze_alone_and_refill_what_kafka_forgot() {
    in_system(async {
        let Some(server) = Server::new() else { return println!("SKIPPED: no PostgreSQL in /usr/lib/postgresql") };
        server.start();
        let house = House::new(Database { url: server.database_url() }).await;
        let running = house.start();
        house.produce(&[(0, 0..500), (1, 0..500)]);
        running.reaches(&[(0, 500), (1, 500)]).await;
        server.stop();
        house.produce(&[(0, 500..1_500), (1, 500..600)]);
        running
            .shows("bronze goes on", |s| {
                s.catching_up == ["serving"] && s.partitions.get(&0).is_some_and(|p| p.bronze == Some(1_500))
            })
            .await;
        house.kafka.forget(TOPIC, 0, 1_200).await;
        server.start();
        running.shows("both legs again", |s| s.is_ready()).await;
        house.produce(&[(0, 1_500..1_600)]);
        running.reaches(&[(0, 1_600), (1, 600)]).await;
        running.stop().await;
        house.holds(&[(0, 0..1_600), (1, 0..600)]).await;
    });
}

#[test]
fn what_the_windows_lack_of_an_older_topic_they_take_from_bronze() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        house.produce(&[(0, 0..100), (1, 0..40)]);
        let running = house.start();
        running.reaches(&[(0, 100), (1, 40)]).await;
        running.stop().await;
        let running = house.start_with(Legs::only(Leg::Bronze));
        house.produce(&[(0, 100..300), (2, 0..70)]);
        running
            .shows("bronze alone", |s| {
                let bronze = |p| s.partitions.get(&p).and_then(|at| at.bronze);
                (bronze(0), bronze(2)) == (Some(300), Some(70))
            })
            .await;
        running.stop().await;
        // A table that has to be made anew at the same start does not stand in the way.
        house.database.run("DROP TABLE realtime.turnover_per_hour").await;
        house.kafka.delete(TOPIC).await;
        let running = house.start();
        running.shows("a question", |s| s.problem.as_ref().is_some_and(|p| p.contains("tributary topic adopt"))).await;
        decisions::adopt(&house.line).await.unwrap();
        house.produce(&[(0, 0..50)]);
        running.reaches(&[(0, 50)]).await;
        running.stop().await;
        let all = [(0, 0..300), (1, 0..40), (2, 0..70), (0, 0..50)];
        assert_eq!(house.database.windows(&stream()).await, windows(&all));
    });
}

#[test]
fn a_table_whose_properties_somebody_changed_is_looked_at_again() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        let running = house.start();
        house.produce(&[(0, 0..100)]);
        let before = running.reaches(&[(0, 100)]).await;
        let log = house.line.table.root_url().to_file_path().unwrap().join("_delta_log");
        let metadata = |text: String| text.lines().find(|line| line.contains("metaData")).map(str::to_owned).unwrap();
        let changed = metadata(std::fs::read_to_string(log.join("00000000000000000000.json")).unwrap())
            .replace("\"delta.checkpointInterval\":\"100\"", "\"delta.checkpointInterval\":\"200\"");
        // The next version that is free: the pipeline may be putting one now.
        for version in 1.. {
            let entry = log.join(format!("{version:020}.json"));
            if std::fs::OpenOptions::new().write(true).create_new(true).open(&entry).is_ok() {
                std::fs::write(&entry, changed + "\n").unwrap();
                break;
            }
        }
        house.produce(&[(0, 100..180)]);
        let after = running.reaches(&[(0, 180)]).await;
        assert_eq!(after.restarts, before.restarts + 1);
        running.stop().await;
        house.holds(&[(0, 0..180)]).await;
    });
}

#[test]
fn another_topic_does_not_go_into_the_same_table() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        let running = house.start();
        house.produce(&[(0, 0..10)]);
        running.reaches(&[(0, 10)]).await;
        running.stop().await;
        let line = &house.line;
        let other = Line {
            stream: Arc::new(Stream { topic: "other".to_owned(), ..(*line.stream).clone() }),
            settings: Arc::clone(&line.settings),
            bootstrap: line.bootstrap.clone(),
            embedded_kafka: true,
            seen: false.into(),
            database_url: line.database_url.clone(),
            table: line.table.clone(),
            runtime: line.runtime.clone(),
        };
        let refused = other.ready(Legs::BOTH).await;
        assert!(matches!(&refused, Err(NotReady::Fatal(why)) if why.contains("set its topic back to")), "{refused:?}");
    });
}

#[test]
fn a_kafka_that_is_away_is_said_and_read_on_when_it_is_back() {
    in_system(async {
        let Some(database) = database().await else { return };
        let mut house = House::new(database).await;
        let running = house.start();
        house.produce(&[(0, 0..100)]);
        running.reaches(&[(0, 100)]).await;
        house.kafka.stop();
        running.shows("not ready", |s| s.problem.as_ref().is_some_and(|p| p.contains("Kafka does not answer"))).await;
        house.kafka.start_again();
        running.shows("ready again", |s| s.is_ready()).await;
        house.produce(&[(0, 100..150)]);
        let state = running.reaches(&[(0, 150)]).await;
        assert_eq!(state.restarts, 0, "{state:?}");
        running.stop().await;
        house.holds(&[(0, 0..150)]).await;
    });
}

#[test]
fn windows_on_their_own_refill_what_kafka_forgot() {
    in_system(async {
        let Some(database) = database().await else { return };
        let house = House::new(database).await;
        let running = house.start();
        house.produce(&[(0, 0..100)]);
        running.reaches(&[(0, 100)]).await;
        running.stop().await;
        let running = house.start_with(Legs::only(Leg::Bronze));
        house.produce(&[(0, 100..600)]);
        running.shows("bronze alone", |s| s.partitions.get(&0).is_some_and(|p| p.bronze == Some(600))).await;
        running.stop().await;
        house.kafka.forget(TOPIC, 0, 400).await;
        let running = house.start_with(Legs::only(Leg::Serving));
        running.shows("the windows", |s| s.partitions.get(&0).is_some_and(|p| p.serving == Some(600))).await;
        running.stop().await;
        house.holds(&[(0, 0..600)]).await;
    });
}
