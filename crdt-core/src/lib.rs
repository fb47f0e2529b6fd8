//! Carts, enrollments and what surrounds them, as documents that live on every device, change offline, and merge.
//!
//! Everything here is pure: bytes, time and randomness come in as arguments, and nothing touches a socket, a file, a
//! clock or an async runtime. The same code runs in the relay, in an app, in a browser and in the simulator.
//!
//! * [`allotment`] is seats and stock that are never oversold, even offline.
//! * [`cart`] is a shopping cart that several devices fill at once.
//! * [`document`] is one replica of one document, and the only home of the Automerge library.
//! * [`graph`] is the same history as those see it who never open it: hashes, dependencies and opaque bytes.
//! * [`sync`] is one document with one peer until both hold the same, from either.
//! * [`kind`] is what a document says it is.
//! * [`wire`] is what peers say to each other.
//! * [`import`] brings the rows of older tables in, the same wherever it is done.
//! * [`validate`] tells what is odd in a document, and fixes what can be fixed without guessing.
//! * [`replica`] is a device: its documents, its peers, and what is on its way between them.
//! * [`authority`] is how a decision proves who took it.
//! * [`enrollment`] is who may enter which course, and why; [`progress`] is how far they have come; [`profile`] is who they
//!   are.
//! * [`inert`] is what a fold ignores, and why.
//! * [`id`], [`time`], [`limits`], [`canonical`], [`money`] are the words that everything else is said in.

pub mod allotment;
pub mod authority;
pub mod canonical;
pub mod cart;
pub mod document;
pub mod enrollment;
pub mod graph;
mod heal;
pub mod id;
pub mod import;
pub mod inert;
pub mod kind;
mod leb128;
pub mod limits;
pub mod money;
pub mod profile;
pub mod progress;
pub mod replica;
pub mod sync;
pub mod time;
mod untold;
pub mod validate;
pub mod wire;
