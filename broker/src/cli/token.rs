//! `token`: JSON Web Tokens for development, and what is in one.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{
    config::parse_duration,
    identity::{
        self, JwtConfig, Principal, Profile, check_token, hash_password, issue, new_key, only_jwt,
        take_apart,
    },
};

use super::{
    exit::{Exit, Failure},
    print::{print_json, print_text},
    settings::ConfigArgs,
};

#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Sign a token
    New(New),
    /// Show what a token says, and whether it would be accepted
    Inspect(Inspect),
    /// Make a key pair for tokens (P-256)
    Key(Key),
    /// Hash a password from standard input, for a users file
    Password(Password),
}

impl TokenCommand {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::New(command) => command.run(),
            Self::Inspect(command) => command.run(),
            Self::Key(command) => command.run(),
            Self::Password(command) => command.run(),
        }
    }
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  jackfield token new --key jwt.key --subject orders\n  \
                        jackfield token new --key jwt.key --subject orders --expires 8h \\\n    \
                        --organisation 1 --service-account default --role admin\n\n\
                        For development: who signs tokens for others keeps its key elsewhere."
)]
pub(super) struct New {
    /// The private key: PEM, or PKCS #8 in DER; RSA, P-256 or Ed25519
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The application: the claim sub
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// The claim iss
    #[arg(long, default_value = "RSocketBroker")]
    issuer: String,
    /// The claim aud; may be repeated [default: jackfield]
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// How long it is good, such as 8h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    expires: Duration,
    /// Without an end, as the archived broker's generator makes them; only the alibaba profile takes it
    #[arg(long, conflicts_with = "expires")]
    no_expiry: bool,
    /// Its id, by which it can be revoked [default: random]
    #[arg(long)]
    id: Option<String>,
    /// The claim orgs; may be repeated [default: 1]
    #[arg(long, value_name = "ID")]
    organisation: Vec<String>,
    /// The claim sas; may be repeated [default: default]
    #[arg(long, value_name = "NAME")]
    service_account: Vec<String>,
    /// The claim roles; may be repeated
    #[arg(long, value_name = "NAME")]
    role: Vec<String>,
    /// The claim authorities; may be repeated
    #[arg(long, value_name = "NAME")]
    authority: Vec<String>,
    /// The name of the key in a key set
    #[arg(long)]
    kid: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl New {
    fn run(&self) -> Result<(), Failure> {
        let key = read(&self.key)?;
        let claims = self.claims(SystemTime::now());
        let token = issue(&key, self.kid.as_deref(), &claims)
            .map_err(|error| Failure::usage(format!("{} {error}", self.key.display())))?;
        if self.json {
            return print_json(&json!({ "token": token, "claims": claims }));
        }
        print_text(&token)
    }

    fn claims(&self, now: SystemTime) -> Value {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let or = |given: &[String], default: &str| match given {
            [] => json!([default]),
            given => json!(given),
        };
        let id = self.id.clone();
        let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let mut claims = json!({
            "iss": self.issuer,
            "sub": self.subject,
            "aud": or(&self.audience, "jackfield"),
            "iat": now.as_secs(),
            "jti": id,
            "id": id,
            "orgs": or(&self.organisation, "1"),
            "sas": or(&self.service_account, "default"),
            "roles": self.role,
            "authorities": self.authority,
        });
        if !self.no_expiry {
            claims["exp"] = (now + self.expires).as_secs().into();
        }
        claims
    }
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  jackfield token inspect \"$TOKEN\" --key jwt.key.pub\n  \
                        jackfield token inspect - --config jackfield.toml < token\n\n\
                        Without --key and --config nothing is verified. Exit code 1 when it would be refused."
)]
pub(super) struct Inspect {
    /// The token; - reads it from standard input, where no process list shows it
    token: String,
    /// Verify it with this public key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// With --key: also asks for exp and aud, as the strict profile does
    #[arg(long, requires = "key")]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Inspect {
    fn run(&self) -> Result<(), Failure> {
        let token = match self.token.as_str() {
            "-" => read_input()?,
            token => token.to_owned(),
        };
        let token = token.trim();
        let parts = take_apart(token).map_err(Failure::usage)?;
        let verified = self.verify(token, &parts.claims)?;
        let accepted = match &verified {
            None => Value::Null,
            Some(found) => found.is_ok().into(),
        };
        let why = verified.as_ref().and_then(|found| found.as_ref().err());
        let (header, claims) = (&parts.header, &parts.claims);
        if self.json {
            print_json(&json!({
                "header": header, "claims": claims, "sha256": parts.sha256,
                "accepted": accepted, "why": why,
            }))?;
        } else {
            let said = match (&verified, why) {
                (None, _) => {
                    "not verified: name a key with --key, or a configuration with --config".into()
                }
                (_, Some(why)) => format!("refused: {why}"),
                _ => "accepted".to_owned(),
            };
            let text = format!(
                "{}\n{}\n{}sha256   {}\n{said}",
                pretty("header", header),
                pretty("claims", claims),
                times(claims),
                parts.sha256
            );
            print_text(&text)?;
        }
        match why {
            Some(why) => Err(Failure::new(
                Exit::Failed,
                format!("the token would be refused: {why}"),
            )),
            None => Ok(()),
        }
    }

    /// None: nobody said by what.
    fn verify(
        &self,
        token: &str,
        claims: &Value,
    ) -> Result<Option<Result<Principal, &'static str>>, Failure> {
        let config = match (&self.key, &self.config.config) {
            (Some(key), _) => only_jwt(self.by_key(key, claims)),
            (None, Some(_)) => self.config.load()?.config.auth,
            (None, None) => return Ok(None),
        };
        let checked = check_token(config, token, SystemTime::now()).map_err(Failure::usage)?;
        Ok(Some(checked.map_err(identity::Denied::as_str)))
    }

    /// The issuer is taken from the token: the question is whether the key signed it.
    fn by_key(&self, key: &Path, claims: &Value) -> JwtConfig {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        JwtConfig {
            profile: if self.strict {
                Profile::Strict
            } else {
                Profile::Alibaba
            },
            issuer: text("iss").to_owned(),
            audience: if self.strict {
                vec!["jackfield".into()]
            } else {
                Vec::new()
            },
            keys: vec![key.to_owned()],
            jwks: None,
            refresh: Duration::from_secs(300),
            clock_skew: Duration::from_secs(30),
        }
    }
}

fn pretty(name: &str, value: &Value) -> String {
    let empty = Map::new();
    let lines = value.as_object().unwrap_or(&empty).iter();
    let lines: Vec<String> = lines
        .map(|(key, value)| format!("  {key:<12} {value}"))
        .collect();
    format!("{name}\n{}", lines.join("\n"))
}

/// When it ends, for a person.
fn times(claims: &Value) -> String {
    let Some(exp) = claims.get("exp").and_then(Value::as_f64) else {
        return "expires  never, or not said as a number\n".into();
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let left = exp - now.as_secs_f64();
    if left >= 0.0 {
        format!("expires  in {left:.0} s\n")
    } else {
        format!("expired  {:.0} s ago\n", -left)
    }
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  jackfield token key jwt.key       # writes jwt.key and jwt.key.pub\n\n\
                        Give the broker the public one: [auth.jwt] keys = [\"jwt.key.pub\"]"
)]
pub(super) struct Key {
    /// Where the private key goes; the public one goes beside it, with .pub behind the name
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Key {
    fn run(&self) -> Result<(), Failure> {
        let key = new_key().map_err(Failure::failed)?;
        let mut public = self.file.clone().into_os_string();
        public.push(".pub");
        let public = PathBuf::from(public);
        write_new(&self.file, &key.private, 0o600)?;
        write_new(&public, &key.public, 0o644)?;
        if self.json {
            return print_json(&json!({ "private": self.file, "public": public }));
        }
        print_text(&format!("{}\n{}", self.file.display(), public.display()))
    }
}

/// Nothing that is there is written over: it may be the only copy of a key.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  printf %s \"$PASSWORD\" | jackfield token password\n\n\
                        Put the line into a users file: password = \"$argon2id$...\""
)]
pub(super) struct Password {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Password {
    fn run(&self) -> Result<(), Failure> {
        let password = read_input()?;
        // One newline is the terminal's, and not the password's.
        let password = password.strip_suffix('\n').unwrap_or(&password);
        let hash = hash_password(password).map_err(Failure::usage)?;
        if self.json {
            return print_json(&json!({ "hash": hash }));
        }
        print_text(&hash)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn read_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(1 << 20)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(format!("standard input: {error}")))?;
    Ok(text)
}
