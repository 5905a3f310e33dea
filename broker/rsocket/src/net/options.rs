use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::tls::{TlsClient, TlsServer};

/// What a listener is bound with.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    pub socket: SocketOptions,
    /// Connections the kernel holds while nobody accepts; it takes the smaller of this and its
    /// own limit.
    pub backlog: u32,
    /// The certificate of a `tls` or `wss` listener, which cannot be bound without.
    pub tls: Option<Arc<TlsServer>>,
    /// Who may open a Unix socket, as the permissions of its file.
    pub mode: u32,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            socket: SocketOptions::default(),
            backlog: 4096,
            tls: None,
            mode: 0o600,
        }
    }
}

/// What a client dials with.
#[derive(Clone, Debug, Default)]
pub struct DialOptions {
    pub socket: SocketOptions,
    /// For `tls` and `wss`: whom to trust and who we are. None trusts what the platform trusts and
    /// shows no certificate.
    pub tls: Option<TlsClient>,
}

/// How a TCP socket behaves. Other sockets have the two sizes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// `TCP_NODELAY`: small frames leave at once.
    pub nodelay: bool,
    /// `TCP_USER_TIMEOUT`: the system ends a connection whose bytes nobody has acknowledged for so
    /// long. None leaves it to the system, which takes about a quarter of an hour.
    pub user_timeout: Option<Duration>,
    /// `SO_KEEPALIVE`: the system asks a silent peer whether it is there.
    pub keepalive: Option<TcpProbes>,
    /// `SO_SNDBUF` in bytes; 0 lets the system size it.
    pub send_buffer: usize,
    /// `SO_RCVBUF` in bytes; 0 lets the system size it.
    pub receive_buffer: usize,
    /// `TCP_NOTSENT_LOWAT` in bytes, on Linux: the system takes no more while so much waits to be sent.
    /// What it holds is in order, so what is said next waits behind it; what is not handed to it yet can
    /// still take turns. It does not bound what is on the way. 0 leaves the system's own.
    pub unsent: usize,
}

/// When the system probes a silent TCP peer, and when it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpProbes {
    pub idle: Duration,
    pub interval: Duration,
    pub count: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            user_timeout: Some(Duration::from_secs(60)),
            keepalive: Some(TcpProbes::default()),
            send_buffer: 0,
            receive_buffer: 0,
            unsent: 32 * 1024,
        }
    }
}

impl Default for TcpProbes {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(15),
            count: 4,
        }
    }
}

impl SocketOptions {
    /// Sets the sizes, which count only before a TCP socket listens or connects.
    pub(super) fn size(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = SockRef::from(socket);
        if self.send_buffer > 0 {
            socket.set_send_buffer_size(self.send_buffer)?;
        }
        if self.receive_buffer > 0 {
            socket.set_recv_buffer_size(self.receive_buffer)?;
        }
        Ok(())
    }

    /// Sets the rest on a TCP connection.
    pub(super) fn apply(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(self.nodelay)?;
        #[cfg(target_os = "linux")]
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        #[cfg(target_os = "linux")]
        if self.unsent > 0 {
            let unsent = u32::try_from(self.unsent).unwrap_or(u32::MAX);
            socket.set_tcp_notsent_lowat(unsent)?;
        }
        if let Some(TcpProbes {
            idle,
            interval,
            count,
        }) = self.keepalive
        {
            let probes = TcpKeepalive::new()
                .with_time(idle)
                .with_interval(interval)
                .with_retries(count);
            socket.set_tcp_keepalive(&probes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn every_option_reaches_the_socket() {
        let options = SocketOptions {
            nodelay: true,
            user_timeout: Some(Duration::from_secs(7)),
            keepalive: Some(TcpProbes {
                idle: Duration::from_secs(11),
                interval: Duration::from_secs(3),
                count: 5,
            }),
            send_buffer: 50_000,
            receive_buffer: 60_000,
            unsent: 70_000,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        options.size(&socket).unwrap();
        let stream = socket
            .connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        options.apply(&stream).unwrap();
        let set = SockRef::from(&stream);
        assert!(set.tcp_nodelay().unwrap() && set.keepalive().unwrap());
        assert_eq!(set.tcp_keepalive_time().unwrap(), Duration::from_secs(11));
        assert_eq!(
            set.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(3)
        );
        assert_eq!(set.tcp_keepalive_retries().unwrap(), 5);
        #[cfg(target_os = "linux")]
        {
            let timeout = set.tcp_user_timeout().unwrap();
            assert_eq!(timeout, Some(Duration::from_secs(7)));
            assert_eq!(set.tcp_notsent_lowat().unwrap(), 70_000);
            // Linux doubles what it is asked for.
            assert_eq!(set.send_buffer_size().unwrap(), 100_000);
            assert_eq!(set.recv_buffer_size().unwrap(), 120_000);
        }
    }

    #[tokio::test]
    async fn none_leaves_the_system_s_own() {
        let options = SocketOptions {
            nodelay: false,
            user_timeout: None,
            keepalive: None,
            ..SocketOptions::default()
        };
        let socket = TcpSocket::new_v4().unwrap();
        let before = SockRef::from(&socket).send_buffer_size().unwrap();
        options.size(&socket).unwrap();
        options.apply(&socket).unwrap();
        let set = SockRef::from(&socket);
        assert!(!set.tcp_nodelay().unwrap() && !set.keepalive().unwrap());
        assert_eq!(set.send_buffer_size().unwrap(), before);
    }
}
