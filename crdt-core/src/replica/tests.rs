//! Stories of devices, told in memory.

pub mod drill;
#[cfg(test)]
mod hostile;
#[cfg_attr(not(test), expect(dead_code, reason = "a fuzzer needs less of it"))]
mod relay;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod sundry;
#[cfg_attr(not(test), expect(dead_code, reason = "a fuzzer needs less of it"))]
mod world;
