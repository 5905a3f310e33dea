//! Tokens that attack, each with what both profiles make of it.

use super::{super::jwt::TOKEN_MAX, *};

const NOW: i64 = 1_800_000_000;

/// What both profiles find: strict, alibaba.
struct Row(&'static str, String, Found, Found);

type Found = Result<(), Denied>;

/// Claims that are good, with some changed; null takes one out.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "RSocketBroker", "sub": "orders", "aud": ["jackfield", "other"],
        "iat": NOW - 10, "exp": NOW + 600, "id": "7f9c2ba4e88f827d616045507605853e",
        "sas": ["default"], "orgs": ["1"], "roles": ["user"], "authorities": [],
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn both(name: &'static str, token: String, denied: Denied) -> Row {
    Row(name, token, Err(denied), Err(denied))
}

/// HMAC with the public key for a secret: what a verifier that lets the token choose would accept.
fn confused(secret: &[u8]) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!(
        "{}.{}",
        part(header.to_string().as_bytes()),
        part(claims(json!({})).to_string().as_bytes())
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", part(signature.as_ref()))
}

fn unsigned(algorithm: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": algorithm, "typ": "JWT"}));
    format!("{header}.{}.", part(claims(json!({}))))
}

fn rows() -> Vec<Row> {
    use Denied::*;
    let rsa = rsa();
    let (stranger, stranger_jwk) = p256("one");
    let (ed, _) = ed25519("one");
    let signed = |changes: Value| rsa.token(&claims(changes));
    let good = signed(json!({}));
    let with = |header: Value| rsa.sign(&header, &claims(json!({})).to_string());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let der = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(RSA_PUB).unwrap();
    let forged = URL_SAFE_NO_PAD.encode(claims(json!({"sub": "admin"})).to_string());
    vec![
        Row("a good one", good.clone(), Ok(()), Ok(())),
        Row("aud as text", signed(json!({"aud": "jackfield"})), Ok(()), Ok(())),
        Row("exp with a fraction", signed(json!({"exp": NOW as f64 + 9.5})), Ok(()), Ok(())),
        // algorithms
        both("alg none", unsigned("none"), Algorithm),
        both("alg nOnE", unsigned("nOnE"), Algorithm),
        both("alg empty", unsigned(""), Algorithm),
        both("alg RS256, no signature", unsigned("RS256"), Signature),
        both("HS256 by the public PEM", confused(RSA_PUB), Algorithm),
        both("HS256 by the public DER", confused(&der), Algorithm),
        both("HS256 by nothing", confused(b""), Algorithm),
        both("RS512 in the header", with(json!({"alg": "RS512"})), Algorithm),
        both("PS256 in the header", with(json!({"alg": "PS256"})), Algorithm),
        both("ES256 for an RSA key", stranger.token(&claims(json!({}))), Algorithm),
        both("EdDSA for an RSA key", ed.token(&claims(json!({}))), Algorithm),
        both("no alg", with(json!({"typ": "JWT"})), Malformed),
        // keys from outside
        both(
            "an embedded jwk",
            stranger.sign(&json!({"alg": "ES256", "jwk": stranger_jwk}), &claims(json!({})).to_string()),
            Algorithm,
        ),
        both(
            "an embedded jwk, and the algorithm of ours",
            format!("{}.{}", URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "jwk": stranger_jwk}).to_string()), good.split_once('.').unwrap().1),
            Signature,
        ),
        both(
            "jku and x5u",
            format!("{}.{}", URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "jku": "https://evil.example/", "x5u": "https://evil.example/"}).to_string()), good.split_once('.').unwrap().1),
            Signature,
        ),
        Row(
            "jku that is signed: not looked at",
            with(json!({"alg": "RS256", "jku": "https://evil.example/"})),
            Ok(()),
            Ok(()),
        ),
        both("crit", with(json!({"alg": "RS256", "crit": ["exp"]})), Malformed),
        both("zip", with(json!({"alg": "RS256", "zip": "DEF"})), Malformed),
        both(
            "kid that is a path",
            format!("{}.{}", URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "kid": "../../dev/null"}).to_string()), good.split_once('.').unwrap().1),
            Signature,
        ),
        both(
            "kid twice in the header",
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"one","kid":"two"}"#), good.split_once('.').unwrap().1),
            Malformed,
        ),
        both(
            "alg twice in the header",
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","alg":"RS256"}"#), good.split_once('.').unwrap().1),
            Malformed,
        ),
        // times
        both("expired", signed(json!({"exp": NOW - 3600})), Expired),
        both("expired by the skew", signed(json!({"exp": NOW - 30})), Expired),
        Row("expired within the skew", signed(json!({"exp": NOW - 29})), Ok(()), Ok(())),
        both("not yet valid", signed(json!({"nbf": NOW + 3600})), NotYetValid),
        both("not yet valid by more than the skew", signed(json!({"nbf": NOW + 31})), NotYetValid),
        Row("not yet valid within the skew", signed(json!({"nbf": NOW + 30})), Ok(()), Ok(())),
        both("issued in the future", signed(json!({"iat": NOW + 3600})), NotYetValid),
        Row("no exp", signed(json!({"exp": null})), Err(MissingClaim), Ok(())),
        both("exp as text", signed(json!({"exp": "9999999999"})), ClaimType),
        both("exp true", signed(json!({"exp": true})), ClaimType),
        both("exp negative", signed(json!({"exp": -1})), ClaimType),
        both("exp in a list", signed(json!({"exp": [NOW + 600]})), ClaimType),
        both("nbf as text", signed(json!({"nbf": "0"})), ClaimType),
        both(
            "exp null",
            rsa.sign(&json!({"alg": "RS256"}), r#"{"iss":"RSocketBroker","sub":"a","aud":"jackfield","exp":null}"#),
            ClaimType,
        ),
        both(
            "exp twice",
            rsa.sign(&json!({"alg": "RS256"}), r#"{"iss":"RSocketBroker","sub":"a","aud":"jackfield","exp":1,"exp":9999999999}"#),
            ClaimType,
        ),
        both(
            "exp beyond numbers",
            rsa.sign(&json!({"alg": "RS256"}), r#"{"iss":"RSocketBroker","sub":"a","aud":"jackfield","exp":1e999}"#),
            Malformed,
        ),
        Row(
            "exp in a far future",
            signed(json!({"exp": 1e300})),
            Ok(()),
            Ok(()),
        ),
        // names
        both("another issuer", signed(json!({"iss": "Somebody"})), Issuer),
        both("no issuer", signed(json!({"iss": null})), MissingClaim),
        both("issuers in a list", signed(json!({"iss": ["RSocketBroker"]})), ClaimType),
        Row("another audience", signed(json!({"aud": ["other"]})), Err(Audience), Ok(())),
        Row("no audience", signed(json!({"aud": null})), Err(MissingClaim), Ok(())),
        Row("an empty audience", signed(json!({"aud": []})), Err(Audience), Ok(())),
        both("audience as a number", signed(json!({"aud": 1})), ClaimType),
        both("no subject", signed(json!({"sub": null})), MissingClaim),
        both("an empty subject", signed(json!({"sub": ""})), MissingClaim),
        both("roles as a number", signed(json!({"roles": 7})), ClaimType),
        // shape
        both("empty signature", format!("{head}."), Signature),
        both("truncated", good[..good.len() - 5].to_owned(), Signature),
        both("two parts", head.to_owned(), Malformed),
        both("four parts", format!("{good}.x"), Malformed),
        both("nothing", String::new(), Malformed),
        both("dots", "..".to_owned(), Malformed),
        both("claims exchanged", format!("{header}.{forged}.{signature}"), Signature),
        both("header exchanged", format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","x":1}"#), good.split_once('.').unwrap().1), Signature),
        both("padding", format!("{good}="), Signature),
        both("not base64", format!("{head}.***"), Signature),
        both("claims that are no object", rsa.sign(&json!({"alg": "RS256"}), "[]"), ClaimType),
        both("claims that are no JSON", rsa.sign(&json!({"alg": "RS256"}), "{"), Malformed),
        both("1 MiB", signed(json!({"x": "x".repeat(1 << 20)})), TooLong),
        both("one byte too long", "x".repeat(TOKEN_MAX + 1), TooLong),
        // revocation
        both("revoked by id", signed(json!({"jti": "leaked"})), Revoked),
        both("revoked by subject", signed(json!({"sub": "mallory"})), Revoked),
    ]
}

#[test]
fn every_attack_is_found_out_under_both_profiles() {
    let keys = keys::parse(RSA_PUB).unwrap();
    let revoked = revoked::Revoked::parse("leaked\nsub:mallory\n").unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(NOW as u64);
    let found = |profile, token: &str| {
        let found = jwt(profile).verify(&keys, &revoked, token, now);
        found.map(drop)
    };
    let mut wrong = Vec::new();
    for Row(name, token, strict, alibaba) in rows() {
        let expected = [strict, alibaba];
        let found = [
            found(Profile::Strict, &token),
            found(Profile::Alibaba, &token),
        ];
        if found != expected {
            wrong.push(format!("{name}: {found:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_principal_is_what_the_token_says() {
    let keys = keys::parse(RSA_PUB).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(NOW as u64);
    let token = rsa().token(&claims(
        json!({"orgs": ["1", "2"], "authorities": ["write"]}),
    ));
    let verified = jwt(Profile::Strict)
        .verify(&keys, &revoked::Revoked::default(), &token, now)
        .unwrap();
    let principal = verified.principal;
    assert_eq!(
        (&*principal.subject, principal.kind),
        ("orders", Kind::Token)
    );
    assert_eq!(*principal.organisations, ["1".into(), "2".into()]);
    assert_eq!(*principal.service_accounts, ["default".into()]);
    assert_eq!(*principal.roles, ["user".into()]);
    assert_eq!(*principal.authorities, ["write".into()]);
    let end = UNIX_EPOCH + Duration::from_secs(NOW as u64 + 630);
    assert_eq!(principal.expires, Some(end), "the skew is for both ends");
    assert!(!verified.without_expiry);
}

/// The key of a token is the one that its `kid` names, of the kinds of keys that are there.
#[test]
fn a_kid_chooses_a_key_and_nothing_else() {
    let (first, first_jwk) = p256("first");
    let (second, second_jwk) = ed25519("second");
    let set = jwks(&[&first_jwk, &second_jwk]);
    let keys = keys::parse_jwks(set.as_bytes()).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(NOW as u64);
    let found = |signer: &Signer, header: Value| {
        let token = signer.sign(&header, &claims(json!({})).to_string());
        jwt(Profile::Strict)
            .verify(&keys, &revoked::Revoked::default(), &token, now)
            .map(drop)
    };
    for (signer, header, expected) in [
        (&first, json!({"alg": "ES256", "kid": "first"}), Ok(())),
        (&second, json!({"alg": "EdDSA", "kid": "second"}), Ok(())),
        (&first, json!({"alg": "ES256"}), Ok(())),
        (
            &first,
            json!({"alg": "ES256", "kid": "second"}),
            Err(Denied::Algorithm),
        ),
        (
            &first,
            json!({"alg": "ES256", "kid": "third"}),
            Err(Denied::UnknownKey),
        ),
        (
            &first,
            json!({"alg": "ES256", "kid": ["first"]}),
            Err(Denied::Malformed),
        ),
        (
            &second,
            json!({"alg": "ES256", "kid": "first"}),
            Err(Denied::Signature),
        ),
    ] {
        assert_eq!(found(signer, header.clone()), expected, "{header}");
    }
}

proptest::proptest! {
    /// Whatever a token is, it is refused, and nothing panics.
    #[test]
    fn no_text_is_a_token_by_chance(text in ".{0,200}", at in 0..300_usize, with in proptest::char::any()) {
        let keys = keys::parse(RSA_PUB).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(NOW as u64);
        let good = rsa().token(&claims(json!({})));
        let changed: String = good.chars().enumerate().map(|(index, c)| if index == at { with } else { c }).collect();
        for token in [text, changed] {
            if token != good {
                let found = jwt(Profile::Alibaba).verify(&keys, &revoked::Revoked::default(), &token, now);
                proptest::prop_assert!(found.is_err(), "{token}");
            }
        }
    }
}
