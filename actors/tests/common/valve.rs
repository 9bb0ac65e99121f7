//! A store whose log entries wait at a valve.

use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use tokio::sync::watch;
use tributary_actors::lake::fsync_store::FsyncStore;

#[derive(Debug)]
pub struct Valve {
    inner: FsyncStore,
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Valve {
    pub fn shut() -> Arc<Self> {
        Arc::new(Self { inner: FsyncStore::new(), open: watch::Sender::new(false), waiting: watch::Sender::new(0) })
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many entries have come to the valve.
    pub fn came(&self) -> usize {
        *self.waiting.borrow()
    }
}

impl fmt::Display for Valve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a valve")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Valve {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if location.as_ref().ends_with(".json") {
            self.waiting.send_modify(|n| *n += 1);
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
