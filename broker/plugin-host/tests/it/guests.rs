//! Small guests, written as core modules in WAT and wrapped by the contract's own WIT.
//!
//! Addresses that the default guests leave zeroed: 1024 is `ok` for `configure`, 2048 is `pass`, not to be remembered,
//! for `on-request`. A decision has its verdict's case at 0, its payload at 4, and `remember` at 76.
//!
//! Of the other hooks a guest has those that [`Guest::hook`] gives it.

use std::{fmt::Write, fs, path::Path};

use jackfield_plugin_host::{PACKAGE, VERSION};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

#[derive(Clone)]
pub(crate) struct Guest {
    version: String,
    include: Vec<&'static str>,
    extra_world: String,
    imports: String,
    data: String,
    pages: u32,
    functions: String,
    start: String,
    configure: String,
    on_request: String,
    /// Further exports, whole.
    hooks: String,
}

/// What every hot hook is given, as parameters and a result.
pub(crate) const HOT: &str =
    "(param $service i32) (param $handler i32) (param $traits i32) (result i32)";

impl Guest {
    /// Accepts everything and passes.
    pub(crate) fn new() -> Self {
        Self {
            version: VERSION.to_owned(),
            include: vec!["with-lifecycle", "with-routing-filter"],
            extra_world: String::new(),
            imports: String::new(),
            data: String::new(),
            pages: 1,
            functions: String::new(),
            start: String::new(),
            configure: "(i32.const 1024)".into(),
            on_request: "(i32.const 2048)".into(),
            hooks: String::new(),
        }
    }

    /// Accepts its settings, and has no hook yet.
    pub(crate) fn without_hooks() -> Self {
        Self::new().only(&["with-lifecycle"])
    }

    /// One more hook, or another function of one: its world, its interface, the function and the whole of its body.
    pub(crate) fn hook(
        mut self,
        world: &'static str,
        function: &str,
        signature: &str,
        body: &str,
    ) -> Self {
        if !self.include.contains(&world) {
            self.include.push(world);
        }
        let name = self.interface(
            world
                .strip_prefix("with-")
                .expect("a world of the contract"),
        );
        writeln!(
            self.hooks,
            r#"(func (export "{name}#{function}") {signature} {body})"#
        )
        .unwrap();
        self
    }

    /// The hook `endpoint-selector`; what it leaves is the address of a selection.
    pub(crate) fn select(self, body: &str) -> Self {
        let signature = HOT.replace("(result", "(param $count i32) (result");
        self.hook("with-endpoint-selector", "select", &signature, body)
    }

    /// The hook `chaos`; what it leaves is the address of a plan.
    pub(crate) fn disturb(self, body: &str) -> Self {
        self.hook("with-chaos", "disturb", HOT, body)
    }

    pub(crate) fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// Another world of the contract.
    pub(crate) fn include(mut self, world: &'static str) -> Self {
        self.include.push(world);
        self
    }

    /// Only these.
    pub(crate) fn only(mut self, worlds: &[&'static str]) -> Self {
        self.include = worlds.to_vec();
        self
    }

    /// More items of the guest's own world.
    pub(crate) fn world(mut self, items: &str) -> Self {
        self.extra_world.push_str(items);
        self
    }

    /// A function of one of the contract's interfaces, under a name for the guest.
    pub(crate) fn import(
        mut self,
        interface: &str,
        function: &str,
        name: &str,
        signature: &str,
    ) -> Self {
        let module = self.interface(interface);
        writeln!(
            self.imports,
            r#"(import "{module}" "{function}" (func ${name} {signature}))"#
        )
        .unwrap();
        self
    }

    pub(crate) fn raw_import(mut self, import: &str) -> Self {
        self.imports.push_str(import);
        self
    }

    pub(crate) fn data(mut self, at: u32, bytes: &[u8]) -> Self {
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        writeln!(self.data, r#"(data (i32.const {at}) "{escaped}")"#).unwrap();
        self
    }

    /// Little-endian words.
    pub(crate) fn words(self, at: u32, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.data(at, &bytes)
    }

    pub(crate) fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    pub(crate) fn functions(mut self, functions: &str) -> Self {
        self.functions.push_str(functions);
        self
    }

    /// Runs when the module is instantiated.
    pub(crate) fn start(mut self, body: &str) -> Self {
        self.start = format!("(func $start {body}) (start $start)");
        self
    }

    /// The body of `configure` (`$settings`, `$len`), which leaves an address.
    pub(crate) fn configure(mut self, body: &str) -> Self {
        self.configure = body.into();
        self
    }

    /// The body of `on-request` (`$service`, `$handler`, `$traits`), which leaves an address.
    pub(crate) fn on_request(mut self, body: &str) -> Self {
        self.on_request = body.into();
        self
    }

    /// Decides the same for everything: the case of the verdict and its payload in words, and what to remember.
    pub(crate) fn always(self, case: u32, payload: &[u32], remember: bool) -> Self {
        let mut decision = vec![case];
        decision.extend(payload);
        decision.resize(19, 0);
        decision.push(remember.into());
        self.words(2048, &decision)
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        let contract = self.contract();
        let mut resolve = Resolve::default();
        resolve.push_dir(contract.path()).unwrap();
        let package = resolve.push_str("guest.wit", &self.own_world()).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut module = wat::parse_str(self.module()).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let encoder = ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .unwrap();
        { encoder }.encode().unwrap()
    }

    fn interface(&self, name: &str) -> String {
        format!("{PACKAGE}/{name}@{}", self.version)
    }

    /// The repository's WIT package, under this guest's version.
    fn contract(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .find_map(|dir| {
                let wit = dir.join("wit");
                wit.join("worlds.wit").is_file().then_some(wit)
            });
        for file in fs::read_dir(source.expect("the repository has its WIT package")).unwrap() {
            let file = file.unwrap();
            let text = fs::read_to_string(file.path()).unwrap();
            let text = text.replace(&format!("@{VERSION}"), &format!("@{}", self.version));
            fs::write(dir.path().join(file.file_name()), text).unwrap();
        }
        dir
    }

    fn own_world(&self) -> String {
        let includes: String = self
            .include
            .iter()
            .map(|world| format!("include {PACKAGE}/{world}@{};\n", self.version))
            .collect();
        format!(
            "package test:guest;\nworld guest {{\n{includes}{}\n}}",
            self.extra_world
        )
    }

    fn module(&self) -> String {
        let Self {
            imports,
            data,
            pages,
            functions,
            start,
            configure,
            on_request,
            hooks,
            ..
        } = self;
        let mut exports = String::new();
        if self.include.contains(&"with-lifecycle") {
            let name = self.interface("lifecycle");
            writeln!(
                exports,
                r#"(func (export "{name}#configure") (param $settings i32) (param $len i32) (result i32) {configure})"#
            )
            .unwrap();
        }
        if self.include.contains(&"with-routing-filter") {
            let name = self.interface("routing-filter");
            writeln!(
                exports,
                r#"(func (export "{name}#on-request") {HOT} (global.set $heap (i32.const 16384)) {on_request})"#
            )
            .unwrap();
        }
        format!(
            r#"(module
            {imports}
            (memory (export "memory") {pages})
            (global $heap (mut i32) (i32.const 16384))
            (func (export "cabi_realloc") (param i32 i32 i32) (param $new i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.set $heap (i32.add (local.get $at) (local.get $new)))
                (local.get $at))
            {data}
            {functions}
            {start}
            {exports}
            {hooks})"#
        )
    }
}
