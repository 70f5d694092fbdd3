//! Unix sockets.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
};

use everywire_core::{
    Result, RpcError,
    wire::{Listener, Peer},
};
use tokio::net::{UnixListener, UnixStream};

use crate::stream::OsStream;

/// A bound Unix socket. Dropping it, and so the shutdown of its server, removes its file.
///
/// The file's permissions follow the umask; a process that may write to it may call the server.
#[derive(Debug)]
pub struct Unix {
    listener: UnixListener,
    path: PathBuf,
    /// What was bound, so that nothing else is removed. `None` if the file is gone already.
    inode: Option<(u64, u64)>,
}

impl Unix {
    /// Binds the socket at `path`. A file left there by a server that was killed is replaced.
    ///
    /// `INVALID_ARGUMENT` for an empty path, `ALREADY_EXISTS` if a program listens there or the file is not a socket,
    /// `UNAVAILABLE` if the operating system can't listen there.
    pub fn bind(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if path.as_os_str().is_empty() {
            return Err(RpcError::invalid_argument("the path of the Unix socket is empty"));
        }
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(RpcError::already_exists(format!("{} exists and is not a socket", path.display())));
        }
        let bound = match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(&path) => {
                fs::remove_file(&path).and_then(|()| UnixListener::bind(&path))
            }
            bound => bound,
        };
        let shown = path.display();
        let listener = bound.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => RpcError::already_exists(format!("{shown} is taken by another program")),
            _ => RpcError::unavailable(format!("can't listen on {shown}: {error}")),
        })?;
        let inode = inode(&path);
        Ok(Self { listener, path, inode })
    }

    /// The path of the socket's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The device and the number of the file at `path`.
fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Whether a socket is at `path` and no process listens on it.
fn is_abandoned(path: &Path) -> bool {
    StdUnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl Listener for Unix {
    type Io = OsStream<UnixStream>;

    async fn accept(&mut self) -> io::Result<(Self::Io, Peer)> {
        let (stream, _) = self.listener.accept().await?;
        Ok((OsStream::new(stream), Peer::LOCAL))
    }

    /// `http+unix:///run/everywire.sock` for the scheme `http`.
    fn url(&self, scheme: &str) -> String {
        format!("{scheme}+unix://{}", self.path.display())
    }
}

impl Drop for Unix {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use everywire_core::Code;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_replaced_only_if_no_process_listens_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind");
        let bound = Unix::bind(&path).unwrap();
        assert_eq!(Unix::bind(&path).unwrap_err().code(), Code::AlreadyExists);
        drop(bound);
        assert!(!path.exists());
        let first = Unix::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Unix::bind(&path).unwrap();
        drop(first);
        assert!(path.exists(), "the file of another server stays");
        drop(second);
        assert_eq!(Unix::bind("").unwrap_err().code(), Code::InvalidArgument);
        fs::write(&path, "a file of somebody's").unwrap();
        assert_eq!(Unix::bind(&path).unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"a file of somebody's");
    }
}
