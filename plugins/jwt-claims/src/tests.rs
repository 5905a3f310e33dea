//! Tokens were signed by OpenSSL with keys that are nowhere any more. They are good from 500 to 2000 (seconds since
//! 1970), by `issuer`, for `a` and `broker`.

use jackfield_plugin_sdk::{
    auth::Credential,
    testing::{TestRequest, configured, set_clock},
};
use serde_json::json;

use super::*;

const EC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECcgQ5U3wI1jlIKElptQW+wML0UUM\ngCjJYomI9cRi+rW6tioe4XyMPz460u93xqFmDtZ4XaiMW1JvojZ1txPGNQ==\n-----END PUBLIC KEY-----\n";
const RSA_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAp+7dMox+Zi30uS3dJTwN\ncFxf/Hf8aGcm7fiE3zeDJs9+jfWe0H5h2UfS6Q3vZVjYSdQPx2ZrEI2bu13izCxY\nBZ8h9Mt/qgVJN6d3FE5HmzNxGgiM/KJPxAYzGamq3qJ254WA5eiZw9sUY060kMki\nMa7bj3j+7ENd7A3xXEGatWvwWijojU7LEMrtkNF7mSXn9GZoNlCVtIDmHfAUUbM3\ntS2/uUOJOCrYDlzEjaBzftCM4cF4SnKaDqyskDDAupyRZ0+RWVhwjEkUhMYEKFJM\nWsButZTWCb3/f6DvhoZtojS3uLHC3iGXTkHuD3wTE12ywoWvWyqxcZFQYSWooxu2\nRQIDAQAB\n-----END PUBLIC KEY-----\n";
const ED_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAODo5gJxp3C2ZE1p8OS2q2gDBybWdQGkLsit6tNAk07M=\n-----END PUBLIC KEY-----\n";
const SMALL_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDN2bidh+Tf5Y3Kh6gtOImkG7bo\n6vOJSQOgjH8zeUk2rey5UUOMMlRv4XY4WhsG1ehJRXvCCSwPJN76qhcDLPD+iWyq\n2kWSS7v3hzZUa1ytSusFeOt/9S59Uxcx2BpEw0MxgDw0uyOxemHwo6INp2ng0l3B\nnXvpCU5yuLsg4F0DDwIDAQAB\n-----END PUBLIC KEY-----\n";
const ES256: &str = "eyJhbGciOiAiRVMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAic2hvcCIsICJpc3MiOiAiaXNzdWVyIiwgImF1ZCI6IFsiYSIsICJicm9rZXIiXSwgImV4cCI6IDIwMDAsICJuYmYiOiA1MDAsICJyb2xlcyI6IFsiYWRtaW4iLCAiZGV2Il0sICJvcmciOiAiYWNtZSJ9.Q_eSoKQrV6KJ7cGZ8J-rHBDA2hNJAY5V1fYW_jnoqrylnS0g_pVVng0rEq5ThXniAEy6ZwBqTNY7X4CW18zNEw";
const RS256: &str = "eyJhbGciOiAiUlMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAic2hvcCIsICJpc3MiOiAiaXNzdWVyIiwgImF1ZCI6IFsiYSIsICJicm9rZXIiXSwgImV4cCI6IDIwMDAsICJuYmYiOiA1MDAsICJyb2xlcyI6IFsiYWRtaW4iLCAiZGV2Il0sICJvcmciOiAiYWNtZSJ9.JqLwF29v-1YowyzgGAebrcqhpnS4045xGflCITDhr57W1qPVMq66fujRC9A6UdlGh4a2bQbw-VRMmreOTH7ta0c1YcxE8XqBwJk6hx5Fd3aN_cZJSgbnmpNFw7X--k-KDDVVaOQNmuWd1n8Ni1YqwVc8j-0mCsa1W8ZR1WtywTCdHjNo-kI5rJH1kU5OKfEuFxSPjnbMD9tYjGTcaix0A6N7SHknME7iNZS-B6Q9bzSgVfuUzgUltlwAXCTo7Zh54JpQ8SPSnWoLkca98Ps6vVi0p6CO4N5pEw_dH1djX49Ti1yKKGSRdQW9WjpwPHTU_WD5x6NCoB8trVRuPmdJag";
const EDDSA: &str = "eyJhbGciOiAiRWREU0EiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAic2hvcCIsICJpc3MiOiAiaXNzdWVyIiwgImF1ZCI6IFsiYSIsICJicm9rZXIiXSwgImV4cCI6IDIwMDAsICJuYmYiOiA1MDAsICJyb2xlcyI6IFsiYWRtaW4iLCAiZGV2Il0sICJvcmciOiAiYWNtZSJ9.67OQuKVbPDxg9Dii16cL0OO04taU2QAKBLxg8FetLC-3_9NDoY-upU-tuHe3ojT4v3X5hTfDNpc36rJwU81ACA";
const CRITICAL: &str = "eyJhbGciOiAiRVMyNTYiLCAidHlwIjogIkpXVCIsICJjcml0IjogWyJ4Il19.eyJzdWIiOiAic2hvcCIsICJpc3MiOiAiaXNzdWVyIiwgImF1ZCI6IFsiYSIsICJicm9rZXIiXSwgImV4cCI6IDIwMDAsICJuYmYiOiA1MDAsICJyb2xlcyI6IFsiYWRtaW4iLCAiZGV2Il0sICJvcmciOiAiYWNtZSJ9.oVlDiWp2XBt2irSInXvC-McKXkkuHwvqUUADyxEpeLswsoIt0O5l4Lti_uptrMOPu_8PMcSTdCLYnLlcNJoWeA";
const NAMELESS: &str = "eyJhbGciOiAiRVMyNTYiLCAidHlwIjogIkpXVCJ9.eyJleHAiOiAyMDAwLCAiaXNzIjogImlzc3VlciIsICJhdWQiOiAiYnJva2VyIn0.4DCOVhXlEhBa5bWHk2td93GcBZlYdgVVtLSX25Plb7cI7QJI4EftuSKjwHC3sJwKkdPGLtFgov7uNkIdL7qMfg";
const FOR_EVER: &str = "eyJhbGciOiAiRVMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAic2hvcCIsICJpc3MiOiAiaXNzdWVyIiwgImF1ZCI6ICJicm9rZXIifQ.D5ZkNIH9FXqJcz3YDX6lK5pGV2z5xQ0wSJaXGtZn6ceQCVAZlvCLg7h_WcqBobRY-X3H5fQLZVtbWwuI40xGFw";

fn plugin(change: impl FnOnce(&mut Value)) -> Result<JwtClaims, String> {
    let mut settings = json!({
        "keys": [EC_KEY, RSA_KEY, ED_KEY],
        "issuer": "issuer",
        "audience": "broker",
        "attributes": { "roles": "role", "org": "organisation" },
        "require": ["role:admin"],
    });
    change(&mut settings);
    configured(&settings.to_string())
}

fn outcome(it: &JwtClaims, token: &str, now: u64) -> Outcome {
    set_clock(now * 1_000);
    let mut applicant = Applicant::anonymous();
    applicant.credentials.push(Credential::Bearer(token.into()));
    it.authenticate(&applicant)
}

fn refused(it: &JwtClaims, token: &str, now: u64) -> bool {
    matches!(outcome(it, token, now), Outcome::Refuse(_))
}

#[test]
fn a_good_token_is_a_principal_with_attributes() {
    let it = plugin(|_| ()).unwrap();
    let expected = Principal::new("shop")
        .attribute("organisation", "acme")
        .attribute("role", "admin")
        .attribute("role", "dev")
        .expires(1_000);
    for token in [ES256, RS256, EDDSA] {
        assert_eq!(outcome(&it, token, 1_000), Outcome::Admit(expected.clone()));
    }
}

#[test]
fn time_issuer_and_audience_must_fit() {
    let it = plugin(|_| ()).unwrap();
    assert!(refused(&it, ES256, 2_000) && refused(&it, ES256, 499));
    assert!(!refused(&it, ES256, 500) && !refused(&it, ES256, 1_999));
    for key in ["issuer", "audience"] {
        let other = plugin(|settings| settings[key] = json!("other")).unwrap();
        assert!(refused(&other, ES256, 1_000));
    }
    assert!(refused(&it, FOR_EVER, 1_000) && refused(&it, NAMELESS, 1_000));
}

#[test]
fn what_was_not_signed_is_refused() {
    let it = plugin(|_| ()).unwrap();
    let (signed, signature) = ES256.rsplit_once('.').unwrap();
    let (_, claims) = signed.split_once('.').unwrap();
    let unsigned = "eyJhbGciOiJub25lIn0";
    for token in [
        String::new(),
        "..".into(),
        signed.into(),
        format!("{signed}."),
        format!("{unsigned}.{claims}."),
        format!("{unsigned}.{claims}.{signature}"),
        format!("{signed}x.{signature}"),
        format!("{signed}.{}", RS256.rsplit_once('.').unwrap().1),
        format!("{signed}.{}", EDDSA.rsplit_once('.').unwrap().1),
        CRITICAL.into(),
    ] {
        assert!(refused(&it, &token, 1_000), "{token}");
    }
    let without = plugin(|settings| settings["keys"] = json!([RSA_KEY])).unwrap();
    assert!(refused(&without, ES256, 1_000));
}

#[test]
fn without_a_token_it_abstains() {
    let it = plugin(|_| ()).unwrap();
    let outcome = it.authenticate(&Applicant::anonymous());
    assert_eq!(outcome, Outcome::Abstain);
}

#[test]
fn callers_need_one_of_the_attributes() {
    let it = plugin(|_| ()).unwrap();
    let request = TestRequest::new("com.example.admin.Users", "delete").principal("shop");
    assert!(request.ask(&it).is_refusal());
    assert!(request.attribute("role", "admin").ask(&it).is_pass());
}

#[test]
fn refuses_settings_that_make_no_sense() {
    for (key, value, complaint) in [
        ("keys", json!([]), "`keys` is empty"),
        ("keys", json!(["x"]), "no public RSA, P-256 or Ed25519 key"),
        ("keys", json!([SMALL_KEY]), "less than 2048 bits"),
        ("require", json!(["admin"]), "`attribute:value`"),
    ] {
        let error = plugin(|settings| settings[key] = value).err().unwrap();
        assert!(error.contains(complaint), "{error}");
    }
}
