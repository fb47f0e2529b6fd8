//! Samod clients of the relay's binary: as published, with a WebSocket that can follow a relay to where it serves next.

mod client;
mod socket;

pub use client::{Client, Facts, eventually};
