//! Apps as slow hooks see them.

use crate::bindings::shared::jackfield::plugin::apps as wit;

/// One connected app. Empty text means: is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    pub uuid: String,
    pub name: String,
    /// The address it claims.
    pub ip: String,
    /// The address the broker sees.
    pub address: String,
    pub transport: String,
    pub sdk: String,
    pub principal: String,
    /// Each `[group!]service[:version]`.
    pub services: Vec<String>,
    pub metadata: Vec<(String, String)>,
}

impl App {
    pub(crate) fn into_wit(self) -> wit::App {
        let Self {
            uuid,
            name,
            ip,
            address,
            transport,
            sdk,
            principal,
            services,
            metadata,
        } = self;
        wit::App {
            uuid,
            name,
            ip,
            address,
            transport,
            sdk,
            principal,
            services,
            metadata,
        }
    }
}
