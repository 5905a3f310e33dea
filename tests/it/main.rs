//! Tests of the whole project in one binary, a module for each theme.

mod floors;
mod tidy;
