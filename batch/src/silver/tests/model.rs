//! Silver against a model of a few lines: many small lakes with few ids, so that everything collides with everything.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;

const LAKES: u64 = 60;

/// Rows of a few ids at a few times, on two days, in three partitions.
fn random_rows(random: &mut Pcg64Mcg, next: &mut [i64; 3], count: usize) -> Vec<Row> {
    (0..count)
        .map(|_| {
            let partition = random.random_range(0..3_i32);
            let offset = next[partition as usize];
            // Offsets have holes.
            next[partition as usize] += random.random_range(1..3_i64);
            let status = if random.random_bool(0.15) { Status::Invalid } else { Status::Ok };
            let second = random.random_range(0..2_i64) * 86_400 + random.random_range(0..6_i64) * 9_000;
            let id = random.random_range(0..25_u32).to_string();
            Row { status, ..row(&id, second, partition, offset) }
        })
        .collect()
}

#[tokio::test]
async fn silver_holds_each_valid_event_of_its_offsets_once_and_conflicts_tell_of_the_rest() {
    for seed in 0..LAKES {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut lake = Lake::new();
        lake.options.threads = 1 + (seed % 3) as usize;
        let (mut next, mut all) = ([0; 3], Vec::new());
        let mut taken = [0_i64; 3];
        // What the model knows: the times of an id on a day.
        let mut known: BTreeMap<(String, i64), BTreeSet<i64>> = BTreeMap::new();
        for _ in 0..random.random_range(1..5) {
            for _ in 0..random.random_range(0..4) {
                let count = random.random_range(0..60);
                let rows = random_rows(&mut random, &mut next, count);
                lake.ingest(&rows).await;
                all.extend(rows);
            }
            // Runs stop anywhere, and sometimes go over the same offsets again.
            let mut ranges = Vec::new();
            for partition in 0..3 {
                let to = random.random_range(taken[partition]..=next[partition]);
                let from = if random.random_bool(0.2) { 0 } else { taken[partition] };
                ranges.push(range(partition as i32, from, to));
                taken[partition] = to;
            }
            let made = lake.run(&ranges).await;

            let is_in = |r: &&Row| ranges.iter().any(|g| g.partition == r.partition && g.from <= r.offset && r.offset < g.to);
            let rows: Vec<_> = all.iter().filter(is_in).collect();
            let mut new: BTreeMap<(String, i64), BTreeSet<i64>> = BTreeMap::new();
            for r in rows.iter().filter(|r| r.status == Status::Ok) {
                let id = (r.id.clone(), r.at.div_euclid(DAY));
                if !known.get(&id).is_some_and(|times| times.contains(&r.at)) {
                    new.entry(id).or_default().insert(r.at);
                }
            }
            assert_eq!(made.rows_read, rows.len() as u64, "seed {seed}");
            assert_eq!(made.rejected, rows.iter().filter(|r| r.status != Status::Ok).count() as u64, "seed {seed}");
            assert_eq!(made.rows_kept, new.values().map(|t| t.len() as u64).sum::<u64>(), "seed {seed}");
            // The first time of an id is no conflict. Times that only silver knows may lie where nobody looked.
            let (mut least, mut most) = (0, 0);
            for (id, times) in &new {
                most += times.len() as u64 - u64::from(!known.contains_key(id));
                least += times.len() as u64 - 1;
            }
            assert!(
                (least..=most).contains(&made.rows_in_conflict),
                "seed {seed}: {} of {least}..={most}",
                made.rows_in_conflict
            );
            for (id, times) in new {
                known.entry(id).or_default().extend(times);
            }
        }
        let expected: BTreeSet<(String, i64)> =
            known.iter().flat_map(|((id, _), times)| times.iter().map(|t| (id.clone(), *t))).collect();
        let found = lake.silver_rows().await;
        assert_eq!(found.len(), expected.len(), "seed {seed}: a copy is in silver");
        assert_eq!(found.iter().map(|(id, at, ..)| (id.clone(), *at)).collect::<BTreeSet<_>>(), expected, "seed {seed}");
        for (id, at, partition, offset) in &found {
            let is_it =
                |r: &Row| (r.partition, r.offset, r.at, &r.id) == (*partition, *offset, *at, id) && r.status == Status::Ok;
            assert!(all.iter().any(is_it), "seed {seed}: {id} at {at} came from nowhere");
        }
        for (id, at, other) in lake.conflict_rows().await {
            let times = &known[&(id.clone(), at.div_euclid(DAY))];
            assert!(at != other && times.contains(&at) && times.contains(&other), "seed {seed}: {id} at {at}, {other}");
        }
    }
}
