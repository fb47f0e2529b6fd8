//! Every bound of the core in one place, each with its reason.
//!
//! Whatever a peer can make grow has a bound here. Bounds are generous against honest use and small against memory.

use std::time::Duration;

/// Longest actor id accepted from a peer. Ours are 16 bytes; other Automerge writers use up to 32.
pub const ACTOR_BYTES_MAX: usize = 64;

/// Longest text of an application's id (SKU, course, student, ...), so that keys stay short in every change.
pub const TEXT_ID_BYTES_MAX: usize = 128;

/// Longest root key that a fold looks at. Longer ones are inert and reported.
pub const KEY_BYTES_MAX: usize = 1024;

/// Largest value under one key that a fold parses. Our largest fact, a checkout of a full cart, stays far below.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;

/// Largest single change, inflated. A deflated change of half a megabyte can otherwise claim gigabytes.
pub const CHANGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most dependencies named by one change. Honest changes name one or two.
pub const CHANGE_DEPS_MAX: usize = 1024;

/// An edit of a document with more heads than this first ties them together, so that honest changes stay far below
/// [`CHANGE_DEPS_MAX`] whatever peers and imports do.
pub const HEADS_TIED_MIN: usize = 256;

/// Most operations in one change: bounds the work and the memory that one small deflated change can cause.
pub const CHANGE_OPS_MAX: usize = 100_000;

/// Furthest that a change's time lies from 1970, in its author's unit: Automerge stores differences between times.
pub const CHANGE_TIME_MAX: u64 = 1 << 61;

/// Largest operation counter of a document. Automerge keeps counters in 32 bits.
pub const OP_COUNTER_MAX: u64 = 1 << 31;

/// How many operation numbers one change may skip past those it builds on. Only edits of an earlier state skip any.
pub const OP_COUNTER_JUMP_MAX: u64 = 1 << 16;

/// How many operation numbers all changes of a document may skip together. When a packed document is loaded, Automerge
/// makes room for each: some 200 bytes.
pub const OP_COUNTER_SKIPPED_MAX: u64 = 1 << 18;

/// Largest packed document accepted by `load`.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest inflated size of one packed document: all its deflated columns together.
pub const DOCUMENT_INFLATED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Most rows that one column of a packed document may claim: a run of a few bytes can otherwise claim 2^62.
pub const DOCUMENT_ROWS_MAX: u64 = 1 << 22;

/// Rows that one column of a packed document may claim however short it is: a change may fill a list with a hundred
/// thousand equal values in as many bytes as one.
pub const DOCUMENT_ROWS_FREE: u64 = 1 << 18;

/// Rows beyond [`DOCUMENT_ROWS_FREE`] that a column may claim for each byte of the packed document, so that what it costs to
/// read grows with what it costs to send. People's histories have a few.
pub const DOCUMENT_ROWS_PER_BYTE_MAX: u64 = 256;

/// Longest that the changes of one packed document may be together, which the packed document writes down once: a long
/// key is repeated in each change that names it.
pub const DOCUMENT_UNPACKED_BYTES_MAX: usize = 1 << 30;

/// Of these, what the shortest packed document may unpack to.
pub const DOCUMENT_UNPACKED_FREE: usize = 1 << 26;

/// And what it may unpack to beyond for each of its bytes. People's histories are a hundred times as long as packed.
pub const DOCUMENT_UNPACKED_PER_BYTE_MAX: usize = 1 << 10;

/// Most operations of one document, in all its changes: as many as a packed document may have. Otherwise changes of a hundred
/// bytes, each of a hundred thousand operations, would exhaust whoever opens the document.
pub const DOCUMENT_OPS_MAX: u64 = DOCUMENT_ROWS_MAX;

/// Most heads of a document accepted from a peer. Each is one device's unmerged work, or one row of an import.
pub const HEADS_MAX: usize = 1 << 14;

/// Most changes of one document: a million is a cart edited every minute for two years. Graphs count in 32 bits.
pub const DOCUMENT_CHANGES_MAX: usize = 1 << 20;

/// Most changes waiting for a dependency, per document. Past it the oldest is dropped; sync asks for it again.
pub const HELD_CHANGES_MAX: usize = 4096;

/// Most bytes of changes waiting for a dependency, per document.
pub const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest that a relay holds back a change whose dependency does not come. Whoever has it offers it again.
pub const HELD_TIME_MAX: Duration = Duration::from_mins(10);

/// Edits whose touched keys a document remembers, so that views refresh by what changed instead of from scratch.
pub const JOURNAL_ENTRIES_MAX: usize = 1024;

/// Largest quantity of one operation. Sums stay far from overflow: 2^63 / 10^6 operations.
pub const QUANTITY_MAX: u32 = 1_000_000;

/// Largest amount of money: what JSON numbers hold exactly in every language, 2^53 - 1 minor units.
pub const MONEY_MINOR_MAX: i64 = (1 << 53) - 1;

/// Longest text of a cart's line, escaped: leaves room in a key for the longest dot.
pub const LINE_BYTES_MAX: usize = 512;

/// Most dots that a typed quantity remembers having replaced. A line rarely has ten; past this the oldest are forgotten,
/// and an order placed meanwhile that held one of those is not deducted from the quantity.
pub const REPLACED_DOTS_MAX: usize = 64;

/// Most dots that a typed quantity inherits from those it replaced, and most that one dot can stand for.
pub const INHERITED_DOTS_MAX: usize = 8;

/// Longest note, and longest reason of a refusal.
pub const NOTE_BYTES_MAX: usize = 4096;

/// Verified signatures remembered by a `authority::SignatureCache` before it starts afresh.
pub const SIGNATURES_CACHED_MAX: usize = 1 << 20;

/// Inert facts that one fold lists by name; more are counted. Enough for a person to see what is going on.
pub const INERT_LISTED_MAX: usize = 256;

/// Largest frame: a packed document in one sync message, and its envelope.
pub const FRAME_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + 1024 * 1024;

/// Most fields of one map in a frame. The largest frame has ten; later versions may add some.
pub const FRAME_FIELDS_MAX: usize = 24;

/// Deepest nesting inside a frame. Frames nest four deep; applications' data travels as bytes and does not count.
pub const CBOR_DEPTH_MAX: usize = 16;

/// Longest type of a frame, protocol version or code.
pub const FRAME_TYPE_BYTES_MAX: usize = 64;

/// Longest peer, session, storage or device id. automerge-repo's are 36 and shorter.
pub const NAME_BYTES_MAX: usize = 256;

/// Longest explanation in a frame: a paragraph for a person.
pub const REASON_BYTES_MAX: usize = 4 * 1024;

/// Longest token in a frame: what fits into an HTTP header.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Largest description of itself that a peer sends when it connects.
pub const METADATA_BYTES_MAX: usize = 4 * 1024;

/// Most protocol versions that a peer offers. There has been one so far.
pub const PROTOCOL_VERSIONS_MAX: usize = 16;

/// Most capabilities that a peer announces. This version knows six.
pub const CAPABILITIES_MAX: usize = 64;

/// Most storage ids in one frame about remote stores.
pub const FRAME_STORAGES_MAX: usize = 1024;

/// Most documents in one frame: hundreds are opened at once, and more go into a second frame.
pub const FRAME_DOCUMENTS_MAX: usize = 1024;

/// Largest message to whoever is here now: a cursor or a selection, not a file.
pub const EPHEMERAL_BYTES_MAX: usize = 256 * 1024;

/// Largest application data in one presence frame: a name, an avatar's address, a position.
pub const PRESENCE_BYTES_MAX: usize = 4 * 1024;

/// How often one fact is put back in a way that all healers share, before each does so in its own name.
pub const HEAL_ATTEMPTS_MAX: u32 = 64;

/// Most bytes of changes in one sync message. The next batch waits for the answer, so that a slow peer is not buried.
pub const SYNC_BATCH_BYTES: usize = 1024 * 1024;

/// Most changes in one sync message.
pub const SYNC_BATCH_CHANGES: usize = 4096;

/// Rounds of an exchange in which neither side's heads move, before it is broken off. Honest ones need three.
pub const SYNC_IDLE_ROUNDS_MAX: u8 = 16;

/// Most changes that one message asks for.
pub const SYNC_NEED_MAX: usize = 4096;

/// Most summaries of holdings in one message. Everyone sends one.
pub const SYNC_HAVES_MAX: usize = 8;

/// Most bytes that the changes of one sync message inflate to, together. Each alone is bounded already.
pub const SYNC_INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most changes that a first message summarises in a bloom filter. More are summarised when the peer is found to need it.
pub const SYNC_OPENING_BLOOM_MAX: usize = 1024;

/// Most changes remembered as held by both sides, when the peer's heads are not known.
pub const SYNC_SHARED_MAX: usize = 64;

/// Most bits per entry of a bloom filter accepted from a peer. Everyone uses ten.
pub const BLOOM_BITS_PER_ENTRY_MAX: u64 = 64;

/// Most probes per question of a bloom filter accepted from a peer. Everyone uses seven.
pub const BLOOM_PROBES_MAX: u64 = 64;

/// Most refused changes that a document remembers, so as not to ask for them again.
pub const REFUSED_REMEMBERED_MAX: usize = 1024;

/// Longest value of one profile field, as JSON: a paragraph, an address, a small set of preferences.
pub const FIELD_BYTES_MAX: usize = 16 * 1024;

/// Lessons that one imported row may name. Courses have hundreds.
pub const IMPORT_LESSONS_MAX: usize = 4096;

/// Bad rows that one import lists; more are counted. Enough to see what is wrong with a table.
pub const BAD_ROWS_LISTED_MAX: usize = 1000;

/// Largest command of the outbox: what a form holds, not a file.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// Most commands carried out at once.
pub const COMMANDS_RUNNING_MAX: usize = 4;

/// Most sessions of which a replica remembers the highest count, to take nothing twice.
pub const SESSIONS_COUNTED_MAX: usize = 1024;

/// Most places where others are known to be. Past it newcomers are not shown.
pub const PRESENCES_MAX: usize = 1024;

/// Most exchanges of one connection that await an answer at once. Each has at most one batch under way, so this also
/// bounds the bytes.
pub const EXCHANGES_UNANSWERED_MAX: usize = 16;

/// Most stores elsewhere with which a document remembers what it shares.
pub const SHARED_STORAGES_MAX: usize = 16;

/// Changes appended to a stored document before it is written whole again.
pub const APPENDED_CHANGES_MAX: usize = 512;

/// Most bytes of one peer's messages that wait for documents to be loaded.
pub const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most documents that a replica loads at once without being asked to by its application.
pub const LOADS_MAX: usize = 16;

/// How often one connection may break a rule before it is closed.
pub const STRIKES_MAX: u8 = 3;
