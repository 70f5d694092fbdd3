//! A folder that gets files whose names a server has chosen.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use everywire::{Result, RpcError};

/// Writes `text` into `folder` as `name`, such as `shop/v1/Stock.proto`, and returns the path. A file that is there is replaced.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    if !is_inside(name) {
        let text = format!("`{}` is not the name of a file inside a folder", name.escape_debug());
        return Err(RpcError::invalid_argument(text));
    }
    let path = folder.join(name);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
    let unwritable = |error| RpcError::failed_precondition(format!("{} can't be written: {error}", path.display()));
    written.map_err(unwritable)?;
    Ok(path)
}

/// Whether a path leads to no other place than a file below where it begins.
fn is_inside(name: &str) -> bool {
    let mut components = Path::new(name).components().peekable();
    components.peek().is_some()
        && components.all(|component| matches!(component, Component::Normal(_)))
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_writes_nothing_outside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        for name in ["../a.proto", "/tmp/a.proto", "a/../../b.proto", "./a.proto", "", "..", "a\nb.proto"] {
            let error = write(&inner, name, "").unwrap_err();
            assert!(error.message().contains("is not the name of a file inside a folder"), "{name}: {error}");
        }
        assert!(!inner.exists());
        for text in ["one", "two"] {
            let path = write(&inner, "shop/v1/Stock.proto", text).unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
        assert!(write(&inner.join("shop/v1/Stock.proto"), "a.proto", "").is_err(), "a file in place of a folder");
    }
}
