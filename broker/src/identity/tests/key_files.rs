//! Keys as files and key sets hold them.

use super::*;

#[test]
fn pem_der_and_certificates_are_read() {
    let der = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(RSA_PUB).unwrap();
    let several = [RSA_PUB, include_bytes!("ed25519.cert.pem")].concat();
    for (bytes, algorithms) in [
        (RSA_PUB, &[Algorithm::RS256][..]),
        (&der, &[Algorithm::RS256]),
        (include_bytes!("ed25519.cert.pem"), &[Algorithm::EdDSA]),
        (&several, &[Algorithm::RS256, Algorithm::EdDSA]),
    ] {
        let keys = keys::parse(bytes).unwrap();
        let found: Vec<Algorithm> = keys.iter().map(|key| key.algorithm).collect();
        assert_eq!(found, algorithms);
    }
}

#[test]
fn what_is_no_public_key_is_refused_by_name() {
    for (bytes, what) in [
        (RSA_KEY, "holds a private key"),
        (
            include_bytes!("short.pub.pem"),
            "holds an RSA key of less than 2048 bits",
        ),
        (
            include_bytes!("p384.pub.pem"),
            "holds a key of another kind",
        ),
        (b"", "holds no public key"),
        (b"hello", "holds no public key"),
        (b"0hello", "holds a key that cannot be read"),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "holds a key that cannot be read",
        ),
        (
            b"-----BEGIN PUBLIC KEY-----\n****\n-----END PUBLIC KEY-----\n",
            "is neither PEM nor DER",
        ),
    ] {
        let error = keys::parse(bytes).unwrap_err();
        assert!(error.what.starts_with(what), "{error}");
    }
}

#[test]
fn of_a_key_set_what_is_of_use_is_taken() {
    let (_, good) = p256("good");
    let mut for_encryption = p256("enc").1;
    for_encryption["use"] = "enc".into();
    let mut other_algorithm = p256("es384").1;
    other_algorithm["alg"] = "ES384".into();
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"});
    let short = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xFF; 128]), "e": "AQAB", "kid": "short"});
    let odd = json!({"kty": "XYZ"});
    let set = jwks(&[
        &for_encryption,
        &other_algorithm,
        &secret,
        &short,
        &odd,
        &good,
    ]);
    let keys = keys::parse_jwks(set.as_bytes()).unwrap();
    let ids: Vec<&str> = keys.iter().filter_map(|key| key.id.as_deref()).collect();
    assert_eq!(ids, ["good"]);
}

#[test]
fn a_key_set_with_two_keys_of_one_name_is_refused() {
    let (_, one) = p256("same");
    let (_, other) = p256("same");
    for (set, what) in [
        (jwks(&[&one, &other]), "names two keys `same`"),
        (jwks(&[]), "has no RSA, P-256 or Ed25519 key for signatures"),
        ("[]".into(), "is no JSON Web Key Set"),
        ("<html>".into(), "is no JSON Web Key Set"),
    ] {
        let error = keys::parse_jwks(set.as_bytes()).unwrap_err();
        assert!(error.what.starts_with(what), "{error}");
    }
}

#[test]
fn a_key_set_comes_by_https_or_from_this_machine() {
    for (url, good) in [
        ("https://id.example/jwks", true),
        ("http://127.0.0.1:1/jwks", true),
        ("http://[::1]:1/jwks", true),
        ("http://localhost/jwks", true),
        ("http://id.example/jwks", false),
        ("http://127.0.0.1.id.example/jwks", false),
        ("file:///etc/passwd", false),
        ("id.example", false),
        ("", false),
    ] {
        assert_eq!(check_url(url).is_ok(), good, "{url}");
    }
}
