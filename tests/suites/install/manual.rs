//! The manual: complete, true to the header, and clean.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use px_tests::installed::installed;

use crate::{mapped, top};

/// The pages of libpx and of the programs, as they lie in the repository.
fn pages() -> Vec<PathBuf> {
    let folders = ["bindings-c/man", "launcher/man"].map(|folder| top().join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let pages: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// The lines of a section of a page.
fn section<'a>(page: &'a str, title: &str) -> Vec<&'a str> {
    let from = page.lines().skip_while(|line| *line != format!(".SH {title}")).skip(1);
    from.take_while(|line| !line.starts_with(".SH ")).collect()
}

/// The words of a macro's line, without quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

/// A page's synopsis as C: macros and fonts are gone.
fn synopsis(page: &str) -> String {
    let mut text = String::new();
    for line in section(page, "SYNOPSIS") {
        if let Some(line) = line.strip_prefix(".BI ") {
            text += &words(line).concat();
        } else if let Some(line) = line.strip_prefix(".B ") {
            text += &words(line).join(" ");
        }
        text.push('\n');
    }
    text
}

/// C with single blanks, and none where it needs none.
fn normal(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in ["(", ")", "*", ",", ";"] {
        for spaced in [format!(" {mark}"), format!("{mark} ")] {
            text = text.replace(&spaced, mark);
        }
    }
    text
}

/// The prototypes and callback types of a synopsis, normalised.
fn prototypes(page: &str) -> Vec<String> {
    let text = normal(&synopsis(page));
    let statements = text.split_inclusive(';').filter(|statement| statement.ends_with(");"));
    // What stands before a first prototype is no part of it.
    let own = |statement: &str| {
        let start = ["int px_", "size_t px_", "uint64_t px_", "const char*px_", "const void*px_"]
            .iter()
            .chain(&["typedef int("])
            .filter_map(|start| statement.find(start))
            .min();
        start.map(|start| statement[start..].to_owned())
    };
    statements.filter_map(own).collect()
}

/// The header without its comments, normalised.
fn header(name: &str) -> String {
    let text = fs::read_to_string(installed().at("include").join(name)).unwrap();
    let mut code = String::new();
    let mut rest = text.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    normal(&(code + rest))
}

#[test]
fn every_prototype_of_the_manual_stands_in_the_header_and_every_function_in_the_manual() {
    let headers = [header("px.h"), header("px_mpi.h")].concat();
    let mut described = BTreeSet::new();
    for path in pages().iter().filter(|path| path.extension().is_some_and(|end| end == "3")) {
        let page = fs::read_to_string(path).unwrap();
        let prototypes = prototypes(&page);
        assert!(!prototypes.is_empty(), "{}", path.display());
        for prototype in prototypes {
            assert!(headers.contains(&prototype), "{}: `{prototype}`", path.display());
            let name = prototype.split('(').next().unwrap().rsplit([' ', '*']).next().unwrap();
            described.insert(name.to_owned());
        }
    }
    described.retain(|name| name.starts_with("px_"));
    let mpi = ["px_mpi_job_run", "px_mpi_job_run_f"].map(str::to_owned);
    assert_eq!(described, mapped().into_iter().chain(mpi).collect());
}

#[test]
fn every_status_of_the_header_stands_in_the_manual_with_its_number() {
    let text = fs::read_to_string(installed().at("include/px.h")).unwrap();
    let manual = fs::read_to_string(top().join("bindings-c/man/px.7")).unwrap();
    let manual = manual.replace("\\fB", "").replace("\\fR", "");
    let listed: BTreeSet<(&str, &str)> = manual
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    let defines = text.lines().filter_map(|line| line.strip_prefix("#define "));
    let statuses: Vec<&str> = defines
        .filter(|define| ["PX_OK ", "PX_END ", "PX_ERR_"].iter().any(|s| define.starts_with(s)))
        .collect();
    assert_eq!(statuses.len(), 26);
    for define in statuses {
        let (name, number) = define.split_once(' ').unwrap();
        let number = number.trim().trim_matches(['(', ')']);
        assert!(listed.contains(&(number, name)), "{name} {number}");
    }
}

#[test]
fn every_page_that_leads_to_another_leads_to_one_that_is_there() {
    let manual = installed().at("share/man");
    for entry in fs::read_dir(manual.join("man3")).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let page = page
            .strip_prefix(".so ")
            .map_or(page.clone(), |other| fs::read_to_string(manual.join(other.trim())).unwrap());
        let names = section(&page, "NAME").concat();
        assert!(names.split([' ', ',']).any(|one| one == name), "{name}: {names}");
    }
}

#[test]
fn the_pages_have_no_fault_that_groff_or_mandoc_knows() {
    let mut found = String::new();
    for path in pages() {
        for checker in ["groff -ww -man -Tutf8 -z", "mandoc -T lint -W warning"] {
            let mut words = checker.split(' ');
            let mut command = Command::new(words.next().unwrap());
            let output = command.args(words).arg(&path).output().unwrap();
            found += &String::from_utf8_lossy(&output.stdout);
            found += &String::from_utf8_lossy(&output.stderr);
        }
    }
    assert_eq!(found, "");
}
