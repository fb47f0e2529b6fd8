//! A relay that stores and forwards documents without opening them.
//!
//! * [`hub`] is the relay as one pure machine: rooms, sync, fan-out, quotas.
//! * [`access`] is who may do what: permits that connections carry, and the access that documents keep.
//! * [`auth`] turns the tokens of identity providers into permits.
//! * [`store`] is durable append, load and compaction: one trait, small backends, one conformance suite.
//! * [`compaction`] packs documents into snapshots, apart from everything else.
//! * [`audit`] looks whether what is stored is whole; [`transfer`] brings documents in and out, and [`archive`] keeps them as
//!   files.
//! * [`server`] is the driver: sockets, a clock and a storage thread around the hub; [`config`] is what it is told.
//! * [`id`] names tenants, subjects, connections and places in the store.

pub mod access;
pub mod archive;
pub mod audit;
pub mod auth;
pub mod compaction;
pub mod config;
pub mod hub;
pub mod id;
pub mod server;
pub mod store;
pub mod transfer;
