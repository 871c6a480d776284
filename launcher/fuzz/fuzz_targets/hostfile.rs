//! Whatever the bytes: a hostfile is read without a panic to a bounded number of hosts, or refused
//! at a place inside it; what is read can be placed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use px_runtime::failure::Message;
use pxrun::hostfile::allocation::{Slots, allocate};
use pxrun::hostfile::{Entry, MOST_HOSTS, MOST_NAME, Wrong, parse, parse_list, parse_words};
use pxrun::placement::{MapBy, Origin, Oversubscribe, Room, Wish, place};

fuzz_target!(|bytes: &[u8]| {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    match parse("hosts", bytes) {
        Ok(entries) => hold(&entries),
        Err(wrong) => inside(&wrong, text),
    }
    let Ok(value) = std::str::from_utf8(bytes) else { return };
    for parsed in [parse_list(value), parse_words("LSB_HOSTS", value)] {
        match parsed {
            Ok(entries) if entries.is_empty() => assert!(value.trim().is_empty()),
            Ok(entries) => hold(&entries),
            Err(wrong) => {
                assert_eq!(wrong.place.line, 1);
                assert!(wrong.place.column as usize <= value.chars().count() + 1);
            }
        }
    }
});

fn inside(wrong: &Wrong, text: &[u8]) {
    let line = text.split(|&byte| byte == b'\n').nth(wrong.place.line as usize - 1);
    let length = line.map(|line| String::from_utf8_lossy(line).chars().count());
    assert!(length.is_some_and(|length| (1..=length + 1).contains(&(wrong.place.column as usize))));
    let message = Message::from(wrong.clone()).render("error");
    assert!(message.len() < 2000 && message.lines().all(|line| !line.contains(char::is_control)));
}

fn hold(entries: &[Entry]) {
    assert!((1..=MOST_HOSTS).contains(&entries.len()));
    for Entry { host, user, .. } in entries {
        assert!(!host.is_empty() && host.len() <= MOST_NAME && !host.starts_with('-'));
        assert!(user.as_ref().is_none_or(|user| !user.is_empty() && !user.starts_with('-')));
    }
    let Ok(hosts) = allocate(entries) else { return };
    let room = |host: &pxrun::hostfile::allocation::Host| Room {
        host: host.host.clone(),
        slots: match host.slots {
            Slots::Counted(slots) => slots,
            Slots::Cores => 3,
        },
        max_slots: host.max_slots,
    };
    let rooms: Vec<Room> = hosts.iter().map(room).collect();
    for map_by in [MapBy::Slot, MapBy::Host] {
        let oversubscribe = Oversubscribe::No;
        let wish = Wish { np: None, map_by, ranks_per_host: None, oversubscribe };
        let from = Origin { name: "hosts".into(), more: "" };
        if let Ok(ranks) = place(&rooms, &wish, &from) {
            assert!(ranks.iter().all(|&host| (host as usize) < rooms.len()));
        }
    }
}
