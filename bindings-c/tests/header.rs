//! `include/px.h` is made from the comments of the crate, and what it promises to programs that
//! were compiled before stands in `interface.txt`.
//!
//! Both are renewed by `PX_RENEW=1 cargo test -p libpx --test header`; look at what changes. A line
//! of `interface.txt` that changes or goes breaks programs that exist: that takes a new soname.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fresh() -> String {
    let config = cbindgen::Config::from_file(home().join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_config(config).with_crate(home()).generate();
    let mut header = Vec::new();
    bindings.unwrap().write(&mut header);
    for_c(&String::from_utf8(header).unwrap())
}

/// Leaves out what is said to those who write Rust: sections with a heading.
fn for_c(header: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in header.lines() {
        let comment = line.starts_with("//");
        inside = comment && (inside || line.starts_with("// # "));
        if !inside {
            // The line between a text and its first section is left out with it.
            if !comment && lines.last() == Some(&"//") {
                lines.pop();
            }
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// Compares what is checked in with what it must be, or renews it.
fn is_current(place: &str, fresh: &str) {
    let path = home().join(place);
    if std::env::var_os("PX_RENEW").is_some() {
        std::fs::write(&path, fresh).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(fresh.lines()).position(|(there, fresh)| there != fresh);
    assert!(
        there == fresh,
        "{place} is not current from line {} on: PX_RENEW=1 cargo test -p libpx --test header",
        differs.unwrap_or(there.lines().count().min(fresh.lines().count())) + 1
    );
}

/// Compiles a program against a fresh header, in a directory of its own, and returns it.
fn compiled(directory: &Path, source: &str, words: &[&str]) -> PathBuf {
    let program = directory.join("program");
    let compiler = words[0];
    let language = if compiler == "g++" { "program.cpp" } else { "program.c" };
    std::fs::write(directory.join(language), source).unwrap();
    std::fs::write(directory.join("px.h"), fresh()).unwrap();
    let done = Command::new(compiler)
        .args(&words[1..])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(directory)
        .arg("-o")
        .arg(&program)
        .arg(directory.join(language))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    program
}

#[test]
fn the_header_is_what_the_comments_say() {
    is_current("include/px.h", &fresh());
}

#[test]
fn the_header_compiles_without_a_warning_as_c_and_as_cpp() {
    let directory = tempfile::tempdir().unwrap();
    let source = "#include <px.h>\n#include <px.h>\nint main(void) { return PX_OK; }\n";
    for words in [["gcc", "-std=c11"], ["g++", "-std=c++17"]] {
        compiled(directory.path(), source, &words);
    }
}

#[test]
fn the_header_speaks_to_those_who_write_c() {
    for word in ["# Safety", "# Errors", "[`", "::", "Option", "usize", "unsafe", "Result<", "u64"]
    {
        let line = fresh().lines().find(|line| line.contains(word)).map(str::to_owned);
        assert_eq!(line, None, "`{word}`");
    }
}

#[test]
fn the_version_is_that_of_the_library() {
    let version = ["MAJOR", "MINOR", "PATCH"].map(|part| constant(&fresh(), part).to_string());
    assert_eq!(version.join("."), env!("CARGO_PKG_VERSION"));
}

fn constant(header: &str, part: &str) -> u32 {
    let line = format!("#define PX_VERSION_{part} ");
    header.lines().find_map(|found| found.strip_prefix(&line)).unwrap().parse().unwrap()
}

#[test]
fn numbers_and_layouts_are_those_that_programs_were_compiled_with() {
    let header = fresh();
    let directory = tempfile::tempdir().unwrap();
    let program = compiled(directory.path(), &teller(&header), &["gcc", "-std=c11"]);
    let told = Command::new(program).output().unwrap();
    assert!(told.status.success());
    is_current("interface.txt", &String::from_utf8(told.stdout).unwrap());
}

/// A C program that prints every number and the layout of every struct of the header.
fn teller(header: &str) -> String {
    let mut prints = String::new();
    let mut fields: Option<Vec<String>> = None;
    for line in header.lines() {
        if let Some(name) = line.strip_prefix("#define ").and_then(|rest| rest.split(' ').next()) {
            if !name.starts_with("PX_VERSION") && name != "PX_H" {
                prints += &format!("  printf(\"{name} %lld\\n\", (long long){name});\n");
            }
        } else if line == "typedef struct {" {
            fields = Some(Vec::new());
        } else if let Some(name) = line.strip_prefix("} ").and_then(|l| l.strip_suffix(';')) {
            prints += &format!("  printf(\"{name} %zu bytes\\n\", sizeof({name}));\n");
            for field in fields.take().unwrap() {
                let size = format!("sizeof((({name} *)0)->{field})");
                prints += &format!(
                    "  printf(\"{name}.{field} %zu at %zu\\n\", {size}, offsetof({name}, {field}));\n"
                );
            }
        } else if let Some(fields) = &mut fields {
            fields.extend(field(line));
        }
    }
    format!("#include <stdio.h>\n#include <px.h>\nint main(void) {{\n{prints}  return 0;\n}}\n")
}

/// The name that a line of a struct declares: `int (*send)(...);` or `size_t length;`.
fn field(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with("//") {
        return None;
    }
    if let Some((_, rest)) = line.split_once("(*") {
        return rest.split(')').next().map(str::to_owned);
    }
    let declared = line.strip_suffix(';')?;
    Some(declared.rsplit([' ', '*']).next()?.to_owned())
}
