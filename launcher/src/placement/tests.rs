//! Who gets which rank, and what is refused.

use super::*;
use proptest::prelude::*;

fn from(name: &str) -> Origin {
    Origin { name: name.into(), more: "add slots to the hostfile" }
}

fn rooms(slots: &[u32]) -> Vec<Room> {
    let room = |(slots, number): (&u32, usize)| Room {
        host: format!("node{number:02}"),
        slots: *slots,
        max_slots: None,
    };
    slots.iter().zip(1..).map(room).collect()
}

const SLOTS: Wish =
    Wish { np: None, map_by: MapBy::Slot, ranks_per_host: None, oversubscribe: Oversubscribe::No };
const TURNS: Wish = Wish { map_by: MapBy::Host, ..SLOTS };

fn placed(slots: &[u32], wish: Wish) -> Vec<u32> {
    place(&rooms(slots), &wish, &from("hosts.txt")).unwrap()
}

fn refused(hosts: &[Room], wish: Wish) -> String {
    place(hosts, &wish, &from("hosts.txt")).unwrap_err().render("error")
}

#[test]
fn slots_are_filled_host_by_host_or_in_turn() {
    assert_eq!(placed(&[2, 1, 3], SLOTS), [0, 0, 1, 2, 2, 2]);
    assert_eq!(placed(&[2, 1, 3], TURNS), [0, 1, 2, 0, 2, 2]);
    assert_eq!(placed(&[2, 1, 3], Wish { np: Some(3), ..SLOTS }), [0, 0, 1]);
    assert_eq!(placed(&[2, 1, 3], Wish { np: Some(2), ..TURNS }), [0, 1]);
}

#[test]
fn ranks_per_host_is_both_the_default_number_and_the_bound() {
    let two = Wish { ranks_per_host: Some(2), ..SLOTS };
    assert_eq!(placed(&[4, 4], two), [0, 0, 1, 1]);
    assert_eq!(placed(&[4, 4], Wish { np: Some(3), ..two }), [0, 0, 1]);
    assert_eq!(placed(&[4, 4], Wish { map_by: MapBy::Host, ..two }), [0, 1, 0, 1]);
    assert_eq!(
        refused(&rooms(&[4, 1]), two),
        "pxrun: error: 4 ranks do not fit in 3 places\n  \
         note: node01 has 4 slots, node02 has 1 (from hosts.txt)\n  \
         note: `--ranks-per-host 2` allows at most 2 ranks on each of 2 hosts\n  \
         help: use `-np 3`, add slots to the hostfile, or pass `--oversubscribe`\n"
    );
    let any = Wish { oversubscribe: Oversubscribe::Any, ..two };
    assert_eq!(placed(&[4, 1], any), [0, 0, 1, 1]);
}

#[test]
fn oversubscribed_ranks_go_round_again_in_the_same_order() {
    let any = Wish { np: Some(7), oversubscribe: Oversubscribe::Any, ..SLOTS };
    assert_eq!(placed(&[2, 1], any), [0, 0, 1, 0, 0, 1, 0]);
    assert_eq!(placed(&[2, 1], Wish { map_by: MapBy::Host, ..any }), [0, 1, 0, 0, 1, 0, 0]);
    let twice = Wish { oversubscribe: Oversubscribe::Times(2), ..SLOTS };
    assert_eq!(placed(&[2, 1], twice), [0, 0, 1, 0, 0, 1]);
    assert_eq!(
        refused(&rooms(&[2, 1]), Wish { np: Some(7), ..twice }),
        "pxrun: error: 7 ranks do not fit in 6 places\n  \
         note: node01 has 2 slots, node02 has 1 (from hosts.txt)\n  \
         note: `--oversubscribe=2` allows 2 ranks a slot\n  \
         help: use `-np 6`, add slots to the hostfile, or pass `--oversubscribe`\n"
    );
}

#[test]
fn max_slots_are_never_passed() {
    let mut hosts = rooms(&[2, 1]);
    hosts[0].max_slots = Some(3);
    hosts[1].max_slots = Some(1);
    let any = Wish { np: Some(4), oversubscribe: Oversubscribe::Any, ..SLOTS };
    assert_eq!(place(&hosts, &any, &from("")).unwrap(), [0, 0, 1, 0]);
    assert_eq!(
        refused(&hosts, Wish { np: Some(5), ..any }),
        "pxrun: error: 5 ranks do not fit in 4 places\n  note: node01 has 2 slots with \
         `max_slots=3`, node02 has 1 with `max_slots=1` (from hosts.txt)\n  \
         help: use `-np 4`\n"
    );
}

#[test]
fn ranks_that_do_not_fit_are_refused_with_the_arithmetic() {
    assert_eq!(
        refused(&rooms(&[4, 4]), Wish { np: Some(12), ..SLOTS }),
        "pxrun: error: 12 ranks do not fit in 8 slots\n  \
         note: node01 has 4 slots, node02 has 4 (from hosts.txt)\n  \
         help: use `-np 8`, add slots to the hostfile, or pass `--oversubscribe`\n"
    );
    let many = refused(&rooms(&[1; 1004]), Wish { np: Some(1005), ..SLOTS });
    assert!(many.contains("node08 has 1 and 996 more (from hosts.txt)\n"), "{many}");
    assert!(place(&[], &SLOTS, &from("")).is_err());
    assert!(refused(&rooms(&[0]), SLOTS).contains("at least 1 rank"));
    let million = refused(&rooms(&[65535; 17]), SLOTS);
    assert!(million.contains("at most 1048576 ranks, found 1114095"), "{million}");
}

#[test]
fn the_most_ranks_on_the_most_hosts_are_placed_at_once() {
    let mut hosts = rooms(&[1; 65_536]);
    hosts[1..].iter_mut().for_each(|host| host.max_slots = Some(1));
    for map_by in [MapBy::Slot, MapBy::Host] {
        let any = Oversubscribe::Any;
        let wish = Wish { np: Some(MOST_RANKS), map_by, oversubscribe: any, ..SLOTS };
        assert_eq!(place(&hosts, &wish, &from("")).unwrap().len(), MOST_RANKS as usize);
    }
}

fn room() -> impl Strategy<Value = Room> {
    (1u32..6, proptest::option::of(1u32..8)).prop_map(|(slots, max_slots)| Room {
        host: "n".to_owned(),
        slots,
        max_slots,
    })
}

fn wish() -> impl Strategy<Value = Wish> {
    let over = prop_oneof![
        Just(Oversubscribe::No),
        Just(Oversubscribe::Any),
        (1u32..4).prop_map(Oversubscribe::Times)
    ];
    let some = |range| proptest::option::of(range);
    (some(1u32..60), any::<bool>(), some(1u32..6), over).prop_map(
        |(np, slot, ranks_per_host, oversubscribe)| Wish {
            np,
            map_by: if slot { MapBy::Slot } else { MapBy::Host },
            ranks_per_host,
            oversubscribe,
        },
    )
}

proptest! {
    #[test]
    fn every_rank_has_a_place_and_no_host_is_above_its_bound(
        hosts in proptest::collection::vec(room(), 1..8), wish in wish()
    ) {
        let bounds: Vec<u64> = hosts.iter().map(|host| {
            let slots = u64::from(host.slots);
            let allowed = match wish.oversubscribe {
                Oversubscribe::No => slots,
                Oversubscribe::Times(factor) => slots * u64::from(factor),
                Oversubscribe::Any => 1000,
            };
            let caps = [host.max_slots, wish.ranks_per_host];
            caps.into_iter().flatten().map(u64::from).fold(allowed, u64::min)
        }).collect();
        let Ok(ranks) = place(&hosts, &wish, &from("")) else {
            let np = wish.np.map(u64::from).unwrap_or_else(|| {
                u64::from(wish.ranks_per_host.unwrap_or(0)) * hosts.len() as u64
            });
            prop_assert!(np > bounds.iter().sum(), "refused though it fits");
            return Ok(());
        };
        if let Some(np) = wish.np {
            prop_assert_eq!(ranks.len(), np as usize);
        }
        let mut placed = vec![0u64; hosts.len()];
        for &host in &ranks {
            placed[host as usize] += 1;
        }
        for (placed, bound) in placed.iter().zip(&bounds) {
            prop_assert!(placed <= bound, "{placed} ranks, at most {bound}");
        }
        let fits = placed.iter().zip(&hosts).all(|(&placed, host)| placed <= host.slots.into());
        if wish.map_by == MapBy::Slot && fits {
            prop_assert!(ranks.is_sorted());
        }
        if wish.map_by == MapBy::Host && fits {
            let full = |host: usize| placed[host] == bounds[host].min(hosts[host].slots.into());
            let open: Vec<u64> =
                (0..hosts.len()).filter(|&host| !full(host)).map(|host| placed[host]).collect();
            let most = open.iter().max().copied().unwrap_or(0);
            let least = open.iter().min().copied().unwrap_or(0);
            prop_assert!(most - least <= 1, "{placed:?}");
        }
        prop_assert_eq!(place(&hosts, &wish, &from("")).unwrap(), ranks);
    }
}
