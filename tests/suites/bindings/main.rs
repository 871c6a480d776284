//! The Fortran modules, and the examples in C and in Fortran, as their reader has them: installed,
//! compiled by the lines at their top, and run by any number of ranks, alone, here and on several
//! hosts. Each prints what a program that shares nothing with it prints.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod alone;
mod examples;
mod here;
mod hosts;
mod module;
mod mpi;
mod oracles;
