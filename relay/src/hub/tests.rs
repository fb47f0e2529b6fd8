//! Stories about a relay and the devices around it.

mod stage;

mod drill;
mod following;
mod packed;
mod refusing;
mod sharding;
mod storing;
