//! A device as JavaScript drives it: a replica whose time, random bytes and frames are arguments.
//!
//! This is no client: it keeps nothing, and it can do with a cart what a smoke test needs. It shows that the machine of
//! the native client runs unchanged where there are no clocks, no sockets and no randomness to reach for.

mod device;

pub use device::{Device, Effect};
