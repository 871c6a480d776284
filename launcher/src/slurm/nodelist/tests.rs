//! What Slurm's lists stand for, what is refused, and hostile text. The comparison with Slurm itself is
//! among the end-to-end tests.

use proptest::prelude::*;

use super::expand;

fn names(text: &str) -> String {
    expand("NODES", text).unwrap_or_else(|wrong| panic!("{text}: {wrong}")).join(" ")
}

fn wrong(text: &str) -> String {
    expand("NODES", text).unwrap_err().to_string()
}

#[test]
fn ranges_keep_their_zeros_their_order_and_their_duplicates() {
    assert_eq!(
        names("n[008-010,12]-ib,login[1-2]"),
        "n008-ib n009-ib n010-ib n12-ib login1 login2"
    );
    assert_eq!(names("n[2,1,1],n1"), "n2 n1 n1 n1");
    assert_eq!(names("[1-3]"), "1 2 3");
}

#[test]
fn several_brackets_turn_as_slurm_turns_them() {
    assert_eq!(names("r[1-2]n[01-02]"), "r1n01 r1n02 r2n01 r2n02");
    assert_eq!(
        names("a[1-2]b[1-2]c[1-2]"),
        "a1b1c1 a1b1c2 a2b1c1 a2b1c2 a1b2c1 a1b2c2 a2b2c1 a2b2c2"
    );
}

#[test]
fn every_wrong_list_is_named_with_its_column() {
    for (text, found) in [
        ("", "1: a host must come first, found nothing"),
        ("a,", "3: a host must come first, found nothing"),
        ("a,,b", "3: a host must come first, found nothing"),
        ("n[1-", "5: a range must have whole numbers of at most 15 digits, found nothing"),
        ("n[a-c]", "3: a range must have whole numbers of at most 15 digits, found `a`"),
        ("a,n[9-1]", "5: a range must not run backwards, found `9-1`"),
        ("n[1[2]]", "4: ranges must be parted by `,` and end with `]`, found `[`"),
        ("n1 n2", "3: a host must have a name of letters, digits, `.`, `-` and `_`, found ` `"),
        ("nü", "2: a host must have a name of letters, digits, `.`, `-` and `_`, found `ü`"),
    ] {
        assert_eq!(wrong(text), format!("NODES:1:{found}"), "{text}");
    }
}

#[test]
fn lists_have_bounds() {
    assert_eq!(expand("NODES", "n[0-1048575]").unwrap().len(), 1 << 20);
    assert_eq!(expand("NODES", "n[0-1023]x[0-1023]").unwrap().len(), 1 << 20);
    let most = "a list must stand for at most 1048576 nodes, found";
    assert_eq!(wrong("n[0-1048575],m"), format!("NODES:1:14: {most} 1048577"));
    assert_eq!(wrong("n[0-1048576]"), format!("NODES:1:1: {most} 1048577"));
    let endless = wrong("n[0-999999999][0-999999999][0-999999999]");
    assert_eq!(endless, format!("NODES:1:1: {most} 18446744073709551615"));
    assert!(wrong(&"a".repeat(254)).ends_with("at most 253 characters, found 254"));
    assert!(wrong(&"a,".repeat(1 << 19)).ends_with("found nothing"));
    assert!(wrong(&"a".repeat((1 << 20) + 1)).ends_with("(1 MiB), found 1048577"));
}

/// A range of at most 40 numbers, and what it stands for.
fn range() -> impl Strategy<Value = (String, Vec<String>)> {
    (0u32..2000, 0u32..40, 0usize..5).prop_map(|(first, more, width)| {
        let last = first + more;
        let text = match more {
            0 => format!("{first:0width$}"),
            _ => format!("{first:0width$}-{last:0width$}"),
        };
        (text, (first..=last).map(|number| format!("{number:0width$}")).collect())
    })
}

/// A name with at most one bracket, or with two.
fn name() -> impl Strategy<Value = (String, Vec<String>)> {
    let ranges = proptest::collection::vec(range(), 0..3);
    let bracket = ranges.prop_map(|ranges| {
        let (texts, numbers): (Vec<_>, Vec<_>) = ranges.into_iter().unzip();
        match texts.is_empty() {
            true => (String::new(), vec![String::new()]),
            false => (format!("[{}]", texts.join(",")), numbers.concat()),
        }
    });
    ("[a-z][a-z0-9._-]{0,6}", proptest::collection::vec(bracket, 0..3), "(-ib|[a-z]?)").prop_map(
        |(start, brackets, end)| {
            let mut text = start.clone();
            let mut names = vec![start];
            for (bracket, numbers) in brackets {
                text += &bracket;
                let each = |name: &String| -> Vec<String> {
                    numbers.iter().map(|number| format!("{name}{number}")).collect()
                };
                names = names.iter().flat_map(each).collect();
            }
            (text + &end, names.into_iter().map(|name| name + &end).collect())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_list_stands_for_the_names_of_its_parts_in_their_order(
        parts in proptest::collection::vec(name(), 1..5)
    ) {
        let (texts, names): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        prop_assert_eq!(expand("NODES", &texts.join(",")).unwrap(), names.concat());
    }

    #[test]
    fn whatever_the_text_a_fault_lies_inside_it(text in "[a-c0-9,ä \\[\\]-]{0,24}") {
        match expand("NODES", &text) {
            Ok(names) => prop_assert!(names.iter().all(|name| !name.is_empty())),
            Err(wrong) => {
                let columns = 1..=text.chars().count() + 1;
                prop_assert!(columns.contains(&(wrong.place.column as usize)));
            }
        }
    }
}
