//! A seeded world that torments replicas and hubs, then heals and demands that nothing was lost.

pub mod agenda;
pub mod chance;
pub mod deed;
pub mod disk;
pub mod hostile;
pub mod network;
pub mod node;
pub mod oracle;
pub mod plan;
pub mod plant;
pub mod run;
pub mod stage;
pub mod trace;
pub mod world;
