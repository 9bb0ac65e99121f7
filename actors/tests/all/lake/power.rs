//! The order in which things reach the disk, and what a power cut at any moment would leave: never a log entry that names a file
//! which is missing or empty.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tributary_actors::lake::delta_log::{Commit, DeltaLog, Kind};
use tributary_actors::lake::encoder::Encoder;
use tributary_actors::lake::files;
use tributary_actors::lake::fsync_store::{Observer, Step};
use tributary_core::span::Leg;

use super::{app, commit};
use crate::common::lake::{Table, rows};
use crate::common::payments::{batch, stream};
use crate::common::probe::span;

/// What would be left: names and contents that were synced. A log entry may be left as soon as it has its name, synced or not.
#[derive(Default)]
struct Disk {
    root: PathBuf,
    /// Names that a sync of their folder has made durable.
    entries: BTreeSet<PathBuf>,
    /// Final names whose bytes were synced before they had the name.
    contents: BTreeSet<PathBuf>,
    synced: BTreeSet<PathBuf>,
    steps: Vec<Step>,
    cuts: usize,
}

impl Disk {
    /// Whether a file and the way to it survive.
    fn keeps(&self, file: &Path) -> bool {
        let way = file.ancestors().take_while(|at| *at != self.root);
        self.contents.contains(file) && way.into_iter().all(|at| self.entries.contains(at))
    }

    fn step(&mut self, step: Step) {
        match &step {
            Step::FileSynced(temporary) => {
                let name = temporary.to_string_lossy();
                let (name, _) = name.rsplit_once('#').expect("a temporary name");
                self.synced.insert(PathBuf::from(name));
            }
            Step::Named(path) => {
                if self.synced.contains(path) {
                    self.contents.insert(path.clone());
                }
            }
            Step::FolderSynced(folder) => {
                self.entries.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        self.steps.push(step);
        self.cut();
    }

    /// The power goes now.
    fn cut(&mut self) {
        self.cuts += 1;
        for entry in std::fs::read_dir(self.root.join("_delta_log")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            assert!(self.contents.contains(&path), "{} could be left empty", path.display());
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let action: serde_json::Value = serde_json::from_str(line).unwrap();
                let Some(file) = action["add"]["path"].as_str() else { continue };
                let file = self.root.join(file);
                assert!(self.keeps(&file), "{} could name {}, which is not there", path.display(), file.display());
            }
        }
    }
}

/// A table whose steps are watched; everything in it so far is on disk.
async fn watched() -> (Table, Arc<Mutex<Disk>>, Observer) {
    let table = Table::new(&stream()).await;
    let root = table.root();
    let mut disk = Disk { root: root.clone(), ..Disk::default() };
    disk.entries.extend([root.join("_delta_log")]);
    for entry in std::fs::read_dir(root.join("_delta_log")).unwrap() {
        let path = entry.unwrap().path();
        disk.entries.insert(path.clone());
        disk.contents.insert(path);
    }
    let disk = Arc::new(Mutex::new(disk));
    let seen = Arc::clone(&disk);
    (table, disk, Arc::new(move |step| seen.lock().unwrap().step(step)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_step_leaves_no_entry_without_its_files() {
    let (table, disk, observer) = watched().await;
    let store = table.watched(observer);
    let stream = stream();
    let mut log = DeltaLog::open(store.clone()).await.unwrap();
    for n in 0..5 {
        // Times spread over two or three dates, so that commits have several files and new folders.
        let range = (n + 1) * 60_000..(n + 1) * 60_000 + 50;
        let mut encoder = Encoder::new(Arc::clone(&stream));
        encoder.write(&batch(&stream, &[(0, range.clone()), (1, n * 50..n * 50 + 50)]).rows).unwrap();
        let cut = encoder.finish().unwrap();
        assert!(cut.len() > 1, "several dates");
        let paths: Vec<String> = cut.iter().map(|file| files::new_path(file.date)).collect();
        files::put(&store, cut.iter().zip(&paths)).await.unwrap();
        let from = log.txn(&app(0)).unwrap_or(0);
        let spans = [span(0, from, range.end, 0), span(1, n * 50, n * 50 + 50, 0)].map(|s| s.above_floor(Leg::Bronze));
        let moves = commit(&log, &spans.map(|s| (s.partition, s.from, s.to))).moves;
        let adds = cut.iter().zip(&paths).map(|(file, path)| files::add(file, path, 1, &spans)).collect();
        let version = log.commit(&Commit { adds, moves, ..Commit::new("TEST", Kind::Append) }).await.unwrap();
        let entry = table.root().join(format!("_delta_log/{version:020}.json"));
        let mut disk = disk.lock().unwrap();
        assert_eq!(
            disk.steps[disk.steps.len() - 2..],
            [Step::Named(entry.clone()), Step::FolderSynced(entry.parent().unwrap().to_owned())],
            "a commit that is reported is on disk itself"
        );
        disk.cut();
    }
    assert!(disk.lock().unwrap().cuts > 50);
    assert_eq!(rows(&store).await.len(), 500);
}

/// A predecessor was killed between making a folder and syncing it: that it is there says nothing about the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_somebody_else_made_is_synced_before_it_is_relied_on() {
    let (table, disk, observer) = watched().await;
    let store = table.watched(observer);
    std::fs::create_dir(table.root().join("event_date=2026-01-01")).unwrap();
    let stream = stream();
    let mut encoder = Encoder::new(Arc::clone(&stream));
    encoder.write(&batch(&stream, &[(0, 0..5)]).rows).unwrap();
    let cut = encoder.finish().unwrap();
    let path = files::new_path(cut[0].date);
    assert!(path.starts_with("event_date=2026-01-01/"));
    files::put(&store, cut.iter().zip([&path])).await.unwrap();
    assert!(disk.lock().unwrap().keeps(&table.root().join(path)));
}
