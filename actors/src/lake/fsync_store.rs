//! A local file store that means it: success is reported when the bytes, and every folder entry that leads to them, are on disk.
//!
//! The object store that deltalake brings never syncs, so a power cut could leave a log entry that names an empty file. This one
//! takes its place for `file://` in the whole process, also for checkpoints. Order of a put: new folders (each synced into its
//! parent), temporary file, its bytes, then the name (hard link for "create", rename for "overwrite"), then the folder.
//!
//! A failed sync is the end of the process: the kernel may have dropped the pages and would call a second sync a success.

use std::collections::HashSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// Exit code when a sync failed (EX_IOERR).
pub const EXIT_SYNC_FAILED: i32 = 74;

/// One step towards durability, for whoever watches the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The bytes of this file are on disk.
    FileSynced(PathBuf),
    /// The file has its final name.
    Named(PathBuf),
    /// The entries of this folder are on disk.
    FolderSynced(PathBuf),
}

/// Watches steps; tests only.
pub type Observer = Arc<dyn Fn(Step) + Send + Sync>;

/// The store. Paths are absolute: it is rooted at `/`.
#[derive(Clone)]
pub struct FsyncStore {
    inner: Arc<LocalFileSystem>,
    observer: Option<Observer>,
    /// Folders whose entries this process has synced.
    settled: Arc<Mutex<HashSet<PathBuf>>>,
}

/// How many levels of folders that are there already are looked after: date, table, layer, lake.
const LEVELS: usize = 4;

static TEMPORARY: AtomicU64 = AtomicU64::new(0);

impl FsyncStore {
    /// Rooted at `/`.
    pub fn new() -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()), observer: None, settled: Arc::default() }
    }

    /// The same, watched.
    pub fn observed(observer: Observer) -> Self {
        Self { observer: Some(observer), ..Self::new() }
    }

    fn saw(&self, step: Step) {
        if let Some(observer) = &self.observer {
            observer(step);
        }
    }

    fn sync_file(&self, file: &File, path: &FsPath) {
        if let Err(error) = file.sync_all() {
            sync_failed(path, &error);
        }
        self.saw(Step::FileSynced(path.to_owned()));
    }

    fn sync_folder(&self, path: &FsPath) -> io::Result<()> {
        self.sync_open_folder(&File::open(path)?, path);
        Ok(())
    }

    fn sync_open_folder(&self, folder: &File, path: &FsPath) {
        if let Err(error) = folder.sync_all() {
            sync_failed(path, &error);
        }
        self.saw(Step::FolderSynced(path.to_owned()));
    }

    /// Creates what is missing of `folder`, from the top, syncing each new entry into its parent. An entry that is there may be a
    /// killed predecessor's, never synced: it is synced once, too, where the parent is ours to open.
    fn make_folders(&self, folder: &FsPath) -> io::Result<()> {
        let is_settled = |at: &FsPath| self.settled.lock().unwrap_or_else(PoisonError::into_inner).contains(at);
        let mut way = Vec::new();
        let mut there = 0;
        for at in folder.ancestors() {
            if at.is_dir() {
                if there == LEVELS || is_settled(at) {
                    break;
                }
                there += 1;
            }
            way.push(at);
        }
        for at in way.into_iter().rev() {
            let Some(parent) = at.parent() else { continue };
            match std::fs::create_dir(at) {
                Ok(()) => self.sync_folder(parent)?,
                Err(_) if at.is_dir() => {
                    if let Ok(opened) = File::open(parent) {
                        self.sync_open_folder(&opened, parent);
                    }
                }
                Err(error) => return Err(error),
            }
            self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(at.to_owned());
        }
        Ok(())
    }

    /// A temporary file beside `path`. The name ends in `#<digits>`, which listings leave out.
    fn temporary(&self, path: &FsPath) -> io::Result<(File, PathBuf)> {
        if let Some(folder) = path.parent() {
            self.make_folders(folder)?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{}{}", std::process::id(), TEMPORARY.fetch_add(1, Ordering::Relaxed)));
        let name = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&name)?;
        Ok((file, name))
    }

    /// Gives a synced temporary file its name, durably. Nothing between the name and the folder's sync may fail and be retried: who
    /// reads the name afterwards would take it for durable.
    fn name(&self, temporary: &FsPath, path: &FsPath, create: bool) -> io::Result<()> {
        let folder = path.parent().map(|folder| File::open(folder).map(|opened| (opened, folder))).transpose()?;
        if create {
            std::fs::hard_link(temporary, path)?;
            // A leftover has a name that no listing shows.
            let _ = std::fs::remove_file(temporary);
        } else {
            // Hadoop's checksum of the file that is replaced would make Spark distrust the new one.
            if let (Some(folder), Some(file)) = (path.parent(), path.file_name()) {
                let _ = std::fs::remove_file(folder.join(format!(".{}.crc", file.to_string_lossy())));
            }
            std::fs::rename(temporary, path)?;
        }
        self.saw(Step::Named(path.to_owned()));
        if let Some((opened, folder)) = folder {
            self.sync_open_folder(&opened, folder);
        }
        Ok(())
    }

    fn put_blocking(&self, path: &FsPath, payload: &PutPayload, create: bool) -> io::Result<()> {
        let (mut file, temporary) = self.temporary(path)?;
        let written = payload.iter().try_for_each(|part: &Bytes| file.write_all(part));
        if let Err(error) = written {
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
        self.sync_file(&file, &temporary);
        let named = self.name(&temporary, path, create);
        if named.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        named
    }
}

impl Default for FsyncStore {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(clippy::exit)] // see the file's promise
fn sync_failed(path: &FsPath, error: &io::Error) -> ! {
    tracing::error!(path = %path.display(), %error, "fsync failed: what was written may be gone, and asking again would lie; stopping");
    std::process::exit(EXIT_SYNC_FAILED);
}

fn store_error(path: &FsPath, error: io::Error) -> Error {
    let shown = path.display().to_string();
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: shown, source: Box::new(error) },
        io::ErrorKind::NotFound => Error::NotFound { path: shown, source: Box::new(error) },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path: shown, source: Box::new(error) },
        _ => Error::Generic { store: "file", source: format!("{shown}: {error}").into() },
    }
}

async fn blocking<T: Send + 'static>(path: PathBuf, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| store_error(&path, error)),
        Err(join) => Err(Error::Generic { store: "file", source: Box::new(join) }),
    }
}

#[async_trait::async_trait]
impl ObjectStore for FsyncStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented { operation: "conditional update".into(), implementer: self.to_string() });
            }
        };
        let path = self.inner.path_to_filesystem(location)?;
        let store = self.clone();
        blocking(path.clone(), move || store.put_blocking(&path, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let store = self.clone();
        let (file, temporary) = blocking(path.clone(), {
            let path = path.clone();
            move || store.temporary(&path)
        })
        .await?;
        Ok(Box::new(Upload { store: self.clone(), path, temporary, file: Arc::new(file), written: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        let path = self.inner.path_to_filesystem(to)?;
        let store = self.clone();
        blocking(path.clone(), move || {
            store.sync_file(&File::open(&path)?, &path);
            path.parent().map_or(Ok(()), |folder| store.sync_folder(folder))
        })
        .await
    }
}

impl fmt::Debug for FsyncStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FsyncStore")
    }
}

impl fmt::Display for FsyncStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local files, synced")
    }
}

/// Parts are written into the temporary file at their place; the name comes at the end.
#[derive(Debug)]
struct Upload {
    store: FsyncStore,
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<File>,
    written: u64,
}

#[async_trait::async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let at = self.written;
        self.written += data.content_length() as u64;
        let (file, path) = (Arc::clone(&self.file), self.temporary.clone());
        Box::pin(blocking(path, move || {
            data.iter().try_fold(at, |at, part: &Bytes| file.write_all_at(part, at).map(|()| at + part.len() as u64)).map(|_| ())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (store, file) = (self.store.clone(), Arc::clone(&self.file));
        let (path, temporary) = (self.path.clone(), self.temporary.clone());
        blocking(self.path.clone(), move || {
            store.sync_file(&file, &temporary);
            store.name(&temporary, &path, false)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let temporary = self.temporary.clone();
        blocking(self.temporary.clone(), move || std::fs::remove_file(temporary)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use std::sync::Mutex;

    fn location(folder: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(folder.path().join(name)).unwrap()
    }

    #[tokio::test]
    async fn a_put_syncs_bytes_before_the_name_and_the_folder_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let store = FsyncStore::observed({
            let steps = Arc::clone(&steps);
            Arc::new(move |step| steps.lock().unwrap().push(step))
        });
        store.put(&location(&folder, "new/a.parquet"), "x".into()).await.unwrap();
        let steps = steps.lock().unwrap();
        let file = folder.path().join("new/a.parquet");
        // In front: the way to the temporary folder.
        let at = steps
            .iter()
            .position(|step| *step == Step::FolderSynced(folder.path().to_owned()))
            .expect("the new folder's own entry");
        assert!(matches!(&steps[at + 1], Step::FileSynced(p) if p.to_string_lossy().contains("a.parquet#")));
        assert_eq!(steps[at + 2..], [Step::Named(file.clone()), Step::FolderSynced(file.parent().unwrap().to_owned())]);
    }

    #[tokio::test]
    async fn create_refuses_a_name_that_is_taken_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsyncStore::new();
        let at = location(&folder, "1.json");
        let create = || PutOptions { mode: PutMode::Create, ..Default::default() };
        store.put_opts(&at, "first".into(), create()).await.unwrap();
        let second = store.put_opts(&at, "second".into(), create()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn overwrite_replaces_and_removes_a_stale_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsyncStore::new();
        let at = location(&folder, "_last_checkpoint");
        std::fs::write(folder.path().join("._last_checkpoint.crc"), "old").unwrap();
        store.put(&at, "one".into()).await.unwrap();
        store.put(&at, "two".into()).await.unwrap();
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn parts_land_in_order_and_an_aborted_upload_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsyncStore::new();
        let at = location(&folder, "big");
        let mut upload = store.put_multipart(&at).await.unwrap();
        let first = upload.put_part(vec![1_u8; 3 << 20].into());
        let second = upload.put_part(vec![2_u8; 100].into());
        second.await.unwrap();
        first.await.unwrap();
        upload.complete().await.unwrap();
        let bytes = store.get(&at).await.unwrap().bytes().await.unwrap();
        assert_eq!((bytes.len(), bytes[0], bytes[3 << 20]), ((3 << 20) + 100, 1, 2));
        let mut aborted = store.put_multipart(&location(&folder, "gone")).await.unwrap();
        aborted.put_part("x".into()).await.unwrap();
        aborted.abort().await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
