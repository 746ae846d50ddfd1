//! The private dyn twin of [`Source`], behind [`BoxSource`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Capabilities, Fetch, FetchRequest, Source, Warning};
use crate::error::Error;
use crate::record::SourceDescriptor;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

trait DynSource: Send + Sync {
    fn name(&self) -> &str;
    fn descriptor(&self) -> &Arc<SourceDescriptor>;
    fn capabilities(&self) -> Capabilities;
    fn validate(&self) -> BoxFuture<'_, Result<Vec<Warning>, Error>>;
    fn open(&self) -> BoxFuture<'_, Result<(), Error>>;
    fn fetch<'a>(&'a self, request: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetch, Error>>;
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}

impl<S: Source> DynSource for S {
    fn name(&self) -> &str {
        Source::name(self)
    }

    fn descriptor(&self) -> &Arc<SourceDescriptor> {
        Source::descriptor(self)
    }

    fn capabilities(&self) -> Capabilities {
        Source::capabilities(self)
    }

    fn validate(&self) -> BoxFuture<'_, Result<Vec<Warning>, Error>> {
        Box::pin(Source::validate(self))
    }

    fn open(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(Source::open(self))
    }

    fn fetch<'a>(&'a self, request: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetch, Error>> {
        Box::pin(Source::fetch(self, request))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(Source::close(self))
    }
}

/// A source of any kind, for programs that choose it at run time.
pub struct BoxSource(Box<dyn DynSource>);

impl BoxSource {
    /// Boxes a source.
    #[must_use]
    pub fn new(source: impl Source + 'static) -> Self {
        Self(Box::new(source))
    }
}

impl fmt::Debug for BoxSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BoxSource").field(&self.0.name()).finish()
    }
}

impl Source for BoxSource {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn descriptor(&self) -> &Arc<SourceDescriptor> {
        self.0.descriptor()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn validate(&self) -> Result<Vec<Warning>, Error> {
        self.0.validate().await
    }

    async fn open(&self) -> Result<(), Error> {
        self.0.open().await
    }

    async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetch, Error> {
        self.0.fetch(request).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }
}
