//! Collects what was written: the file, `conf.d`, the environment, flags; later layers win.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::{Path, PathBuf},
};

use super::{
    keys,
    problem::{Problem, Problems},
    source::{Source, SourceKind},
    suggest::nearest,
    tree::{self, Table},
};

const FILE_NAME: &str = "jackfield.toml";
const SYSTEM_FILE: &str = "/etc/jackfield/jackfield.toml";
const PREFIX: &str = "JACKFIELD_";
/// Listeners named by this flag stand instead of all others.
const LISTEN_FLAG: &str = "--listen";

/// What the program was started with and in: everything that loading a configuration depends on.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub current_dir: PathBuf,
    pub variables: BTreeMap<String, String>,
    pub host_name: String,
    pub cores: usize,
    /// `--config`: a file that must exist.
    pub file: Option<PathBuf>,
    /// `KEY=VALUE` from flags, with the flag that says it.
    pub settings: Vec<Setting>,
}

/// One setting given by a flag.
#[derive(Clone, Debug)]
pub struct Setting {
    /// As the operator typed it: `--set`, `--listen`.
    pub flag: String,
    /// Dotted, with a number for an item of a list: `limits.frame`, `listen.0.uri`.
    pub key: String,
    pub value: String,
}

pub(super) struct Written {
    pub(super) sources: Vec<Source>,
    pub(super) root: Table,
    /// Files that were read, to be watched.
    pub(super) files: Vec<PathBuf>,
}

impl Setting {
    /// `KEY=VALUE`, as in `--set limits.frame=1MiB`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or("write KEY=VALUE, such as limits.frame=1MiB")?;
        let flag = format!("--set {key}");
        Ok(Self {
            flag,
            key: key.trim().into(),
            value: value.trim().into(),
        })
    }

    /// The listener number `index` of those given by flags.
    pub fn listener(index: usize, uri: &str) -> Self {
        Self {
            flag: LISTEN_FLAG.into(),
            key: format!("listen.{index}.uri"),
            value: uri.into(),
        }
    }
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process(file: Option<PathBuf>, settings: Vec<Setting>) -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            current_dir: std::env::current_dir().unwrap_or_default(),
            variables: std::env::vars_os().filter_map(utf8).collect(),
            host_name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            file,
            settings,
        }
    }

    /// The file that is used: the one named, else the first that exists.
    pub fn find_file(&self) -> Option<PathBuf> {
        if let Some(named) = &self.file {
            return Some(self.current_dir.join(named));
        }
        let here = self.current_dir.join(FILE_NAME);
        [here, PathBuf::from(SYSTEM_FILE)]
            .into_iter()
            .find(|path| path.exists())
    }

    /// Every file that loading would read now, to be watched: it may not exist yet.
    fn files(&self) -> Vec<PathBuf> {
        let here = || self.current_dir.join(FILE_NAME);
        files(self)
            .ok()
            .filter(|files| !files.is_empty())
            .unwrap_or_else(|| vec![here()])
    }

    /// What the files hold now. One that cannot be read, or is gone, is left out.
    pub fn contents(&self) -> Contents {
        contents_of(self.files().iter().map(PathBuf::as_path))
    }

    /// The folder of additions beside the file.
    fn additions(&self) -> Option<PathBuf> {
        Some(self.find_file()?.parent()?.join("conf.d"))
    }
}

/// A digest of each file's bytes.
pub type Contents = BTreeMap<PathBuf, u64>;

/// What these files hold now. One that cannot be read, or is gone, is left out.
pub fn contents_of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Contents {
    let read = |path: &Path| Some((path.to_owned(), digest(&fs::read(path).ok()?)));
    files.into_iter().filter_map(read).collect()
}

impl Written {
    /// Of the files that were read.
    pub(super) fn contents(&self) -> Contents {
        let digest = |source: &Source| match &source.kind {
            SourceKind::File(path) => Some((path.clone(), digest(source.text.as_bytes()))),
            _ => None,
        };
        self.sources.iter().filter_map(digest).collect()
    }
}

/// Tells contents apart; it protects from accidents, not from enemies.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Reads every layer. Files with broken TOML are all reported, not just the first.
pub(super) fn collect(surroundings: &Surroundings) -> Result<Written, Problems> {
    let mut written = Written {
        sources: Vec::new(),
        root: Table::new(),
        files: Vec::new(),
    };
    let mut problems = Problems::default();
    for path in files(surroundings).map_err(Problems::from)? {
        if let Err(problem) = add_file(&mut written, &path) {
            problems.push(problem);
        }
    }
    for (name, value) in &surroundings.variables {
        let Some(path) = variable_path(name) else {
            continue;
        };
        let kind = SourceKind::Environment(name.clone());
        let at = format!("environment variable {name}");
        add_setting(&mut written, &mut problems, kind, &at, &path, value);
    }
    if surroundings
        .settings
        .iter()
        .any(|setting| setting.flag == LISTEN_FLAG)
    {
        written.root.remove("listen");
    }
    for Setting { flag, key, value } in &surroundings.settings {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let kind = SourceKind::Flag(flag.clone());
        add_setting(
            &mut written,
            &mut problems,
            kind,
            &format!("flag {flag}"),
            &path,
            value,
        );
    }
    if problems.is_empty() {
        Ok(written)
    } else {
        Err(problems)
    }
}

fn files(surroundings: &Surroundings) -> Result<Vec<PathBuf>, Problem> {
    let Some(main) = surroundings.find_file() else {
        return Ok(Vec::new());
    };
    let mut files = vec![main];
    if let Some(folder) = surroundings.additions() {
        files.extend(additions(&folder)?);
    }
    Ok(files)
}

/// `*.toml` by name; hidden entries, such as the `..data` of a mounted volume, are not ours.
fn additions(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn add_file(written: &mut Written, path: &Path) -> Result<(), Problem> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    written.files.push(path.to_owned());
    written.sources.push(Source {
        kind: SourceKind::File(path.to_owned()),
        text,
    });
    let table = tree::parse(&written.sources, written.sources.len() - 1)?;
    tree::merge(&mut written.root, table);
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let todo = match error.kind() {
        io::ErrorKind::NotFound => "name a file that exists with --config",
        io::ErrorKind::PermissionDenied => "let the broker's user read it",
        io::ErrorKind::InvalidData => "save it as UTF-8",
        _ => "make it readable",
    };
    Problem::at(path.display(), format!("cannot be read: {error}"), todo)
}

/// `JACKFIELD_LIMITS__CREDIT_WINDOW` is `limits.credit-window`. Names without `__` are not settings:
/// Kubernetes makes such names for a service called jackfield.
fn variable_path(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    if !rest.contains("__") {
        return None;
    }
    let segment = |part: &str| part.to_ascii_lowercase().replace('_', "-");
    Some(rest.split("__").map(segment).collect())
}

fn add_setting(
    written: &mut Written,
    problems: &mut Problems,
    kind: SourceKind,
    at: &str,
    path: &[String],
    value: &str,
) {
    let schema = keys::schema_of(path.iter().map(String::as_str));
    let free = schema.starts_with("plugin[].settings.");
    if !free && keys::find(&schema).is_none() {
        let shown = path.join(".");
        let near = nearest(&schema, keys::KEYS.iter().map(|key| key.path));
        let todo = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "see the keys with `jackfield config show`".into(),
        };
        problems.push(Problem::at(
            at,
            format!("there is no setting `{shown}`"),
            todo,
        ));
        return;
    }
    written.sources.push(Source {
        kind,
        text: value.to_owned(),
    });
    tree::set(&mut written.root, path, written.sources.len() - 1, value);
}
