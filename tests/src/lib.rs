//! What the cross-crate tests share.
//!
//! * [`process`] runs the relay's binary, [`client`] is a peer of it, [`sse`] one without web sockets, [`device`] a peer that
//!   holds a document, and [`http`] asks it; [`disk`] is a disk that can be full.
//! * [`source`] reads Rust files of this workspace with comments and literals blanked out.
//! * [`tidy`] holds the house rules that no compiler checks.

pub mod client;
pub mod device;
pub mod disk;
pub mod http;
pub mod process;
pub mod source;
pub mod sse;
pub mod tidy;

/// The examples of the README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
