//! What is in a component, read from its outermost imports and exports before anything is compiled.
//!
//! Invariant: what an outline accepts imports nothing unknown, exports nothing unknown of our package, and belongs to a
//! version this host speaks. The types behind the names are checked later, when the component is linked.

use serde::Serialize;
use wasmtime::wasmparser::{Encoding, Parser, Payload};

use crate::{Digest, PluginError, schema};

/// The WIT package of the contract.
pub const PACKAGE: &str = "jackfield:plugin";
/// The newest version of it that this host speaks. It speaks the earlier ones of the same minor too, since within a minor
/// nothing but interfaces and functions to import are added.
pub const VERSION: &str = "0.1.0";

/// The largest component that is accepted.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 128 << 20;

/// A hook that a component implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    RoutingFilter,
    EndpointSelector,
    Chaos,
    Authenticator,
    MetricsCollector,
    Events,
}

impl Hook {
    pub const ALL: [Self; 6] = [
        Self::RoutingFilter,
        Self::EndpointSelector,
        Self::Chaos,
        Self::Authenticator,
        Self::MetricsCollector,
        Self::Events,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::RoutingFilter => "routing-filter",
            Self::EndpointSelector => "endpoint-selector",
            Self::Chaos => "chaos",
            Self::Authenticator => "authenticator",
            Self::MetricsCollector => "metrics-collector",
            Self::Events => "events",
        }
    }

    /// On the data plane, in the middle of a request; else on threads of its own.
    pub const fn is_hot(self) -> bool {
        matches!(
            self,
            Self::RoutingFilter | Self::EndpointSelector | Self::Chaos
        )
    }
}

/// An import that needs a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    Log,
    Metrics,
    Kv,
    Directory,
    Clock,
    Random,
    Call,
    Http,
}

impl Capability {
    pub const ALL: [Self; 8] = [
        Self::Log,
        Self::Metrics,
        Self::Kv,
        Self::Directory,
        Self::Clock,
        Self::Random,
        Self::Call,
        Self::Http,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Metrics => "metrics",
            Self::Kv => "kv",
            Self::Directory => "directory",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Call => "call",
            Self::Http => "http",
        }
    }
}

/// Interfaces that every component may import.
const FREE: [&str; 5] = ["names", "request", "candidates", "message", "apps"];
const LIFECYCLE: &str = "lifecycle";

/// What a component says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outline {
    #[serde(serialize_with = "as_text")]
    pub digest: Digest,
    pub size: u64,
    /// Full names, as written in the component.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// The versions of our package that it mentions; one, when all is well.
    pub versions: Vec<String>,
    pub hooks: Vec<Hook>,
    /// What it must be granted.
    pub capabilities: Vec<Capability>,
    /// What its settings look like, when it says so.
    pub settings_schema: Option<serde_json::Value>,
}

impl Outline {
    /// Reads the outermost level. Anything that parses is described, whether this host would load it or not.
    pub fn read(bytes: &[u8]) -> Result<Self, PluginError> {
        let size = bytes.len() as u64;
        Self::check_size(size)?;
        let Surface {
            imports,
            exports,
            schema,
        } = Surface::read(bytes)?;
        let schema = schema.map(schema::parse).transpose();
        let mut versions: Vec<String> = imports
            .iter()
            .chain(&exports)
            .filter_map(|name| ours(name))
            .map(|(_, version)| version.to_owned())
            .collect();
        versions.sort_unstable();
        versions.dedup();
        let has = |names: &[String], wanted: &str| {
            names
                .iter()
                .filter_map(|name| ours(name))
                .any(|(name, _)| name == wanted)
        };
        Ok(Self {
            digest: Digest::of(bytes),
            size,
            hooks: Hook::ALL
                .into_iter()
                .filter(|hook| has(&exports, hook.name()))
                .collect(),
            capabilities: Capability::ALL
                .into_iter()
                .filter(|capability| has(&imports, capability.name()))
                .collect(),
            imports,
            exports,
            versions,
            settings_schema: schema.map_err(PluginError::Mismatch)?,
        })
    }

    /// Before a file is read into memory.
    pub const fn check_size(size: u64) -> Result<(), PluginError> {
        match size {
            ..=COMPONENT_BYTES_MAX => Ok(()),
            _ => Err(PluginError::TooLarge {
                size,
                max: COMPONENT_BYTES_MAX,
            }),
        }
    }

    /// Whether this host can load it, all grants given.
    pub fn check(&self) -> Result<(), PluginError> {
        if let Some(found) = self.versions.iter().find(|found| !speaks(VERSION, found)) {
            let found = format!("{PACKAGE}@{found}");
            return Err(PluginError::WrongVersion { found });
        }
        for import in &self.imports {
            let known = ours(import).is_some_and(|(name, _)| {
                FREE.contains(&name) || Capability::ALL.iter().any(|own| own.name() == name)
            });
            if !known {
                return Err(PluginError::UnknownImport(import.clone()));
            }
        }
        if self.hooks.is_empty() {
            let exports = match self.exports.is_empty() {
                true => "nothing".to_owned(),
                false => self.exports.join(", "),
            };
            return Err(PluginError::NoHook(exports));
        }
        let exports = self.exports.iter();
        let mut ours = exports.filter_map(|export| Some((ours(export)?.0, export)));
        let known = |name: &str| name == LIFECYCLE || Hook::ALL.iter().any(|it| it.name() == name);
        if let Some((_, export)) = ours.clone().find(|(name, _)| !known(name)) {
            return Err(PluginError::UnknownExport(export.clone()));
        }
        match ours.any(|(name, _)| name == LIFECYCLE) {
            true => Ok(()),
            false => Err(PluginError::MissingExport(interface(LIFECYCLE))),
        }
    }

    /// Whether settings are as its schema says, when it has one.
    pub(crate) fn check_settings(&self, json: &str) -> Result<(), PluginError> {
        let Some(schema) = &self.settings_schema else {
            return Ok(());
        };
        let settings: serde_json::Value = serde_json::from_str(json)
            .map_err(|error| PluginError::Refused(format!("they are not JSON: {error}")))?;
        schema::check(schema, &settings)
            .map_err(|schema::Unfit { path, what }| PluginError::Setting { path, what })
    }

    /// Whether everything it needs is granted.
    pub fn check_grants(&self, grants: &[Capability]) -> Result<(), PluginError> {
        match self
            .capabilities
            .iter()
            .find(|needed| !grants.contains(needed))
        {
            None => Ok(()),
            Some(&capability) => Err(PluginError::Denied {
                import: interface(capability.name()),
                capability,
            }),
        }
    }
}

/// Whether a host of one version loads what was built for another: the same minor, and not newer.
fn speaks(host: &str, guest: &str) -> bool {
    match (numbers(host), numbers(guest)) {
        (Some([major, minor, patch]), Some(guest)) => {
            guest[..2] == [major, minor] && guest[2] <= patch
        }
        _ => false,
    }
}

/// Three plain numbers: a draft is compatible with nothing.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let numbers: Vec<u32> = version
        .split('.')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// The full name of one of our interfaces.
pub(crate) fn interface(name: &str) -> String {
    format!("{PACKAGE}/{name}@{VERSION}")
}

/// Interface and version, when the name is of our package.
fn ours(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(rest.split_once('@').unwrap_or((rest, "no version")))
}

/// What is seen of a component from outside.
#[derive(Default)]
struct Surface<'a> {
    imports: Vec<String>,
    exports: Vec<String>,
    /// From the component, or from a module inside it: compilers leave it there.
    schema: Option<&'a [u8]>,
}

impl<'a> Surface<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, PluginError> {
        let mut this = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(not_a_component)? {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } if depth == 0 => {
                    return Err(PluginError::CoreModule);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import.map_err(not_a_component)?;
                        this.imports.push(import.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(not_a_component)?;
                        this.exports.push(export.name.name.to_owned());
                    }
                }
                Payload::CustomSection(section) if section.name() == schema::SECTION => {
                    this.schema = Some(section.data());
                }
                _ => {}
            }
        }
        Ok(this)
    }
}

fn not_a_component(error: impl ToString) -> PluginError {
    // The parser prints byte arrays over many lines.
    let words: Vec<String> = error
        .to_string()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    PluginError::NotAComponent(words.join(" "))
}

fn as_text<S: serde::Serializer>(digest: &Digest, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_speaks_its_own_minor_up_to_its_own_patch() {
        for guest in ["0.1.0", "0.1.1", "0.1.2"] {
            assert!(speaks("0.1.2", guest), "{guest}");
        }
        for guest in [
            "0.1.3",
            "0.0.2",
            "0.2.0",
            "1.1.2",
            "0.1.0-draft",
            "0.1",
            "no version",
        ] {
            assert!(!speaks("0.1.2", guest), "{guest}");
        }
    }
}
