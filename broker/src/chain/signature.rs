//! A component with its minisign signature, and whether that is by the key the configuration asks for.
//!
//! What is embedded in the binary needs none: who trusts the binary trusts it too.

use std::{fs, path::Path};

use jackfield_plugin_host::{Outline, PluginError};
use minisign_verify::{PublicKey, Signature};

use super::builtin;

/// The bytes of a component, and the text of the file that signs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub bytes: Vec<u8>,
    /// None: it is not signed.
    pub signature: Option<String>,
}

/// A signature is a few lines; what is longer is none.
const SIGNATURE_BYTES_MAX: u64 = 4096;

impl Component {
    /// A file, and `FILE.minisig` beside it when there is one.
    pub fn read(file: &Path) -> Result<Self, PluginError> {
        let io = |source| PluginError::Io {
            what: format!("cannot be read from {}", file.display()),
            source,
        };
        Outline::check_size(fs::metadata(file).map_err(io)?.len())?;
        Ok(Self {
            bytes: fs::read(file).map_err(io)?,
            signature: signature_beside(file),
        })
    }

    /// Whether a key in minisign's Base64 has signed it.
    pub(super) fn check(&self, key: Option<&str>) -> Result<(), PluginError> {
        let Some(key) = key else { return Ok(()) };
        if builtin::holds(&self.bytes) {
            return Ok(());
        }
        let refused = |why: &str| PluginError::Signature(why.to_owned());
        let signature = self.signature.as_deref();
        let signature = signature
            .ok_or_else(|| refused("there is no file of its name with .minisig behind it"))?;
        let key = PublicKey::from_base64(key).map_err(|_| refused("the key is none"))?;
        let signature =
            Signature::decode(signature).map_err(|_| refused("the signature is none"))?;
        key.verify(&self.bytes, &signature, false)
            .map_err(|_| refused("the signature is by another key, or of another component"))
    }
}

impl From<Vec<u8>> for Component {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            signature: None,
        }
    }
}

/// What `FILE.minisig` says.
pub(super) fn signature_beside(file: &Path) -> Option<String> {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    let small = fs::metadata(&name).is_ok_and(|about| about.len() <= SIGNATURE_BYTES_MAX);
    small.then(|| fs::read_to_string(name).ok()).flatten()
}

/// Whether a text is a public key of minisign.
pub fn is_public_key(text: &str) -> bool {
    PublicKey::from_base64(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a pair made for this test; the secret key was thrown away.
    const KEY: &str = "RWR43Ki4IEZ0XRzJwT4ePNyRYfxo28kWuc+2+WUWuQTOxdY6qbK8H6Sh";
    const OTHER: &str = "RWQUjGOb/rjlT8ACZOLZH3COSagOr/TLa6tFocrL6ocdGef8UhqinJf2";
    const SIGNED: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/plugin-host/tests/frozen/0.1.0/canary.wasm"
    );

    #[test]
    fn only_the_signed_bytes_pass_and_only_with_their_key() {
        assert!(is_public_key(KEY) && is_public_key(OTHER) && !is_public_key("RWQ"));
        let signed = Component::read(Path::new(SIGNED)).unwrap();
        signed.check(Some(KEY)).unwrap();
        signed.check(None).unwrap();
        let refusal =
            |component: &Component, key| component.check(Some(key)).unwrap_err().to_string();
        assert!(refusal(&signed, OTHER).contains("another key"));

        let mut changed = signed.clone();
        changed.bytes[77] ^= 1;
        assert!(refusal(&changed, KEY).contains("another component"));
        let unsigned = Component::from(signed.bytes.clone());
        assert!(refusal(&unsigned, KEY).contains(".minisig"));
        let nonsense = Component {
            signature: Some("trust me".into()),
            ..signed
        };
        assert!(refusal(&nonsense, KEY).contains("is none"));
    }
}
