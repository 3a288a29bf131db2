//! Files for a test.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// A folder of a test's own, gone with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = env::temp_dir().join(format!("vigil-{name}-{}", process::id()));
        fs::create_dir(&path).expect("mkdir");
        Folder(path)
    }

    /// A file in it with some bytes.
    pub fn file(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, "contents").expect("write");
        path
    }
}

impl Deref for Folder {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("rm -r");
    }
}
