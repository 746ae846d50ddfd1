//! The direction of dependencies: which room of `src/` may know which, and that no two files need each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms it may name. Leaves come first; nothing points upward.
const ARROWS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("clock", &[]),
    ("telemetry", &[]),
    ("fingerprint", &[]),
    ("value", &[]),
    ("position", &[]),
    ("record", &["fingerprint", "position", "value"]),
    ("url", &["error"]),
    ("sql", &["error", "value", "position", "fingerprint"]),
    ("source", &["error", "position", "record"]),
    ("retry", &["error", "clock"]),
    ("checkpoint", &["error", "clock", "position", "fingerprint", "record", "telemetry", "url"]),
    ("handler", &["error", "value", "position", "record"]),
    ("db", &["error", "value", "position", "record", "fingerprint", "url", "sql", "source", "telemetry"]),
    ("sources", &["error", "value", "position", "record", "fingerprint", "clock", "sql", "source", "db", "telemetry"]),
    (
        "poller",
        &["error", "value", "position", "record", "source", "checkpoint", "handler", "retry", "clock", "telemetry"],
    ),
    ("config", &["error", "value", "position", "url", "sql", "source", "checkpoint", "db", "sources"]),
    ("testing", &["error", "value", "position", "record", "source", "checkpoint", "clock"]),
];

/// Only these may name the crate.
const NAMED_BY: &[(&str, &[&str])] = &[("sqlx", &["db"]), ("sea_query", &["db", "sql", "sources"])];

#[test]
fn rooms_know_only_what_is_below_them() {
    let mut wrong = Vec::new();
    for file in sources() {
        let room = room(&file);
        if room == "lib" || room == "bin" {
            continue;
        }
        let allowed = ARROWS.iter().find(|(name, _)| *name == room);
        let Some((_, allowed)) = allowed else { panic!("{room} has no place among the arrows") };
        for target in imports(&file) {
            let target = target.split("::").next().unwrap().to_owned();
            if target != room && !allowed.contains(&target.as_str()) {
                wrong.push(format!("{} -> {target}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn no_two_files_need_each_other() {
    let files: BTreeMap<String, PathBuf> = sources().into_iter().map(|file| (module(&file), file)).collect();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, file) in &files {
        for import in imports(file) {
            if let Some(target) = defining_module(&import, &files)
                && target != module
            {
                edges.entry(module).or_default().insert(target);
            }
        }
    }
    for start in edges.keys() {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = edges[start].iter().copied().collect();
        while let Some(next) = open.pop() {
            assert_ne!(next, *start, "{start} needs itself, through {seen:?}");
            if seen.insert(next) {
                open.extend(edges.get(next).into_iter().flatten());
            }
        }
    }
}

#[test]
fn the_driver_and_the_renderer_stay_in_their_rooms() {
    for file in sources() {
        let room = room(&file);
        for line in code_lines(&file) {
            for (name, rooms) in NAMED_BY {
                let named = line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"));
                let re_export = room == "lib" && line.starts_with("pub use");
                assert!(!named || re_export || rooms.contains(&room.as_str()), "{}: {line}", file.display());
            }
        }
    }
}

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Unit tests may use what is above their room.
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `poller::step` for `src/poller/step.rs`, `poller` for `src/poller/mod.rs`.
fn module(file: &Path) -> String {
    let relative = file.strip_prefix(root()).unwrap().with_extension("");
    let mut parts: Vec<&str> = relative.iter().map(|part| part.to_str().unwrap()).collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts.join("::")
}

fn room(file: &Path) -> String {
    module(file).split("::").next().unwrap().to_owned()
}

/// Code without comments and without the tests at the end of a file.
fn code_lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .map(|line| line.split("//").next().unwrap().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Every path after `crate::`, groups in braces spelled out.
fn imports(file: &Path) -> BTreeSet<String> {
    let code = code_lines(file).join(" ");
    let mut found = BTreeSet::new();
    for (index, _) in code.match_indices("crate::") {
        let before = code[..index].chars().next_back();
        if before.is_none_or(|before| !before.is_alphanumeric() && before != '_') {
            expand("", &code[index + "crate::".len()..], &mut found);
        }
    }
    found
}

/// Adds the path at the start of `text`, or each path of the group there.
fn expand(prefix: &str, text: &str, found: &mut BTreeSet<String>) {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if !text[end..].starts_with('{') {
        found.insert(path.trim_end_matches(':').to_owned());
        return;
    }
    let mut depth = 0;
    let mut start = end + 1;
    for (offset, c) in text[end..].char_indices() {
        let at = end + offset;
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 1 => {
                expand(&path, text[start..at].trim(), found);
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

/// The deepest module of a path that is a file.
fn defining_module<'a>(path: &str, files: &'a BTreeMap<String, PathBuf>) -> Option<&'a str> {
    let mut path = path;
    loop {
        if let Some((module, _)) = files.get_key_value(path) {
            return Some(module);
        }
        path = path.rsplit_once("::")?.0;
    }
}

#[test]
fn groups_are_spelled_out() {
    let mut found = BTreeSet::new();
    expand("", "poller::{step::{A, B}, Delivery};", &mut found);
    let expected = ["poller::Delivery", "poller::step::A", "poller::step::B"];
    assert_eq!(found, expected.into_iter().map(str::to_owned).collect());
}
