//! How large pipes are.
//!
//! Large ones mean few wake-ups, but a user's pipes together have a bound after which every new
//! one has two pages; so enlarged pipes take at most a quarter of it.

use std::os::fd::AsFd;

/// What a pipe holds unless asked otherwise, in bytes.
pub const DEFAULT: usize = 64 << 10;
/// What an unprivileged user may ask for.
const LARGEST: usize = 1 << 20;
/// Pages that one user's pipes may hold, where the kernel does not say.
const USUAL_PAGES: usize = 16384;

/// Finds the size for `count` enlarged pipes: a power of two from 64 KiB to 1 MiB.
pub fn affordable(count: usize) -> usize {
    let read = |name: &str| {
        let path = format!("/proc/sys/fs/{name}");
        std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<usize>().ok())
    };
    let pages = match read("pipe-user-pages-soft") {
        Some(0) | None => USUAL_PAGES,
        Some(pages) => pages.min(USUAL_PAGES),
    };
    let quarter = pages.saturating_mul(rustix::param::page_size()) / 4;
    let largest = LARGEST.min(read("pipe-max-size").unwrap_or(LARGEST));
    size_for(count, quarter, largest)
}

fn size_for(count: usize, budget: usize, largest: usize) -> usize {
    let mut size = largest;
    while size > DEFAULT && size.saturating_mul(count) > budget {
        size /= 2;
    }
    size.max(DEFAULT)
}

/// Enlarges a pipe if it can be, and returns how much it holds, as far as asking is worth it.
pub fn enlarge(pipe: impl AsFd, size: usize) -> usize {
    if size <= DEFAULT {
        return DEFAULT;
    }
    let enlarged = rustix::pipe::fcntl_setpipe_size(&pipe, size);
    enlarged.or_else(|_| rustix::pipe::fcntl_getpipe_size(&pipe)).unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enlarged_pipes_take_at_most_a_quarter_of_what_a_user_may_have() {
        let quarter = 16 << 20;
        assert_eq!(size_for(4, quarter, LARGEST), 1 << 20);
        assert_eq!(size_for(16, quarter, LARGEST), 1 << 20);
        assert_eq!(size_for(17, quarter, LARGEST), 512 << 10);
        assert_eq!(size_for(100_000, quarter, LARGEST), DEFAULT);
    }
}
