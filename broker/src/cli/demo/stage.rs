//! The demo's folder: a configuration that is edited while the broker runs, and its state.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Removed with the value when the demo made it itself.
pub(super) struct Stage {
    dir: PathBuf,
    config: PathBuf,
    own: bool,
}

const PLAIN: &str = "# The demo's configuration. Change it while the demo runs: the broker follows.\n\
                     [routing]\ntimeout = \"5s\"\n";

impl Stage {
    pub(super) fn set(dir: Option<&Path>) -> io::Result<Self> {
        let own = dir.is_none();
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => std::env::temp_dir().join(format!("jackfield-demo-{}", std::process::id())),
        };
        fs::create_dir_all(&dir)?;
        let stage = Self { config: dir.join("jackfield.toml"), dir, own };
        stage.write_plain()?;
        Ok(stage)
    }

    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(super) fn write_plain(&self) -> io::Result<()> {
        self.write(PLAIN)
    }

    pub(super) fn write_plugin(&self, percent: u8) -> io::Result<()> {
        self.write(&format!(
            "{PLAIN}\n[[plugin]]\nname = \"canary\"\nfile = \"builtin:canary\"\n\
             match = [\"com.example.Greeter\"]\nallow = [\"log\", \"metrics\"]\n\
             [plugin.settings]\npercent = {percent}\nversion = \"canary\"\n"
        ))
    }

    /// In one step, so that the broker never reads half a file.
    fn write(&self, text: &str) -> io::Result<()> {
        let new = self.dir.join("jackfield.toml.new");
        fs::write(&new, text)?;
        fs::rename(new, &self.config)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.own {
            // What is left behind is in the system's folder for temporary files.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
