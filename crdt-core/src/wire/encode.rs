//! Writing frames.

use std::time::Duration;

use super::cbor::Writer;
use super::{
    Capability, Denial, DocumentHeads, Ephemeral, Frame, GoingAway, PeerMetadata, PeerRef, Presence, Route,
    StorageHeads, StorageRef,
};
use crate::id::DocumentId;

/// Room for everything in a frame but its data and its lists.
const ENVELOPE_BYTES: usize = 192;

impl Frame<'_> {
    /// The frame as bytes.
    ///
    /// # Panics
    /// If it is [`Frame::Unknown`], of which nothing was kept: such frames are ignored, never sent on.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Sync { route, document, data } => sync("sync", route, document, data),
            Self::Request { route, document, data } => sync("request", route, document, data),
            Self::Ephemeral(frame) => ephemeral(frame),
            Self::Unavailable { route, document } => {
                let mut writer = begin("doc-unavailable", 4, route);
                write_document(&mut writer, document);
                writer.into_bytes()
            }
            Self::Join { sender, metadata, versions } => {
                let mut writer = Writer::with_capacity(ENVELOPE_BYTES);
                writer.map(4);
                write_text(&mut writer, "type", "join");
                write_text(&mut writer, "senderId", sender.as_str());
                write_metadata(&mut writer, metadata);
                write_list(&mut writer, "supportedProtocolVersions", versions, |writer, version| {
                    writer.text(version);
                });
                writer.into_bytes()
            }
            Self::Peer { route, metadata, version } => {
                let mut writer = begin("peer", 5, route);
                write_metadata(&mut writer, metadata);
                write_text(&mut writer, "selectedProtocolVersion", version);
                writer.into_bytes()
            }
            Self::Leave { sender } => {
                let mut writer = Writer::with_capacity(ENVELOPE_BYTES);
                writer.map(2);
                write_text(&mut writer, "type", "leave");
                write_text(&mut writer, "senderId", sender.as_str());
                writer.into_bytes()
            }
            Self::Error { sender, target, message } => {
                let mut writer = Writer::with_capacity(ENVELOPE_BYTES + message.len());
                writer.map(2 + usize::from(sender.is_some()) + usize::from(target.is_some()));
                write_text(&mut writer, "type", "error");
                write_optional_text(&mut writer, "senderId", sender.map(PeerRef::as_str));
                write_optional_text(&mut writer, "targetId", target.map(PeerRef::as_str));
                write_text(&mut writer, "message", message);
                writer.into_bytes()
            }
            Self::RemoteSubscription { route, add, remove } => {
                let mut writer = begin("remote-subscription-change", 5, route);
                write_storages(&mut writer, "add", add);
                write_storages(&mut writer, "remove", remove);
                writer.into_bytes()
            }
            Self::RemoteHeads { route, document, heads } => remote_heads(route, document, heads),
            Self::Durable { route, documents } => documents_frame("pannier-durable", route, documents),
            Self::Open { route, documents } => documents_frame("pannier-open", route, documents),
            Self::Denied { route, denial } => denied(route, denial),
            Self::Presence { route, presence } => presence_frame(route, presence),
            Self::GoingAway { route, going } => going_away(route, going),
            Self::Ping { route, count } => counted("pannier-ping", route, *count),
            Self::Pong { route, count } => counted("pannier-pong", route, *count),
            Self::Permitted { route, expires_after } => {
                let mut writer = begin("pannier-permitted", 4, route);
                write_milliseconds(&mut writer, "expiresAfter", *expires_after);
                writer.into_bytes()
            }
            Self::Renew { route, token } => {
                let mut writer = begin_large("pannier-renew", 4, route, token.len());
                write_text(&mut writer, "token", token);
                writer.into_bytes()
            }
            Self::Unknown { kind } => panic!("a frame of the unknown type {kind:?} is never written"),
        }
    }
}

fn begin(kind: &str, fields: usize, route: &Route<'_>) -> Writer {
    begin_large(kind, fields, route, 0)
}

fn begin_large(kind: &str, fields: usize, route: &Route<'_>, bytes: usize) -> Writer {
    let mut writer = Writer::with_capacity(ENVELOPE_BYTES + bytes);
    writer.map(fields);
    write_text(&mut writer, "type", kind);
    write_text(&mut writer, "senderId", route.sender.as_str());
    write_text(&mut writer, "targetId", route.target.as_str());
    writer
}

fn sync(kind: &str, route: &Route<'_>, document: &DocumentId, data: &[u8]) -> Vec<u8> {
    let mut writer = begin_large(kind, 5, route, data.len());
    write_document(&mut writer, document);
    write_bytes(&mut writer, "data", data);
    writer.into_bytes()
}

fn ephemeral(frame: &Ephemeral<'_>) -> Vec<u8> {
    let mut writer = begin_large("ephemeral", 7, &frame.route, frame.data.len());
    write_document(&mut writer, &frame.document);
    write_text(&mut writer, "sessionId", frame.session.as_str());
    write_integer(&mut writer, "count", frame.count);
    write_bytes(&mut writer, "data", frame.data);
    writer.into_bytes()
}

fn remote_heads(route: &Route<'_>, document: &DocumentId, heads: &[StorageHeads<'_>]) -> Vec<u8> {
    let mut writer = begin("remote-heads-changed", 5, route);
    write_document(&mut writer, document);
    writer.text("newHeads");
    writer.map(heads.len());
    for entry in heads {
        writer.text(entry.storage.as_str());
        writer.map(2);
        write_list(&mut writer, "heads", &entry.heads, |writer, head| {
            writer.text(&bs58::encode(head.as_bytes()).with_check().into_string());
        });
        write_integer(&mut writer, "timestamp", entry.told.as_millis());
    }
    writer.into_bytes()
}

fn documents_frame(kind: &str, route: &Route<'_>, documents: &[DocumentHeads]) -> Vec<u8> {
    let heads: usize = documents.iter().map(|entry| entry.heads.len()).sum();
    let mut writer = begin_large(kind, 4, route, documents.len() * 40 + heads * 34);
    write_list(&mut writer, "documents", documents, |writer, entry| {
        writer.map(2);
        write_bytes(writer, "documentId", entry.document.as_bytes());
        write_list(writer, "heads", &entry.heads, |writer, head| writer.bytes(head.as_bytes()));
    });
    writer.into_bytes()
}

fn denied(route: &Route<'_>, denial: &Denial<'_>) -> Vec<u8> {
    let optional = usize::from(denial.document.is_some()) + usize::from(denial.retry_after.is_some());
    let mut writer = begin_large("pannier-denied", 5 + optional, route, denial.reason.len());
    write_optional_document(&mut writer, denial.document.as_ref());
    write_text(&mut writer, "code", denial.code.as_str());
    write_text(&mut writer, "reason", denial.reason);
    if let Some(after) = denial.retry_after {
        write_milliseconds(&mut writer, "retryAfter", after);
    }
    writer.into_bytes()
}

fn presence_frame(route: &Route<'_>, presence: &Presence<'_>) -> Vec<u8> {
    let optional = usize::from(presence.document.is_some());
    let mut writer = begin_large("pannier-presence", 9 + optional, route, presence.data.len());
    write_optional_document(&mut writer, presence.document.as_ref());
    write_text(&mut writer, "sessionId", presence.session.as_str());
    write_text(&mut writer, "deviceId", presence.device.as_str());
    write_integer(&mut writer, "count", presence.count);
    write_milliseconds(&mut writer, "idle", presence.idle);
    write_milliseconds(&mut writer, "expiresAfter", presence.expires_after);
    write_bytes(&mut writer, "data", presence.data);
    writer.into_bytes()
}

fn going_away(route: &Route<'_>, going: &GoingAway<'_>) -> Vec<u8> {
    let mut writer = begin_large("pannier-going-away", 5, route, going.reason.len());
    write_text(&mut writer, "reason", going.reason);
    writer.text("reconnectAfter");
    writer.array(2);
    writer.integer(whole_milliseconds(going.reconnect_after_min));
    writer.integer(whole_milliseconds(going.reconnect_after_max));
    writer.into_bytes()
}

fn counted(kind: &str, route: &Route<'_>, count: u64) -> Vec<u8> {
    let mut writer = begin(kind, 4, route);
    write_integer(&mut writer, "count", count);
    writer.into_bytes()
}

fn write_metadata(writer: &mut Writer, metadata: &PeerMetadata<'_>) {
    let capabilities = metadata.capabilities;
    writer.text("peerMetadata");
    writer.map(1 + usize::from(metadata.storage.is_some()) + usize::from(!capabilities.is_empty()));
    write_optional_text(writer, "storageId", metadata.storage.map(StorageRef::as_str));
    writer.text("isEphemeral");
    writer.boolean(metadata.ephemeral);
    if !capabilities.is_empty() {
        writer.text("pannier");
        writer.map(2);
        write_integer(writer, "version", 1);
        let names: Vec<&'static str> = capabilities.iter().map(Capability::as_str).collect();
        write_list(writer, "capabilities", &names, |writer, name| writer.text(name));
    }
}

/// Ids in our own frames are bytes: a third shorter than their text, and nothing to compute.
fn write_optional_document(writer: &mut Writer, document: Option<&DocumentId>) {
    if let Some(document) = document {
        write_bytes(writer, "documentId", document.as_bytes());
    }
}

/// Ids in automerge-repo's frames are text: its clients take nothing else.
fn write_document(writer: &mut Writer, document: &DocumentId) {
    write_text(writer, "documentId", document.spell().as_str());
}

fn write_storages(writer: &mut Writer, field: &str, storages: &[StorageRef<'_>]) {
    write_list(writer, field, storages, |writer, storage| writer.text(storage.as_str()));
}

fn write_list<T>(writer: &mut Writer, field: &str, items: &[T], write: impl Fn(&mut Writer, &T)) {
    writer.text(field);
    writer.array(items.len());
    for item in items {
        write(writer, item);
    }
}

fn write_optional_text(writer: &mut Writer, field: &str, text: Option<&str>) {
    if let Some(text) = text {
        write_text(writer, field, text);
    }
}

fn write_text(writer: &mut Writer, field: &str, text: &str) {
    writer.text(field);
    writer.text(text);
}

fn write_bytes(writer: &mut Writer, field: &str, bytes: &[u8]) {
    writer.text(field);
    writer.bytes(bytes);
}

fn write_integer(writer: &mut Writer, field: &str, value: u64) {
    writer.text(field);
    writer.integer(value);
}

fn write_milliseconds(writer: &mut Writer, field: &str, duration: Duration) {
    write_integer(writer, field, whole_milliseconds(duration));
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
