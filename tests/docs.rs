//! What every public item's documentation has to say, beyond being there.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_public_async_function_says_whether_it_can_be_cancelled() {
    let mut silent = Vec::new();
    for (file, text) in sources() {
        let mut docs = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(doc) = line.strip_prefix("///") {
                docs.push_str(doc);
                docs.push('\n');
            } else if line.starts_with("#[") {
            } else {
                if line.starts_with("pub async fn") && !docs.contains("# Cancel safety") {
                    silent.push(format!("{}: {line}", file.display()));
                }
                docs.clear();
            }
        }
    }
    assert!(silent.is_empty(), "no section \"Cancel safety\":\n{}", silent.join("\n"));
}

#[test]
fn no_example_is_left_unchecked() {
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let fence = line.trim().trim_start_matches("///").trim_start_matches("//!").trim();
            let unchecked = ["```ignore", "```rust,ignore"].contains(&fence);
            assert!(!unchecked, "{}:{}: an example that nothing runs", file.display(), number + 1);
        }
    }
}

#[test]
fn the_readme_names_the_commands_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(readme.contains("\n./tests/run\n") && root.join("tests/run").is_file());
    assert!(readme.contains("\ncargo run --example quickstart\n") && root.join("examples/quickstart.rs").is_file());
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap();
    assert!(readme.contains(&format!("Rust {}", version.trim_end_matches('"'))), "the README names another Rust");
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for line in dependencies.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
        let name = line.split(' ').next().unwrap();
        assert!(readme.contains(name), "the README doesn't say why {name} is a dependency");
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}
