//! The components that are or were live, by digest. What is read back is checked against its name.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use jackfield_plugin_host::{Digest, PluginError};

use crate::chain::signature::{Component, signature_beside};

pub(in crate::chain) struct Components {
    dir: PathBuf,
}

impl Components {
    pub(in crate::chain) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.join("components"),
        }
    }

    pub(in crate::chain) fn keep(&self, component: &Component) -> Result<String, PluginError> {
        let digest = Digest::of(&component.bytes).to_string();
        let path = self.path(&digest);
        let write = |path: &Path, bytes: &[u8]| {
            let new = path.with_extension("new");
            fs::write(&new, bytes)?;
            fs::rename(new, path)
        };
        let kept = || {
            let mut private = fs::DirBuilder::new();
            private.recursive(true).mode(0o700).create(&self.dir)?;
            if let Some(signature) = &component.signature {
                write(&path.with_extension("wasm.minisig"), signature.as_bytes())?;
            }
            match path.is_file() {
                true => Ok(()),
                false => write(&path, &component.bytes),
            }
        };
        kept().map_err(|source: io::Error| PluginError::Io {
            what: format!("cannot be kept in {}", self.dir.display()),
            source,
        })?;
        Ok(digest)
    }

    pub(in crate::chain) fn read(&self, digest: &str) -> Result<Component, PluginError> {
        let gone = || PluginError::Unavailable(format!("has no version {digest} that is kept"));
        // A digest comes from an operator, and becomes the name of a file.
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(gone());
        }
        let bytes = fs::read(self.path(digest)).map_err(|_| gone())?;
        match Digest::of(&bytes).to_string() == digest {
            true => Ok(Component {
                bytes,
                signature: signature_beside(&self.path(digest)),
            }),
            false => {
                let _ = fs::remove_file(self.path(digest));
                Err(gone())
            }
        }
    }

    /// A file that cannot be removed is tried again next time.
    pub(in crate::chain) fn keep_only<'a>(&self, needed: impl Iterator<Item = &'a str>) {
        let needed: HashSet<&str> = needed.collect();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let digest = name.split('.').next().unwrap_or_default();
            if !needed.contains(digest) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(digest).with_extension("wasm")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_back_and_a_changed_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let components = Components::new(dir.path());
        let digest = components.keep(&b"one".to_vec().into()).unwrap();
        assert_eq!(components.read(&digest).unwrap().bytes, b"one");
        fs::write(components.path(&digest), b"two").unwrap();
        assert!(components.read(&digest).is_err());
        assert!(!components.path(&digest).exists());
        for digest in ["../../etc/passwd", "", "00ff"] {
            assert!(components.read(digest).is_err());
        }
    }

    #[test]
    fn a_signature_is_kept_with_what_it_signs_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let components = Components::new(dir.path());
        let signed = Component {
            bytes: b"one".to_vec(),
            signature: Some("by me".into()),
        };
        let digest = components.keep(&signed).unwrap();
        assert_eq!(components.read(&digest).unwrap(), signed);
        components.keep_only(std::iter::empty());
        assert_eq!(fs::read_dir(&components.dir).unwrap().count(), 0);
    }

    #[test]
    fn what_nobody_needs_goes() {
        let dir = tempfile::tempdir().unwrap();
        let components = Components::new(dir.path());
        let [one, two] =
            [b"one", b"two"].map(|bytes| components.keep(&bytes.to_vec().into()).unwrap());
        components.keep_only([&*two].into_iter());
        assert!(components.read(&one).is_err() && components.read(&two).is_ok());
    }
}
