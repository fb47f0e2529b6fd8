//! Stories about a relay and the devices around it.

#[cfg_attr(not(test), expect(dead_code, reason = "a fuzzer needs less of it"))]
mod stage;

pub mod drill;
#[cfg(test)]
mod following;
#[cfg(test)]
mod packed;
#[cfg(test)]
mod putting;
#[cfg(test)]
mod refusing;
#[cfg(test)]
mod sharding;
#[cfg(test)]
mod storing;
