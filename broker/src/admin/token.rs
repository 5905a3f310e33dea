use std::{
    fmt::{self, Write as _},
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use subtle::ConstantTimeEq;

/// The admin token. It is compared in constant time and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The token file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the admin token file {}: {what}; {todo}", path.display())]
pub struct TokenError {
    path: PathBuf,
    what: String,
    todo: &'static str,
}

const RANDOM_BYTES: usize = 32;
/// Shorter ones could be guessed.
const LENGTH_MIN: usize = 16;

impl Token {
    /// Reads the file; creates it with a random token when it is missing.
    pub fn load_or_create(path: &Path) -> Result<Self, TokenError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::check(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(unusable(path, &error, "let the broker's user read it")),
        }
    }

    /// Reads the file of a broker that runs, for the command line.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let text = fs::read_to_string(path).map_err(|error| {
            let todo = "give the token with --token or JACKFIELD_ADMIN_TOKEN";
            unusable(path, &error, todo)
        })?;
        Self::check_text(path, &text)
    }

    /// A token that was given as text.
    pub fn from_text(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    pub fn matches(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The value of an Authorization header.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    fn check(path: &Path, text: &str) -> Result<Self, TokenError> {
        let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
        // A mounted secret is often readable by its group; by everyone it is no secret.
        if mode & 0o007 != 0 {
            let what = format!("everyone may read it (mode {:04o})", mode & 0o7777);
            return Err(TokenError {
                path: path.into(),
                what,
                todo: "run chmod 600 on it",
            });
        }
        Self::check_text(path, text)
    }

    fn check_text(path: &Path, text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        if token.len() < LENGTH_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("it must hold at least {LENGTH_MIN} printable characters");
            let todo = "delete it to have a new one made, or write one with `openssl rand -hex 32`";
            return Err(TokenError {
                path: path.into(),
                what,
                todo,
            });
        }
        Ok(Self(token.to_owned()))
    }

    fn create(path: &Path) -> Result<Self, TokenError> {
        let token =
            random().map_err(|error| unusable(path, &error, "check the system's random source"))?;
        write_private(path, &format!("{token}\n")).map_err(|error| {
            unusable(
                path,
                &error,
                "let the broker's user write there, or set admin.token-file",
            )
        })?;
        Ok(Self(token))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

fn random() -> io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Writes what nobody else may read, whole or not at all: another process that looks at the same moment never reads half
/// of it.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

fn unusable(path: &Path, error: &io::Error, todo: &'static str) -> TokenError {
    TokenError {
        path: path.into(),
        what: error.to_string(),
        todo,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_missing_file_is_made_private_and_kept() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("state/admin.token");
        let made = Token::load_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 2 * RANDOM_BYTES);
        assert!(made.matches(text.trim()));
        assert!(Token::load_or_create(&path).unwrap().matches(text.trim()));
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no draft stays"
        );
    }

    #[test]
    fn two_tokens_differ() {
        let folder = TempDir::new().unwrap();
        let make = |name: &str| Token::load_or_create(&folder.path().join(name)).unwrap().0;
        assert_ne!(make("a"), make("b"));
    }

    #[test]
    fn a_weak_or_public_token_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("t");
        let load = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Token::load_or_create(&path).map_err(|error| error.to_string())
        };
        assert!(load("0123456789abcdef\n", 0o600).is_ok());
        assert!(load("0123456789abcdef\n", 0o640).is_ok());
        assert!(
            load("0123456789abcdef\n", 0o644)
                .unwrap_err()
                .contains("chmod 600")
        );
        assert!(load("short", 0o600).unwrap_err().contains("at least 16"));
        assert!(load("", 0o600).is_err());
    }

    #[test]
    fn a_token_is_not_shown_and_must_match_whole() {
        let token = Token::from_text("0123456789abcdef\n");
        assert!(!format!("{token:?}").contains("0123"));
        assert!(token.matches("0123456789abcdef"));
        for other in [
            "",
            "0123456789abcde",
            "0123456789abcdef0",
            "x123456789abcdef",
        ] {
            assert!(!token.matches(other), "{other}");
        }
    }
}
