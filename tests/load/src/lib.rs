//! Load for a relay, or for any other server of the automerge-repo protocol, and what it does to it.
//!
//! * [`server`] is what bears the load: a process that is started, watched, killed and started again, or a URL.
//! * [`device`] is one connection, and [`history`] what devices say, written before anything is measured.
//! * [`scenario`] is what devices do together, a file each, and [`figure`] what comes of it.
//!
//! Everything here runs on one thread, so that it can be given a core of its own, and its own time is reported: a generator
//! that is busy measures itself.

pub mod device;
pub mod figure;
pub mod history;
pub mod scenario;
pub mod server;
pub mod spread;
pub mod usage;
