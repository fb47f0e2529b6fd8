//! Stories about a relay and the devices around it.

mod stage;

mod following;
mod packed;
mod refusing;
mod sharding;
mod storing;
