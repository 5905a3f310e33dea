//! Whole-program test vocabulary.
