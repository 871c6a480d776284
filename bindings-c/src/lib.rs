//! libpx, the C library of pxrun.
//!
//! A program that `pxrun --contract px` starts takes its chunks by pointer and gives its output to
//! them, which is committed once and in order; its ranks send messages to each other; and any
//! program runs a scatter and gather of its own. `include/px.h` is the manual, made from the
//! comments here.
//!
//! | file | what |
//! |---|---|
//! | [`status`] | what a call answers, and the text of the last failure |
//! | [`boundary`] | panics, forked children, pointers: what C may do wrong ends here |
//! | [`tokens`] | handles that can be checked |

pub mod boundary;
pub mod status;
pub mod tokens;
