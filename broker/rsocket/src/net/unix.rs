//! Unix sockets: a listener whose address is a file.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::ListenOptions;

/// The file of a bound socket; removed with this value, unless somebody put another in its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Binds, and replaces the file that a listener left behind which is no more.
pub(super) fn bind(path: &Path, options: &ListenOptions) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    options.socket.size(&socket)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    // Nobody can connect before it listens, so nobody slips in before the permissions are set.
    fs::set_permissions(path, Permissions::from_mode(options.mode))?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    let listener = net::UnixListener::from(std::os::fd::OwnedFd::from(socket));
    Ok((UnixListener::from_std(listener)?, file))
}

/// Removes a socket on which nobody answers; anything else stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let text = "the file exists and is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Somebody answers, or we may not ask.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode)) {
            // If it cannot be removed, the next listener finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::super::{Body, Listener, Peer, connect};
    use super::*;

    #[tokio::test]
    async fn frames_cross_and_the_file_goes_with_the_listener() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("broker.sock");
        let uri = format!("unix:{}", path.display()).parse().unwrap();
        let listener = Listener::bind(&uri).await.unwrap();
        assert_eq!(listener.uri(), &uri);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let accept = async { listener.accept().await.unwrap().open(100).await.unwrap() };
        let (near, mut far) = tokio::join!(connect(&uri, 100), accept);
        let mut near = near.unwrap();
        assert_eq!((far.peer(), far.kind().as_str()), (Peer::Unix, "unix"));
        near.push(b"header", Body::Copy(b"+body"));
        near.flush().await.unwrap();
        assert_eq!(far.next_frame().await.unwrap().unwrap(), "header+body");
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_serves_is_replaced() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("broker.sock");
        let options = ListenOptions {
            mode: 0o660,
            ..ListenOptions::default()
        };
        // Left behind: bound, and closed without removing it.
        drop(net::UnixListener::bind(&path).unwrap());
        let (_listener, file) = bind(&path, &options).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let second = bind(&path, &options).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        // Somebody else's file in the same place is not ours to remove.
        fs::remove_file(&path).unwrap();
        let _other = net::UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());

        let plain = folder.path().join("plain");
        fs::write(&plain, "text").unwrap();
        let error = bind(&plain, &options).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&plain).unwrap(), "text");
    }
}
