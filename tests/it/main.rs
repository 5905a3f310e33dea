//! Tests of the whole project in one binary, a module for each theme.

mod broker;
mod cutter;
mod floors;
mod interop;
mod process;
mod program;
mod tck;
mod tidy;
