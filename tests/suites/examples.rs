//! The examples, run as their reader runs them: each prints what the same work prints without
//! `pxrun`, and what the README shows of them is what they are.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use px_tests::installed::installed;
use px_tests::lab::{Lab, Mpi};
use px_tests::{Job, Outcome, Scratch, binary, records};

const EXAMPLES: [&str; 6] =
    ["word-count", "log-filter", "file-list", "gzip", "json-lines", "hosts"];

/// The section of the README that shows them.
const USES: &str = "Six real uses";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs a program at the top of the repository; one that hangs is stopped with status 124.
fn run(program: impl AsRef<OsStr>, arguments: &[&Path], pxrun: &Path) -> Outcome {
    ended(&mut command(program, arguments, pxrun))
}

fn command(program: impl AsRef<OsStr>, arguments: &[&Path], pxrun: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "120"]).arg(program).args(arguments).current_dir(top());
    command.env("PXRUN", pxrun).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

fn ended(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        command: format!("{command:?}"),
        status: output.status.into(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        peak: None,
    }
}

/// Runs a script of the examples.
fn example(script: &str, arguments: &[&Path], pxrun: &Path) -> Outcome {
    run(Path::new("examples").join(script), arguments, pxrun)
}

/// What a shell command prints without `pxrun`; `$1` and on are the arguments.
fn sequential(script: &str, arguments: &[&Path]) -> Vec<u8> {
    let mut all = vec![Path::new("-c"), Path::new(script), Path::new("sh")];
    all.extend(arguments);
    run("sh", &all, Path::new("false")).quiet().stdout.clone()
}

/// The `pxrun` under test as it is, and one that starts five copies on however few cores.
fn launchers(scratch: &Scratch) -> [PathBuf; 2] {
    let script = format!("#!/bin/sh\nexec '{}' -np 5 \"$@\"\n", binary::pxrun().display());
    [binary::pxrun(), scratch.program("pxrun-five", script)]
}

/// Runs a script over each input, with each launcher, and wants what `wanted` says.
fn same(
    script: &str,
    inputs: &[(&str, Vec<u8>)],
    rest: &[&str],
    wanted: impl Fn(&Path) -> Vec<u8>,
) {
    let scratch = Scratch::new();
    let launchers = launchers(&scratch);
    for (name, bytes) in inputs {
        let input = scratch.file(name, bytes);
        let mut arguments = vec![input.as_path()];
        arguments.extend(rest.iter().map(Path::new));
        let wanted = wanted(&input);
        for pxrun in &launchers {
            example(script, &arguments, pxrun).ok().quiet().prints(&wanted);
        }
    }
}

/// Texts from nothing to some MiB, the last without the end of its last line.
fn texts(line: impl Fn(u64) -> String) -> Vec<(&'static str, Vec<u8>)> {
    let lines = |count| (0..count).map(&line).collect::<String>().into_bytes();
    let mut open = lines(3);
    open.pop();
    vec![("empty", Vec::new()), ("one", lines(1)), ("many", lines(60_000)), ("open end", open)]
}

fn log_line(number: u64) -> String {
    let level = ["INFO", "WARN", "ERROR", "NO_ERROR", "DEBUG"][(number * number % 23 % 5) as usize];
    format!("{level} 10.0.{}.{} request {number} to the SHOP\n", number % 256, number % 7)
}

#[test]
fn each_example_prints_what_its_expected_file_says() {
    for name in EXAMPLES.into_iter().filter(|name| *name != "gzip") {
        let expected = fs::read(top().join("examples").join(name).join("expected.txt")).unwrap();
        let outcome = example(&format!("{name}/run.sh"), &[], &binary::pxrun());
        outcome.ok().quiet().prints(expected);
    }
}

#[test]
fn each_example_fails_when_its_job_fails() {
    for script in ["word-count/run.sh", "log-filter/run.sh", "log-filter/mask.sh"]
        .into_iter()
        .chain(["file-list/run.sh", "gzip/run.sh", "json-lines/run.sh", "hosts/run.sh"])
    {
        example(script, &[], Path::new("false")).exits(1);
    }
}

#[test]
fn word_count_adds_up_to_the_count_of_one_reader() {
    same("word-count/run.sh", &texts(log_line), &["1000000"], |text| {
        let mut counts = BTreeMap::new();
        let text = fs::read_to_string(text).unwrap().to_lowercase();
        for word in text.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_owned()).or_insert(0_u64) += 1;
        }
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.iter().flat_map(|(word, n)| format!("{n} {word}\n").into_bytes()).collect()
    });
}

#[test]
fn log_filter_prints_what_one_grep_prints() {
    for word in ["ERROR", "nowhere"] {
        same("log-filter/run.sh", &texts(log_line), &[word], |log| {
            sequential("grep -Fw -e \"$2\" < \"$1\"", &[log, Path::new(word)])
        });
    }
}

#[test]
fn log_filter_masks_what_one_sed_masks() {
    same("log-filter/mask.sh", &texts(log_line), &[], |log| {
        sequential("sed -E 's/([0-9]+\\.){3}[0-9]+/x.x.x.x/g' < \"$1\"", &[log])
    });
}

#[test]
fn file_list_prints_what_one_sha256sum_prints() {
    let scratch = Scratch::new();
    scratch.directory("tree");
    for (name, length) in [&b" a b"[..], b"-n", b"li\nne", b"back\\slash", b"\xff\xfe", b"'\"$(x)"]
        .into_iter()
        .zip([0, 1, 100, 5000, 2_000_000, 7])
    {
        let name = [b"tree/", name].concat();
        fs::write(scratch.path().join(OsStr::from_bytes(&name)), "x".repeat(length)).unwrap();
    }
    for number in 0..500 {
        scratch.file(&format!("tree/{number}"), number.to_string());
    }
    let tree = scratch.at("tree");
    let wanted = "find \"$1\" -type f -print0 | sort -z | xargs -0 sha256sum";
    let wanted = sequential(wanted, &[&tree]);
    for pxrun in launchers(&scratch) {
        example("file-list/run.sh", &[&tree], &pxrun).ok().quiet().prints(&wanted);
    }
    let empty = scratch.directory("empty");
    example("file-list/run.sh", &[&empty], &binary::pxrun()).ok().quiet().prints("");
}

#[test]
fn file_list_goes_on_after_a_file_that_is_gone_and_fails_at_the_end() {
    let scratch = Scratch::new();
    let names: Vec<PathBuf> =
        (0..100).map(|number| scratch.file(&number.to_string(), "x")).collect();
    fs::remove_file(&names[50]).unwrap();
    let list: Vec<u8> =
        names.iter().flat_map(|name| [name.as_os_str().as_bytes(), b"\0"].concat()).collect();
    let job = Job::new("-np 3 --records nul --deal dynamic --keep-going python3");
    let outcome = job.arg(top().join("examples/file-list/checksum.py")).piped(list).run();
    outcome.exits(1).says(names[50].to_str().unwrap());
    assert_eq!(outcome.stdout.iter().filter(|&&byte| byte == 0).count(), 99, "{}", outcome.seen());
}

#[test]
fn gzip_output_decompresses_to_the_input_and_is_the_same_for_any_number_of_copies() {
    let scratch = Scratch::new();
    let input = scratch.file("input", records::numbered(60_000, 3));
    let output = scratch.at("output");
    let mut first = None;
    for pxrun in launchers(&scratch) {
        example("gzip/run.sh", &[&input, &output], &pxrun).ok().quiet();
        let whole = sequential("gzip -dc < \"$1\"", &[&output]);
        assert!(whole == fs::read(&input).unwrap(), "other bytes came back");
        let compressed = fs::read(&output).unwrap();
        assert!(*first.get_or_insert(compressed.clone()) == compressed, "other compressed bytes");
    }
}

#[test]
fn gzip_without_an_output_leaves_nothing() {
    let scratch = Scratch::new();
    let directory = scratch.directory("temporary");
    let mut command = command("examples/gzip/run.sh", &[], &binary::pxrun());
    let outcome = ended(command.env("TMPDIR", &directory));
    outcome.ok().quiet().prints_lines(1);
    assert_eq!(scratch.names("temporary"), [""; 0]);
}

#[test]
fn json_lines_prints_what_one_copy_prints() {
    let order = |number: u64| {
        let items = format!(r#"[{{"cents": {}, "quantity": 3}}]"#, number * 7);
        format!("{{\"order\": {number}, \"customer\": \"Zo\u{eb}\", \"items\": {items}}}\n")
    };
    same("json-lines/run.sh", &texts(order), &[], |orders| {
        sequential("python3 examples/json-lines/bill.py < \"$1\"", &[orders])
    });
}

#[test]
fn json_lines_with_a_line_that_is_no_json_fails_and_names_the_chunk() {
    let scratch = Scratch::new();
    let good = r#"{"order": 1, "customer": "a", "items": []}"#;
    let orders = scratch.file("orders", format!("{good}\nno order\n{good}\n"));
    let outcome = example("json-lines/run.sh", &[&orders], &binary::pxrun());
    outcome.exits(1).says("JSONDecodeError").says("chunk 1");
}

#[test]
fn hosts_prints_what_one_factor_prints_whatever_slots_the_hostfile_has() {
    let scratch = Scratch::new();
    let number = |index: u64| format!("{}\n", index * index * 999_983 + index);
    for (name, numbers) in texts(number).iter().filter(|(name, _)| *name != "many") {
        let numbers = scratch.file(name, numbers);
        let wanted = sequential("factor < \"$1\"", &[&numbers]);
        for slots in [1, 2, 5] {
            let hosts = scratch.file("hosts", format!("localhost slots={slots}\n"));
            let outcome = example("hosts/run.sh", &[&hosts, &numbers], &binary::pxrun());
            outcome.ok().quiet().prints(&wanted);
        }
    }
}

/// A section of the README, by its title.
fn readme_section(title: &str) -> String {
    let readme = fs::read_to_string(top().join("README.md")).expect("README.md");
    let (_, section) = readme.split_once(&format!("\n## {title}\n")).expect(title);
    section.split_once("\n## ").map_or(section, |(section, _)| section).to_owned()
}

/// The fenced blocks of a text: what each says it is, its lines, and what follows it.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split("```").collect();
    let blocks = parts.iter().skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("a block of lines")).collect()
}

/// The command lines of `pxrun` in the README's section.
fn quoted(section: &str) -> Vec<&str> {
    let lines = blocks(section).into_iter().filter(|(kind, _)| *kind == "sh");
    let lines = lines.flat_map(|(_, lines)| lines.lines()).map(str::trim);
    lines.filter(|line| line.starts_with("pxrun")).collect()
}

#[test]
fn every_command_line_that_the_readme_quotes_is_an_examples() {
    let section = readme_section(USES);
    let quoted = quoted(&section);
    let script = |name| {
        let path = top().join("examples").join(name).join("run.sh");
        fs::read_to_string(path).unwrap().replace("\"${PXRUN:-pxrun}\"", "pxrun")
    };
    let scripts = EXAMPLES.map(script);
    for line in &quoted {
        let any = scripts.iter().any(|script| script.lines().any(|own| own.trim() == *line));
        assert!(any, "no examples/*/run.sh has this line of the README:\n{line}");
    }
    for (name, script) in EXAMPLES.iter().zip(&scripts) {
        let any = script.lines().any(|own| quoted.contains(&own.trim()));
        assert!(any, "the README quotes no line of examples/{name}/run.sh");
    }
}

/// A folder to try the README in, and the `PATH` of its reader.
fn readers_folder() -> (Scratch, OsString) {
    let scratch = Scratch::new();
    for name in ["examples", "LICENSE-APACHE"] {
        symlink(top().join(name), scratch.at(name)).unwrap();
    }
    symlink(binary::pxrun(), scratch.at("pxrun")).unwrap();
    let mut path = OsString::from(scratch.path());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    (scratch, path)
}

#[test]
fn every_block_of_the_readme_section_prints_what_the_readme_shows() {
    let (scratch, path) = readers_folder();
    let section = readme_section(USES);
    let blocks = blocks(&section);
    for (at, (kind, lines)) in blocks.iter().enumerate() {
        if *kind != "sh" {
            continue;
        }
        let arguments = ["-euo", "pipefail", "-c", lines].map(Path::new);
        let mut bash = command("bash", &arguments, &binary::pxrun());
        let outcome = ended(bash.env("PATH", &path).current_dir(scratch.path()));
        outcome.ok();
        if let Some(("text", shown)) = blocks.get(at + 1) {
            outcome.prints(shown);
        }
    }
}

/// Runs the blocks of a section of the README in a lab; each must print what is shown below it.
fn prints_what_is_shown(title: &str, lab: &Lab, least: usize) {
    let (scratch, path) = readers_folder();
    if let Ok(program) = binary::pxrun_mpi(Mpi::Open) {
        symlink(program, scratch.at("pxrun-mpi")).unwrap();
    }
    let section = readme_section(title);
    let blocks = blocks(&section);
    let mut shells = 0;
    for (at, (_, lines)) in blocks.iter().enumerate().filter(|(_, (kind, _))| *kind == "sh") {
        shells += 1;
        let mut bash = lab.command("timeout");
        bash.args(["-k", "5", "120", "bash", "-euo", "pipefail", "-c", lines]);
        bash.current_dir(scratch.path());
        // A reader would not be root.
        bash.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        let outcome = ended(bash.env("PATH", &path).stdin(Stdio::null()));
        match blocks.get(at + 1) {
            Some(("text", shown)) if shown.starts_with("pxrun: error") => {
                outcome.own_error().check(outcome.stderr == *shown, || "the README's words".into())
            }
            Some(("text", shown)) => outcome.ok().prints(shown),
            _ => outcome.ok(),
        };
    }
    assert!(shells >= least, "the section has {shells} blocks to run");
}

#[test]
fn every_block_of_the_readmes_section_on_hosts_prints_what_the_readme_shows() {
    prints_what_is_shown("More than one machine", &px_tests::lab!(Lab::of(4)), 5);
}

#[test]
fn every_block_of_the_readmes_section_on_slurm_prints_what_the_readme_shows() {
    prints_what_is_shown("With Slurm", &px_tests::lab!(Lab::of(4).slurm(|slurm| slurm)), 4);
}

#[test]
fn every_block_of_the_readmes_section_on_mpi_prints_what_the_readme_shows() {
    if let Err(reason) = binary::pxrun_mpi(Mpi::Open) {
        return eprintln!("not run: the README's section on MPI: {reason}");
    }
    prints_what_is_shown("With MPI", &px_tests::lab!(Lab::of(2).mpi(Mpi::Open)), 2);
}

/// The sections of the README on programs that link libpx: their title, and the language of the
/// program in them, as the block and the file of it are called.
const LINKED: [(&str, &str, &str); 2] =
    [("Link it from C", "c", "long.c"), ("Link it from Fortran", "fortran", "long.f90")];

#[test]
fn the_programs_of_the_readmes_sections_on_libpx_compile_and_print_what_the_readme_shows() {
    let prefix = installed();
    for (title, language, file) in LINKED {
        let (scratch, _) = readers_folder();
        let section = readme_section(title);
        let blocks = blocks(&section);
        let is = |kind| move |(_, (found, _)): &(usize, &(&str, &str))| *found == kind;
        let (_, (_, source)) = blocks.iter().enumerate().find(is(language)).expect(title);
        scratch.file(file, source);
        let (at, (_, lines)) = blocks.iter().enumerate().find(is("sh")).expect(title);
        let mut bash = prefix.command("timeout");
        bash.args(["-k", "5", "120", "bash", "-euo", "pipefail", "-c", lines]);
        let outcome = ended(bash.current_dir(scratch.path()).stdin(Stdio::null()));
        let Some(("text", shown)) = blocks.get(at + 1) else { panic!("{title}: nothing is shown") };
        outcome.ok().quiet().prints(shown);
    }
}
