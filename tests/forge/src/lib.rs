//! Forgery: chunks and sync messages that no honest writer writes, spelled byte by byte.
//!
//! Nothing here goes through the code under test: an encoder that refuses to write nonsense could not write these.

pub mod chunk;
pub mod message;
