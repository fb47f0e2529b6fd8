//! Stories of devices, told in memory.

mod drill;
mod hostile;
mod relay;
mod stories;
mod sundry;
mod world;
