//! Whatever the input, the rule and the sizes of the pieces shown: chunks cover the input in whole
//! records, and a stream is cut into whole records too.
#![no_main]

use std::num::NonZeroU64;

use libfuzzer_sys::fuzz_target;
use px_runtime::cut::{Cutter, Rule, Step};
use px_runtime::input::layout::Layout;
use px_runtime::input::stream::StreamCutter;
use px_runtime::job::ChunkSize;
use px_runtime::records::Records;

fuzz_target!(|data: &[u8]| {
    let [kind, size, shown, width, delimiter, input @ ..] = data else { return };
    let records =
        NonZeroU64::new(u64::from(*width)).map_or(Records::Delimited(*delimiter), Records::Fixed);
    let size = u64::from(*size) + 1;
    let shown = usize::from(*shown) + 1;
    file(input, records, kind % 4, size, shown);
    stream(input, records, kind % 3, size, shown);
});

fn ends_whole(records: Records, end: usize, input: &[u8]) -> bool {
    end == input.len()
        || match records {
            Records::Delimited(byte) => input[end - 1] == byte,
            Records::Fixed(width) => end as u64 % width == 0,
        }
}

fn file(input: &[u8], records: Records, kind: u8, size: u64, shown: usize) {
    let rule = match kind {
        0 => Rule::Size(size),
        1 => Rule::Even { chunks: size },
        _ => Rule::Records { base: size % 9, longer: size },
    };
    let mut layout = Layout::default();
    layout.push_file(0, 0, input.len() as u64);
    let mut cutter = Cutter::new(rule, records, 0..input.len() as u64, 0);
    if kind == 3 {
        cutter = cutter.counting_records();
    }
    let mut at = 0;
    loop {
        match cutter.step(&layout) {
            Step::Look { offset, want } => {
                assert!(want > 0);
                let from = usize::try_from(offset).unwrap();
                cutter.saw(&input[from..input.len().min(from + shown)]);
            }
            Step::Cut(chunk) => {
                assert_eq!(chunk.start, at);
                assert!(chunk.end > chunk.start);
                at = chunk.end;
                assert!(ends_whole(records, usize::try_from(at).unwrap(), input));
            }
            Step::End => break,
        }
    }
    assert_eq!(at, input.len() as u64);
}

fn stream(input: &[u8], records: Records, kind: u8, size: u64, shown: usize) {
    let size = match kind {
        0 => ChunkSize::Automatic,
        1 => ChunkSize::Bytes(size),
        _ => ChunkSize::Records(size),
    };
    let mut cutter = StreamCutter::new(records, size, 2);
    let mut at = 0;
    while at < input.len() {
        let take = cutter.take(&input[at..input.len().min(at + shown)]);
        assert!(take.bytes > 0);
        at += take.bytes;
        if take.ends {
            assert!(ends_whole(records, at, input));
            cutter.next_chunk();
        }
    }
}
