//! The JSON schema of a plugin's settings, put into its component. Shared with `build.rs`.

use std::{fs, io, path::Path};

/// In the folder of a plugin.
pub(crate) const FILE: &str = "settings.schema.json";
/// The custom section in which the host looks for it.
const SECTION: &str = "jackfield:settings-schema";

/// Appends the schema to the component, unless there is none or it is there already.
pub(crate) fn add(schema: &Path, component: &Path) -> io::Result<()> {
    let schema = match fs::read(schema) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let section = section(&schema);
    let mut bytes = fs::read(component)?;
    if bytes.ends_with(&section) {
        return Ok(());
    }
    bytes.extend(section);
    // Cargo links what it built to a second name; that one stays as it was.
    fs::remove_file(component)?;
    fs::write(component, bytes)
}

/// A custom section: its id, the length of what follows, the name with its length, the content.
fn section(content: &[u8]) -> Vec<u8> {
    let mut body = length(SECTION.len());
    body.extend(SECTION.as_bytes());
    body.extend(content);
    let mut section = vec![0];
    section.extend(length(body.len()));
    section.extend(body);
    section
}

/// LEB128.
fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        match value {
            0 => {
                bytes.push(low);
                return bytes;
            }
            _ => bytes.push(low | 0x80),
        }
    }
}

#[cfg(test)]
mod tests {
    use jackfield_plugin_host::Outline;

    use super::*;

    #[test]
    fn the_host_finds_what_was_added_once() {
        let dir = tempfile::tempdir().unwrap();
        let (schema, component) = (dir.path().join(FILE), dir.path().join("p.wasm"));
        let empty = wat::parse_str("(component)").unwrap();
        fs::write(&component, &empty).unwrap();
        add(&schema, &component).unwrap();
        assert_eq!(fs::read(&component).unwrap(), empty, "there is none to add");

        // Long enough for a length of two bytes.
        let text = format!(r#"{{"title": "{}"}}"#, "a".repeat(300));
        fs::write(&schema, &text).unwrap();
        add(&schema, &component).unwrap();
        let once = fs::read(&component).unwrap();
        add(&schema, &component).unwrap();
        assert_eq!(fs::read(&component).unwrap(), once);
        let outline = Outline::read(&once).unwrap();
        let found = outline.settings_schema.unwrap();
        assert_eq!(found["title"].as_str().map(str::len), Some(300));
    }
}
