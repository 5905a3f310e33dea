//! Pages that were encrypted for a key of ours, as the client does it: a key of AES in RSA-OAEP, and with that the text
//! behind Snappy, in ECB mode with the padding of PKCS 7.

use aes::{
    Aes128,
    cipher::{BlockDecrypt, KeyInit},
};
use rsa::{
    Oaep, RsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePublicKey},
    sha2::Sha256,
    traits::PublicKeyParts,
};
use sha1::Sha1;

const BITS_MIN: usize = 2048;
const BLOCK: usize = 16;
/// What a page may unfold to.
const PAGE_MAX: usize = 64 << 20;

pub(crate) struct Key {
    private: RsaPrivateKey,
    /// In DER, as clients are given it.
    public: Vec<u8>,
}

impl Key {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        let private = RsaPrivateKey::from_pkcs8_pem(pem)
            .map_err(|_| "key is no private RSA key in PEM (PKCS 8)")?;
        if private.n().bits() < BITS_MIN {
            return Err(format!("key has less than {BITS_MIN} bits"));
        }
        let public = private.to_public_key().to_public_key_der();
        let public = public.map_err(|error| error.to_string())?.into_vec();
        Ok(Self { private, public })
    }

    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    pub(crate) fn open(&self, wrapped: &[u8], data: &[u8]) -> Result<Vec<u8>, String> {
        // Java's name for this says SHA-256 and means it for the label only.
        let padding = Oaep::new_with_mgf_hash::<Sha256, Sha1>();
        let key = self.private.decrypt(padding, wrapped);
        let key = key.map_err(|_| "it was encrypted for another key")?;
        let aes = Aes128::new_from_slice(&key).map_err(|_| "its key is none of AES-128")?;
        let text = unpadded(decrypted(&aes, data)).ok_or("it is not whole")?;
        match snap::raw::decompress_len(&text) {
            Ok(len) if len <= PAGE_MAX => {}
            _ => {
                return Err(format!(
                    "it unfolds to more than {PAGE_MAX} bytes, or not at all"
                ));
            }
        }
        { snap::raw::Decoder::new().decompress_vec(&text) }.map_err(|error| error.to_string())
    }
}

fn decrypted(aes: &Aes128, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for block in data.as_chunks_mut::<BLOCK>().0 {
        aes.decrypt_block(block.into());
    }
    data
}

fn unpadded(mut data: Vec<u8>) -> Option<Vec<u8>> {
    let padding = usize::from(*data.last()?);
    let whole = data.len().is_multiple_of(BLOCK) && (1..=BLOCK).contains(&padding);
    data.truncate(whole.then(|| data.len() - padding)?);
    Some(data)
}

#[cfg(test)]
pub(crate) mod tests {
    use aes::cipher::BlockEncrypt;

    use super::*;

    /// Made with Java's own classes, as the client calls them.
    pub(crate) const PEM: &str = include_str!("test-key.pem");
    pub(crate) const DATA: &str =
        "5b11b9a419758b593f81ce826cd13c75576d748c9ba26ee4adedc6e4e2869eeb";
    pub(crate) const WRAPPED: &str = "6de1dc22edd2bb43cbe8fce28a08c04f2faccd3dbef6e8cc489aad3bc38a678ccaf975f0fda41637ba3b894f30b57882\
        ae71bcbda61680dd5e7373406f7ed9bbc432a25151af7a35efe568ffd94ba2111e37a563f7f94e7d7492ed894f03fa52\
        be1ee327ca07126070e87b4777ba1b7e2197a7cbd396976ef71e7f21670ef2341d3fe5562828dbc0502993158f7b09e6\
        f8650e4e66de9112efa5e2f304992803c19b38ba8f2768473fd1793cf0faa08073043c68a49370b5ea803a69499cd875\
        6e86e20715c79d12e1c265650b98f83337062811ea4d9fc188c84633d900933d1f6847078f211ab30d8220e707964f65\
        debf7dd0ba7677cfef26f8cc9b40e5a6";

    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        let pairs = text.as_bytes().chunks(2);
        pairs
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let key = Key::from_pem(PEM).unwrap();
        let (wrapped, data) = (hex(WRAPPED), hex(DATA));
        assert!(key.open(&wrapped, &data).is_ok());
        for (wrapped, data) in [
            (&wrapped[1..], &data[..]),
            (&wrapped[..], &data[1..]),
            (&wrapped[..], &data[..BLOCK]),
            (&wrapped[..], &[]),
        ] {
            assert!(key.open(wrapped, data).is_err());
        }
    }

    /// A few bytes that say they unfold to four billion are refused before memory is asked for.
    #[test]
    fn a_bomb_does_not_unfold() {
        let key = Key::from_pem(PEM).unwrap();
        let padding = Oaep::new_with_mgf_hash::<Sha256, Sha1>();
        let aes = key.private.decrypt(padding, &hex(WRAPPED));
        let aes = Aes128::new_from_slice(&aes.unwrap()).unwrap();
        let mut block = [11u8; BLOCK];
        block[..5].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
        aes.encrypt_block((&mut block).into());
        let error = key.open(&hex(WRAPPED), &block).unwrap_err();
        assert!(error.contains("unfolds to more than"), "{error}");
    }
}
