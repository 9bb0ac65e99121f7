//! Stores with somebody in between: puts and gets can be held up, refused, lied about. Everything else goes through.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use tokio::sync::watch;
use tributary_actors::lake::fsync_store::FsyncStore;

/// Somebody in between.
#[async_trait::async_trait]
pub trait Between: fmt::Debug + Send + Sync + 'static {
    async fn put(&self, inner: &dyn ObjectStore, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult>;

    async fn get(&self, inner: &dyn ObjectStore, location: &Path, options: GetOptions) -> Result<GetResult> {
        inner.get_opts(location, options).await
    }
}

/// A store behind somebody.
#[derive(Debug)]
pub struct Intercepted<B> {
    inner: Box<dyn ObjectStore>,
    between: B,
}

impl<B> Intercepted<B> {
    pub fn new(inner: impl ObjectStore, between: B) -> Arc<Self> {
        Arc::new(Self { inner: Box::new(inner), between })
    }

    /// The store as it is.
    pub fn inner(&self) -> &dyn ObjectStore {
        &*self.inner
    }
}

impl<B> Deref for Intercepted<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.between
    }
}

impl<B: fmt::Debug> fmt::Display for Intercepted<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.between)
    }
}

#[async_trait::async_trait]
impl<B: Between> ObjectStore for Intercepted<B> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.between.put(&*self.inner, location, payload, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.between.get(&*self.inner, location, options).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
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

/// Asked before each put, with the path; may panic, or say no.
type Asked = Box<dyn FnMut(&str) -> Result<()> + Send>;

#[derive(Default)]
pub struct Hook(Mutex<Option<Asked>>);

impl Hook {
    /// Over the store that the product uses.
    pub fn over_files() -> Arc<Intercepted<Self>> {
        Intercepted::new(FsyncStore::new(), Self::default())
    }

    pub fn set(&self, hook: impl FnMut(&str) -> Result<()> + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(hook));
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hook")
    }
}

#[async_trait::async_trait]
impl Between for Hook {
    async fn put(&self, inner: &dyn ObjectStore, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        // Taken out while it runs, so that its panic poisons nothing.
        let hook = self.0.lock().unwrap().take();
        if let Some(mut hook) = hook {
            let answer = hook(location.as_ref());
            self.0.lock().unwrap().get_or_insert(hook);
            answer?;
        }
        inner.put_opts(location, payload, opts).await
    }
}

/// Log entries wait here.
#[derive(Debug)]
pub struct Valve {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Valve {
    /// Shut, over the store that the product uses.
    pub fn over_files() -> Arc<Intercepted<Self>> {
        Intercepted::new(FsyncStore::new(), Self { open: watch::Sender::new(false), waiting: watch::Sender::new(0) })
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many entries have come to the valve.
    pub fn came(&self) -> usize {
        *self.waiting.borrow()
    }
}

#[async_trait::async_trait]
impl Between for Valve {
    async fn put(&self, inner: &dyn ObjectStore, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if location.as_ref().ends_with(".json") {
            self.waiting.send_modify(|n| *n += 1);
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        }
        inner.put_opts(location, payload, opts).await
    }
}
