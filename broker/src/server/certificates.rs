//! The certificates of the listeners, kept in step with the configuration while they serve.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use jackfield_rsocket::net::TlsServer;
use prometheus::{GaugeVec, Opts};

use crate::{
    config::Listener,
    telemetry::{MetricsError, Registry},
};

/// One for each listener, in their order; none for those without TLS.
pub(super) struct Certificates {
    servers: Vec<Option<Arc<TlsServer>>>,
    not_after: GaugeVec,
}

impl Certificates {
    pub(super) fn new(listeners: &[Listener], registry: &Registry) -> Result<Self, MetricsError> {
        let not_after = GaugeVec::new(
            Opts::new(
                "jackfield_tls_cert_not_after_timestamp_seconds",
                "When the first certificate of the chain that a listener shows will end.",
            ),
            &["listener"],
        )?;
        registry.register(Box::new(not_after.clone()))?;
        let server = |listener: &Listener| {
            let tls = listener.tls.as_ref()?;
            Some(Arc::new(TlsServer::new(tls.material.clone())))
        };
        let certificates = Self {
            servers: listeners.iter().map(server).collect(),
            not_after,
        };
        certificates.measure(listeners);
        Ok(certificates)
    }

    /// That of the listener with this number.
    pub(super) fn of(&self, index: usize) -> Option<Arc<TlsServer>> {
        self.servers.get(index)?.clone()
    }

    /// New connections see what the listeners have now; those that live keep what they have.
    pub(super) fn renew(&self, listeners: &[Listener]) {
        for (listener, server) in listeners.iter().zip(&self.servers) {
            let (Some(tls), Some(server)) = (&listener.tls, server) else {
                continue;
            };
            if server.replace(tls.material.clone()) {
                tracing::info!(listener = %listener.uri, "new connections use the new certificate");
            }
        }
        self.measure(listeners);
    }

    fn measure(&self, listeners: &[Listener]) {
        for listener in listeners {
            if let Some(tls) = &listener.tls {
                let end = seconds(tls.material.not_after());
                let uri = listener.uri.to_string();
                self.not_after.with_label_values(&[uri.as_str()]).set(end);
            }
        }
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
