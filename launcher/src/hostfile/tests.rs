//! What is understood, what is refused, and hostile text.

use proptest::prelude::*;

use super::allocation::{Slots, allocate};
use super::{Entry, MOST_BYTES, MOST_HOSTS, parse, parse_list, parse_words};

fn entries(text: &str) -> Vec<Entry> {
    parse("hosts", text.as_bytes()).unwrap_or_else(|wrong| panic!("{text:?}: {wrong}"))
}

fn wrong(text: impl AsRef<[u8]>) -> String {
    parse("hosts", text.as_ref()).unwrap_err().to_string()
}

fn wrong_list(text: &str) -> String {
    parse_list(text).unwrap_err().to_string()
}

/// `user@host:port/slots/max`, what is not said left out.
fn short(entries: &[Entry]) -> Vec<String> {
    let one = |entry: &Entry| {
        let user = entry.user.as_ref().map_or(String::new(), |user| format!("{user}@"));
        let port = entry.port.map_or(String::new(), |port| format!(" port {port}"));
        let slots = entry.slots.map_or(String::new(), |slots| format!(" slots {slots}"));
        let most = entry.max_slots.map_or(String::new(), |most| format!(" max {most}"));
        format!("{user}{}{port}{slots}{most}", entry.host)
    };
    entries.iter().map(one).collect()
}

#[test]
fn every_spelling_of_open_mpi_and_mpich_is_understood() {
    for most in ["max_slots", "max-slots", "slots_max", "slots-max"] {
        for line in [format!("n1 slots=4 {most}=8"), format!("  n1\tslots = 4   {most} =8 # x")] {
            assert_eq!(short(&entries(&line)), ["n1 slots 4 max 8"]);
        }
    }
    assert_eq!(short(&entries("n1:4 user=ann")), ["ann@n1 slots 4"]);
    assert_eq!(short(&entries("ann@n1:4 port=2222")), ["ann@n1 port 2222 slots 4"]);
    assert_eq!(short(&entries("n1#4")), ["n1"]);
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    assert_eq!(
        short(&entries("[fe80::1]:4\n[::1]\n[fe80::1%eth0] slots=2")),
        ["fe80::1 slots 4", "::1", "fe80::1%eth0 slots 2"]
    );
    let bare = "hosts:1:1: an IPv6 address must be in brackets, as in `[fe80::1]:4`, found";
    assert_eq!(wrong("fe80::1"), format!("{bare} `fe80::1`"));
    assert_eq!(wrong("::1"), format!("{bare} `::1`"));
    assert_eq!(wrong("a:4:2"), format!("{bare} `a:4:2`"));
    assert!(wrong("ann@fe80::1").starts_with("hosts:1:5: an IPv6"));
    assert!(wrong("[1-3]").contains("must hold an IPv6 address, found `1-3`"));
    assert!(wrong("[::1]x").starts_with("hosts:1:6: "));
    assert!(wrong("[fe80::1%]").starts_with("hosts:1:2: "));
    assert!(wrong("[::1").contains("must end with `]`, found nothing"));
}

#[test]
fn ranges_keep_their_zeros_and_multiply() {
    let list = short(&entries("n[01-03,12]-ib:2"));
    assert_eq!(list, ["n01-ib slots 2", "n02-ib slots 2", "n03-ib slots 2", "n12-ib slots 2"]);
    assert_eq!(
        short(&entries("r[1-2]n[08-10]")),
        ["r1n08", "r1n09", "r1n10", "r2n08", "r2n09", "r2n10"]
    );
    for (list, found) in [
        ("node[1-", "found nothing"),
        ("node[1", "found nothing"),
        ("node[]", "found `]`"),
        ("node[1,]", "found `]`"),
        ("node[9-1]", "found `9-1`"),
        ("node[1-010]", "found `1-010`"),
        ("node[1[2]]", "found `[`"),
        ("node[a-c]", "found `a`"),
        ("node[1234567890123456]", "found `1234567890123456`"),
        ("node[1-99999999]", "found 99999999"),
        ("n[1-300][1-300]", "found 90000"),
        ("n[0-999999999][0-999999999][0-999999999]", "found 18446744073709551615"),
    ] {
        assert!(wrong(list).ends_with(found), "{list}: {}", wrong(list));
    }
}

#[test]
fn a_list_has_the_entries_of_a_file_parted_by_commas() {
    let list = parse_list("a:2,b:4,user@c,[::1]:2,node[1-3,5]:2, d slots=3").unwrap();
    assert_eq!(
        short(&list)[..5],
        ["a slots 2", "b slots 4", "user@c", "::1 slots 2", "node1 slots 2"]
    );
    assert_eq!(short(&list)[7..], ["node5 slots 2", "d slots 3"]);
    assert_eq!(list[1].place.to_string(), "-H:1:5");
    assert!(wrong_list("").starts_with("-H:1:1: a host must come first, found nothing"));
    assert!(wrong_list("a,").starts_with("-H:1:3: a host must come first, found nothing"));
    assert!(wrong_list("a,,b").starts_with("-H:1:3: a host must come first, found nothing"));
    assert!(wrong_list("a#b").starts_with("-H:1:2: comments"));
    assert!(wrong_list("a\nb").starts_with("-H:1:2: control characters"));
    assert!(wrong_list("a,-oProxyCommand=x").starts_with("-H:1:3: a host must not begin with `-`"));
}

#[test]
fn a_schedulers_variable_names_a_host_for_each_slot() {
    let list = parse_words("LSB_HOSTS", " b a\tb  c ").unwrap();
    assert_eq!(short(&list), ["b", "a", "b", "c"]);
    assert_eq!(list[2].place.to_string(), "LSB_HOSTS:1:6");
    let hosts = allocate(&list).unwrap();
    assert_eq!(hosts[0].reason, "2 lines, LSB_HOSTS:1:2 and LSB_HOSTS:1:6");
    assert!(parse_words("LSB_HOSTS", " \t").unwrap().is_empty());
    let wrong = |value| parse_words("LSB_HOSTS", value).unwrap_err().to_string();
    assert!(wrong("a b,c").starts_with("LSB_HOSTS:1:4: a host must have a name"));
    assert!(wrong("a #b").starts_with("LSB_HOSTS:1:3: a host must come first"));
    assert!(wrong("a ü").starts_with("LSB_HOSTS:1:3: a host must come first"));
    assert!(wrong("a -oProxyCommand=x").starts_with("LSB_HOSTS:1:3: a host must not begin with"));
    assert!(wrong("a\nb").starts_with("LSB_HOSTS:1:2: control characters"));
    let most = "a ".repeat(MOST_HOSTS);
    assert_eq!(parse_words("LSB_HOSTS", &most).unwrap().len(), MOST_HOSTS);
    assert!(wrong(&format!("{most}b")).starts_with("LSB_HOSTS:1:131073: at most 65536 hosts"));
}

#[test]
fn what_could_be_an_option_of_ssh_is_refused() {
    assert_eq!(
        wrong("-oProxyCommand=x"),
        "hosts:1:1: a host must not begin with `-`, found `-oProxyCommand=x`"
    );
    assert!(wrong("ann@-oProxyCommand=x").starts_with("hosts:1:5: a host must not begin with `-`"));
    assert!(wrong("-lroot@n1").starts_with("hosts:1:1: a user must not begin with `-`"));
    assert!(wrong("n1 user=-lroot").starts_with("hosts:1:9: a user must not begin with `-`"));
}

#[test]
fn an_error_has_its_line_and_its_column_in_characters() {
    assert_eq!(
        wrong("\u{feff}# ümlaut\r\n\r\nnode07   slots=four # x\r\n"),
        "hosts:3:16: `slots` must be a whole number from 1 to 65535, found `four`"
    );
    assert!(wrong("a b").starts_with("hosts:1:3: after a host `slots=`,"));
    assert!(wrong("nüde").starts_with("hosts:1:2: a host must have a name"));
    assert!(wrong("a\u{a0}slots=4").ends_with("found `\\u{a0}`"));
    assert!(wrong("ok\n\tä b".as_bytes()).starts_with("hosts:2:2: a host must come first"));
    assert!(wrong("a slots=2 slots=2").starts_with("hosts:1:11: `slots` must be given once"));
    assert!(wrong("a:2 slots=2").starts_with("hosts:1:5: `slots` must be given once"));
    assert!(wrong("ann@a user=bob").starts_with("hosts:1:7: `user` must be given once"));
    assert!(wrong("a,b").starts_with("hosts:1:2: hosts must be on a line each"));
}

#[test]
fn numbers_are_whole_and_from_1_to_65535() {
    for (text, found) in [
        ("a:", "nothing"),
        ("a:0", "`0`"),
        ("a:+4", "`+4`"),
        ("a:4x", "`4x`"),
        ("a slots=", "nothing"),
        ("a slots=abc", "`abc`"),
        ("a slots=-1", "`-1`"),
        ("a slots=1.5", "`1.5`"),
        ("a slots=99999", "`99999`"),
        ("a max_slots=0", "`0`"),
        ("a port=65536", "`65536`"),
        ("a slots=99999999999999999999999", "`99999999999999999999999`"),
    ] {
        let message = wrong(text);
        let tail = format!("must be a whole number from 1 to 65535, found {found}");
        assert!(message.ends_with(&tail), "{text}: {message}");
    }
    assert!(wrong("slots=4").starts_with("hosts:1:1: a host must come first, found `slots=4`"));
    assert!(wrong("slots = 4").starts_with("hosts:1:1: a host must come first, found `slots`"));
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_are() {
    assert_eq!(wrong("a\n\0b"), "hosts:2:1: control characters are not allowed, found `\\u{0}`");
    assert!(wrong("a # \x1b[2J").starts_with("hosts:1:5: control"));
    assert!(wrong("a\rb").starts_with("hosts:1:2: control"));
    assert_eq!(
        wrong(b"\xef\xbb\xbfa\nb\xc3\xbc\xffc"),
        "hosts:2:3: a hostfile must be text in UTF-8, found the byte 0xff"
    );
    for nothing in ["", "\u{feff}", "\n\n", "# only this\r\n", " \t"] {
        assert_eq!(wrong(nothing), "hosts:1:1: a hostfile must list at least one host, found none");
    }
}

#[test]
fn a_hostfile_has_bounds() {
    let big = vec![b'#'; 10_000_000];
    assert!(wrong(&big).starts_with("hosts:1:1: a hostfile must have at most 1048576 bytes"));
    let mut full = vec![b'#'; MOST_BYTES - 2];
    full.extend(b"\na");
    assert_eq!(parse("hosts", &full).unwrap().len(), 1);
    assert_eq!(parse("hosts", "a\n".repeat(MOST_HOSTS).as_bytes()).unwrap().len(), MOST_HOSTS);
    let more = wrong("a\n".repeat(MOST_HOSTS + 1));
    assert_eq!(more, "hosts:65537:1: at most 65536 hosts can be listed, found 65537");
    assert!(wrong(format!("a{}", "[1-1]".repeat(100_000))).contains("found 100001"));
    assert!(wrong("a".repeat(254)).ends_with("at most 253 characters, found 254"));
    assert!(wrong(format!("a[{}1]", "1,".repeat(400_000))).ends_with("found 400001"));
    let message = wrong("a".repeat(250) + "/" + &"b".repeat(100_000));
    assert!(message.len() < 400, "{}", message.len());
}

#[test]
fn the_longest_lines_are_read_once() {
    let list = format!("{}a", "a,".repeat(MOST_HOSTS - 1));
    assert_eq!(parse_list(&list).unwrap().len(), MOST_HOSTS);
    let ranges = "1,".repeat(60_000);
    assert_eq!(entries(&format!("n[{ranges}1]")).len(), 60_001);
    assert!(wrong(format!("a {}", "slots=1".repeat(100_000))).contains("whole number"));
    assert!(wrong("@".repeat(1_000_000)).starts_with("hosts:1:1: a user must"));
}

fn allocated(text: &str) -> Vec<(String, Slots, String)> {
    let hosts = allocate(&entries(text)).unwrap_or_else(|message| panic!("{}", message.text));
    hosts.into_iter().map(|host| (host.host, host.slots, host.reason)).collect()
}

fn clash(text: &str) -> String {
    allocate(&entries(text)).unwrap_err().text
}

#[test]
fn lines_of_a_host_add_up_in_the_order_of_first_appearance() {
    let host = |name: &str, slots, reason: &str| (name.to_owned(), slots, reason.to_owned());
    assert_eq!(
        allocated("b\na slots=4\nc\nc\na:2\nd\nd\nd"),
        [
            host("b", Slots::Cores, "its cores, hosts:1"),
            host("a", Slots::Counted(6), "slots of 2 lines, hosts:2 and hosts:5"),
            host("c", Slots::Counted(2), "2 lines, hosts:3 and hosts:4"),
            host("d", Slots::Counted(3), "3 lines, hosts:6 to hosts:8"),
        ]
    );
    assert_eq!(allocated("a:4"), [host("a", Slots::Counted(4), "`slots=4` at hosts:1")]);
    let list = allocate(&parse_list("a,a").unwrap()).unwrap();
    assert_eq!(list[0].reason, "2 lines, -H:1:1 and -H:1:3");
}

#[test]
fn several_hostfiles_are_merged_as_if_one() {
    let mut both = parse("one", b"a slots=1\nb slots=1").unwrap();
    both.extend(parse("two", b"\na slots=2").unwrap());
    let hosts = allocate(&both).unwrap();
    assert_eq!(hosts[0].slots, Slots::Counted(3));
    assert_eq!(hosts[0].reason, "slots of 2 lines, one:1 and two:2");
    assert_eq!(hosts.len(), 2);
}

#[test]
fn lines_that_contradict_each_other_are_both_named() {
    for (text, message) in [
        (
            "a\n\na:2",
            "hosts:1 and hosts:3: `a` must have slots on all of its lines or on none, found none and `slots=2`",
        ),
        (
            "a:2 max_slots=4\na:2",
            "hosts:1 and hosts:2: `a` must have the same `max_slots` on all of its lines, found `max_slots=4` and none",
        ),
        (
            "ann@a\nbob@a",
            "hosts:1 and hosts:2: `a` must have the same user on all of its lines, found `ann` and `bob`",
        ),
        (
            "a port=1\na port=2",
            "hosts:1 and hosts:2: `a` must have the same port on all of its lines, found `port=1` and `port=2`",
        ),
        ("a:3 max_slots=2", "hosts:1: `a` must have at most `max_slots=2`, found 3 slots"),
        (
            "a:3 max_slots=4\na:3 max_slots=4",
            "hosts:1 and hosts:2: `a` must have at most `max_slots=4`, found 6 slots",
        ),
        ("a:65535\na:1", "hosts:1 and hosts:2: `a` must have at most 65535, found 65536 slots"),
    ] {
        assert_eq!(clash(text), message);
    }
}

proptest! {
    #[test]
    fn whatever_the_bytes_an_error_is_inside_the_text(
        bytes in "[ab@:,=#\\[\\]0-9\\-+^ \t\r\nslotüxe\u{0}\u{feff}]{0,40}"
    ) {
        if let Err(wrong) = parse("hosts", bytes.as_bytes()) {
            let text = bytes.strip_prefix('\u{feff}').unwrap_or(&bytes);
            let line = text.split('\n').nth(wrong.place.line as usize - 1);
            prop_assert!(line.is_some_and(|line| wrong.place.column as usize <= line.chars().count() + 1));
        }
    }

    #[test]
    fn a_padded_range_counts_from_first_to_last(first in 0u32..2000, more in 0u32..200, width in 1usize..6) {
        let last = first + more;
        let list = format!("n[{first:0width$}-{last:0width$}]x");
        let names = short(&entries(&list));
        let wanted: Vec<String> = (first..=last).map(|number| format!("n{number:0width$}x")).collect();
        prop_assert_eq!(names, wanted);
    }
}
