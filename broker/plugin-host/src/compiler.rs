//! From a component to machine code, in a child process.
//!
//! A component can be made to cost its compiler minutes and gigabytes. So a child does it: our own
//! program, started again with a hidden subcommand, niced, on one thread, with limits on memory,
//! CPU and wall time, and killed when it exceeds one. It reads the component from its standard
//! input and writes the code to its standard output; both are files in the cache's directory.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt, fs,
    io::{self, Read, Seek, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use wasmtime::component::Component;

use crate::{Cache, Digest, Engine, PluginError, outline::COMPONENT_BYTES_MAX};

/// Compiles components, or finds them compiled. Make one for each chain: plugins of the same component share its code.
pub struct Compiler {
    way: Way,
    cache: Option<Cache>,
    compiled: Mutex<HashMap<Digest, Component>>,
}

enum Way {
    Child {
        program: PathBuf,
        args: Vec<OsString>,
        limits: CompileLimits,
    },
    Here,
}

/// What a compilation may take before it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space, in bytes.
    pub memory: u64,
    pub cpu: Duration,
    pub wall: Duration,
}

/// Wall time that a compilation has, unless it is told otherwise.
pub const COMPILE_TIME_MAX: Duration = Duration::from_secs(600);

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            memory: 8 << 30,
            cpu: Duration::from_secs(180),
            wall: COMPILE_TIME_MAX,
        }
    }
}

impl Compiler {
    /// `program args... MEMORY CPU-SECONDS` must end in [`compile_as_child`].
    pub fn child(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = OsString>,
        limits: CompileLimits,
        cache: Cache,
    ) -> Self {
        let way = Way::Child {
            program: program.into(),
            args: args.into_iter().collect(),
            limits,
        };
        Self {
            way,
            cache: Some(cache),
            compiled: Mutex::default(),
        }
    }

    /// In this process, with no limit and no cache: for tests, and for tools that compile one
    /// component of their user's own and end.
    pub fn here() -> Self {
        Self {
            way: Way::Here,
            cache: None,
            compiled: Mutex::default(),
        }
    }

    pub(crate) fn compile(
        &self,
        engine: &Engine,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<Component, PluginError> {
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let here = |it: &&Component| wasmtime::Engine::same(it.engine(), engine.runtime());
        if let Some(component) = compiled().get(digest).filter(here) {
            return Ok(component.clone());
        }
        let component = self.compiled_anew(engine, digest, bytes)?;
        compiled().insert(*digest, component.clone());
        Ok(component)
    }

    fn compiled_anew(
        &self,
        engine: &Engine,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<Component, PluginError> {
        let Some(cache) = &self.cache else {
            return Component::new(engine.runtime(), bytes).map_err(uncompilable);
        };
        if let Some(component) = cache.load(engine, digest) {
            return Ok(component);
        }
        let code = match &self.way {
            Way::Child {
                program,
                args,
                limits,
            } => {
                let mut command = Command::new(program);
                command
                    .args(args)
                    .arg(limits.memory.to_string())
                    .arg(limits.cpu.as_secs().max(1).to_string());
                compile_in_child(command, limits, cache, bytes)?
            }
            Way::Here => engine
                .runtime()
                .precompile_component(bytes)
                .map_err(uncompilable)?,
        };
        cache
            .store(engine, digest, &code)
            .map_err(PluginError::io("cannot write to the cache"))?;
        cache.load(engine, digest).ok_or_else(|| {
            PluginError::Compile("the compiler is of another version than this program".into())
        })
    }
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

fn uncompilable(error: wasmtime::Error) -> PluginError {
    PluginError::Compile(error.root_cause().to_string())
}

fn compile_in_child(
    mut command: Command,
    limits: &CompileLimits,
    cache: &Cache,
    bytes: &[u8],
) -> Result<Vec<u8>, PluginError> {
    let mut files = || -> io::Result<_> {
        let mut input = cache.temporary()?.into_file();
        input.write_all(bytes)?;
        input.rewind()?;
        let (code, errors) = (
            cache.temporary()?.into_file(),
            cache.temporary()?.into_file(),
        );
        command
            .stdin(input)
            .stdout(code.try_clone()?)
            .stderr(errors.try_clone()?);
        // Nothing of the broker's environment, which may hold secrets.
        command.env_clear();
        Ok((code, errors))
    };
    let (mut code, mut errors) =
        files().map_err(PluginError::io("cannot prepare a compilation in the cache"))?;
    let child = command
        .spawn()
        .map_err(PluginError::io("cannot start the compiler"))?;
    let ended =
        wait(child, limits.wall).map_err(PluginError::io("cannot wait for the compiler"))?;
    match ended {
        None => Err(PluginError::CompileStopped(format!("{:?}", limits.wall))),
        Some(status) if status.success() => {
            read_back(&mut code).map_err(PluginError::io("cannot read what was compiled"))
        }
        Some(status) => {
            let text = read_back(&mut errors).unwrap_or_default();
            Err(explain(status, &String::from_utf8_lossy(&text), limits))
        }
    }
}

fn read_back(file: &mut fs::File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// None when it had to be killed.
fn wait(mut child: Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Out of memory ends a process in an abort, CPU time in a signal of its own.
fn explain(status: ExitStatus, text: &str, limits: &CompileLimits) -> PluginError {
    use std::os::unix::process::ExitStatusExt;

    const SIGABRT: i32 = 6;
    const SIGKILL: i32 = 9;
    const SIGXCPU: i32 = 24;
    match status.signal() {
        Some(SIGXCPU | SIGKILL) => {
            PluginError::CompileStopped(format!("{:?} of CPU time", limits.cpu))
        }
        Some(SIGABRT) if text.contains("memory allocation") => {
            PluginError::CompileStopped(format!("{} bytes of memory", limits.memory))
        }
        Some(signal) => PluginError::Compile(format!("the compiler died of signal {signal}")),
        None => PluginError::Compile(text.trim().chars().take(500).collect()),
    }
}

/// The child's whole life: limits itself, compiles standard input to standard output.
pub fn compile_as_child(memory: u64, cpu_seconds: u64) -> Result<(), String> {
    limit_self(memory, cpu_seconds)
        .map_err(|error| format!("cannot limit the compiler: {error}"))?;
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(COMPONENT_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read the component: {error}"))?;
    let engine = Engine::new();
    let code = engine.runtime().precompile_component(&bytes);
    let code = code.map_err(|error| error.root_cause().to_string())?;
    let mut out = io::stdout().lock();
    out.write_all(&code)
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write the code: {error}"))
}

fn limit_self(memory: u64, cpu_seconds: u64) -> io::Result<()> {
    nice(10)?;
    let at_most = |limit| Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    setrlimit(Resource::As, at_most(memory))?;
    setrlimit(Resource::Cpu, at_most(cpu_seconds))?;
    setrlimit(Resource::Core, at_most(0))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_component_is_compiled_once() {
        let (engine, compiler) = (Engine::new(), Compiler::here());
        let code = |text: &str| {
            let bytes = wat::parse_str(text).unwrap();
            let component = compiler.compile(&engine, &Digest::of(&bytes), &bytes);
            component.unwrap().image_range()
        };
        let (one, other) = ("(component)", "(component (core module (func)))");
        assert_eq!(code(one), code(one));
        assert_ne!(code(one), code(other));
    }
}
