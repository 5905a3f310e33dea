//! Tests of the whole project in one binary, a module for each theme.

mod attacks;
mod broker;
mod conformance;
mod cutter;
mod floors;
mod interop;
mod process;
mod program;
mod tck;
mod tidy;
