//! What one plugin reaches through its imports: the broker as a whole, and outside of it only what the operator allowed.

use std::{net::IpAddr, sync::Arc};

use jackfield_plugin_host::{
    App, CallFailure, Counter, Gauge, HostCalls, HttpFailure, HttpRequest, HttpResponse, Level,
    OutgoingCall, Payload, ServiceName, Waiting,
};
use tokio::sync::Semaphore;

use super::http;

/// Where a plugin may send HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Exact names, in lower case, and ports.
    pub hosts: Vec<(String, u16)>,
    /// Whether addresses of private networks, of this machine and of its link may be reached.
    pub private: bool,
}

impl Outbound {
    pub(super) fn allows(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts
            .iter()
            .any(|(known, at)| *known == host && *at == port)
    }

    pub(super) fn admits(&self, address: IpAddr) -> bool {
        self.private || is_public(address.to_canonical())
    }
}

/// Neither of this machine, nor of a private network or its link, nor of no one in particular.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let protocol = first == 192 && second == 0 && v4.octets()[2] == 0;
            let benchmark = first == 198 && (second == 18 || second == 19);
            !(first == 0
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || first >= 240
                || shared
                || protocol
                || benchmark)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let documentation = first == 0x2001 && second == 0xdb8;
            // What is embedded in it is not looked at, so none of it is let through.
            let translated = first == 0x64 && second == 0xff9b;
            let six_to_four = first == 0x2002;
            let compatible = v6.segments()[..6] == [0; 6];
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || documentation
                || translated
                || six_to_four
                || compatible)
        }
    }
}

/// Of one plugin, calls and HTTP requests apart.
const UNDER_WAY_MAX: usize = 16;

pub(in crate::chain) struct Outside {
    broker: Arc<dyn HostCalls>,
    outbound: Arc<Outbound>,
    calls: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

impl Outside {
    pub(in crate::chain) fn new(broker: Arc<dyn HostCalls>, outbound: Outbound) -> Self {
        Self {
            broker,
            outbound: Arc::new(outbound),
            calls: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            requests: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }
    }
}

impl HostCalls for Outside {
    fn log(&self, plugin: &str, level: Level, message: &str) {
        self.broker.log(plugin, level, message);
    }

    fn counter(&self, plugin: &str, name: &str) -> Option<Arc<dyn Counter>> {
        self.broker.counter(plugin, name)
    }

    fn gauge(&self, plugin: &str, name: &str) -> Option<Arc<dyn Gauge>> {
        self.broker.gauge(plugin, name)
    }

    fn count(&self, service: &ServiceName) -> u32 {
        self.broker.count(service)
    }

    fn offers(&self, name: &str) -> Vec<ServiceName> {
        self.broker.offers(name)
    }

    fn providers(&self, service: &ServiceName) -> Vec<App> {
        self.broker.providers(service)
    }

    fn call(&self, plugin: &str, request: OutgoingCall) -> Waiting<Vec<Payload>, CallFailure> {
        let Ok(permit) = Arc::clone(&self.calls).try_acquire_owned() else {
            return Box::pin(async { Err(CallFailure::Busy) });
        };
        let within = request.timeout;
        let called = self.broker.call(plugin, request);
        Box::pin(async move {
            let _permit = permit;
            match within {
                None => called.await,
                Some(within) => tokio::time::timeout(within, called)
                    .await
                    .unwrap_or(Err(CallFailure::TimedOut)),
            }
        })
    }

    fn http(&self, _plugin: &str, request: HttpRequest) -> Waiting<HttpResponse, HttpFailure> {
        let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() else {
            return Box::pin(async { Err(HttpFailure::Busy) });
        };
        let outbound = Arc::clone(&self.outbound);
        Box::pin(async move {
            let _permit = permit;
            match request.timeout {
                None => http::send(&outbound, request).await,
                Some(within) => tokio::time::timeout(within, http::send(&outbound, request))
                    .await
                    .unwrap_or(Err(HttpFailure::TimedOut)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(!Outbound::default().admits(address), "{address}");
            let private = Outbound {
                private: true,
                ..Outbound::default()
            };
            assert!(private.admits(address));
        }
        for address in ["1.1.1.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(Outbound::default().admits(address.parse().unwrap()));
        }
    }

    #[test]
    fn hosts_are_exact() {
        let outbound = Outbound {
            hosts: vec![("auth.example".into(), 443)],
            private: false,
        };
        assert!(outbound.allows("AUTH.example", 443));
        for (host, port) in [
            ("auth.example", 80),
            ("evil.auth.example", 443),
            ("auth.example.evil", 443),
            ("auth.example.", 443),
        ] {
            assert!(!outbound.allows(host, port), "{host}:{port}");
        }
    }
}
