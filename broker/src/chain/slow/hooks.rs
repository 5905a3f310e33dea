//! What slow hooks are asked, each as a value that can wait in a queue.

use std::{future::Future, sync::Arc};

use jackfield_plugin_host::{
    Admission, App, Applicant, Event, Family, Part, Payload, PluginError, Question, Scrape,
    SlowInstance, Treatment,
};

/// What a hook is asked, as a function of the instance.
pub(in crate::chain) trait Ask<T>: Send + 'static {
    fn ask<'i>(
        self,
        instance: &'i mut SlowInstance,
    ) -> impl Future<Output = Result<T, PluginError>> + Send + 'i;
}

pub(in crate::chain) struct Authenticate(pub(in crate::chain) Arc<Applicant>);
pub(in crate::chain) struct Greet(pub(in crate::chain) Arc<App>);
pub(in crate::chain) struct AskFor(pub(in crate::chain) Arc<App>, pub(in crate::chain) Scrape);
pub(in crate::chain) struct Read {
    pub(in crate::chain) app: Arc<App>,
    pub(in crate::chain) context: Arc<[u8]>,
    pub(in crate::chain) reply: Payload,
}
pub(in crate::chain) struct Review(pub(in crate::chain) Arc<App>, pub(in crate::chain) Family);
pub(in crate::chain) struct Pushed(pub(in crate::chain) Arc<App>, pub(in crate::chain) Payload);
pub(in crate::chain) struct Tell(pub(in crate::chain) Vec<Event>, pub(in crate::chain) u64);

impl Ask<Admission> for Authenticate {
    async fn ask(self, instance: &mut SlowInstance) -> Result<Admission, PluginError> {
        instance.authenticate(&self.0).await
    }
}

impl Ask<Option<Question>> for Greet {
    async fn ask(self, instance: &mut SlowInstance) -> Result<Option<Question>, PluginError> {
        instance.greet(&self.0).await
    }
}

impl Ask<Option<Question>> for AskFor {
    async fn ask(self, instance: &mut SlowInstance) -> Result<Option<Question>, PluginError> {
        instance.ask(&self.0, &self.1).await
    }
}

impl Ask<Result<Part, String>> for Read {
    async fn ask(self, instance: &mut SlowInstance) -> Result<Result<Part, String>, PluginError> {
        instance.read(&self.app, &self.context, self.reply).await
    }
}

impl Ask<Treatment> for Review {
    async fn ask(self, instance: &mut SlowInstance) -> Result<Treatment, PluginError> {
        instance.on_family(&self.0, &self.1).await
    }
}

impl Ask<Result<Option<Part>, String>> for Pushed {
    async fn ask(
        self,
        instance: &mut SlowInstance,
    ) -> Result<Result<Option<Part>, String>, PluginError> {
        instance.on_push(&self.0, self.1).await
    }
}

impl Ask<()> for Tell {
    async fn ask(self, instance: &mut SlowInstance) -> Result<(), PluginError> {
        instance.on_events(&self.0, self.1).await
    }
}
