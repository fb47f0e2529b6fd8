//! Reading frames.

use std::time::Duration;

use super::cbor::Reader;
use super::fields::{self, Fields, bounded_text, list};
use super::{
    Capabilities, DecodeError, Denial, DenialCode, DocumentHeads, Ephemeral, Frame, GoingAway,
    PROTOCOL_VERSION, PeerMetadata, Presence, Route, StorageHeads,
};
use crate::id::{ChangeHash, InvalidId};
use crate::limits::{
    CAPABILITIES_MAX, EPHEMERAL_BYTES_MAX, FRAME_BYTES_MAX, FRAME_DOCUMENTS_MAX, FRAME_STORAGES_MAX,
    FRAME_TYPE_BYTES_MAX, HEADS_MAX, METADATA_BYTES_MAX, PRESENCE_BYTES_MAX, PROTOCOL_VERSIONS_MAX,
    REASON_BYTES_MAX, TOKEN_BYTES_MAX,
};
use crate::time::Timestamp;

/// The frames in `bytes`, which follow one another without separator, unread. Ends after the first error.
pub fn split_frames(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], DecodeError>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        if reader.remaining() == 0 {
            return None;
        }
        let frame = reader.raw();
        if frame.is_err() {
            reader = Reader::new(&[]);
        }
        Some(frame.map_err(DecodeError::from))
    })
}

impl<'a> Frame<'a> {
    /// Reads one frame. It must fill `bytes` exactly.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(DecodeError::TooLarge { bytes: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        let fields = Fields::read(&mut reader)?;
        reader.finish()?;
        match fields.text("type", FRAME_TYPE_BYTES_MAX)? {
            "sync" => {
                Ok(Self::Sync { route: route(&fields)?, document: fields.document()?, data: data(&fields)? })
            }
            "request" => Ok(Self::Request {
                route: route(&fields)?,
                document: fields.document()?,
                data: data(&fields)?,
            }),
            "ephemeral" => ephemeral(&fields),
            "doc-unavailable" => {
                Ok(Self::Unavailable { route: route(&fields)?, document: fields.document()? })
            }
            "join" => join(&fields),
            "peer" => peer(&fields),
            "leave" => Ok(Self::Leave { sender: fields.required("senderId", fields::peer)? }),
            "error" => error(&fields),
            "remote-subscription-change" => remote_subscription(&fields),
            "remote-heads-changed" => remote_heads(&fields),
            "pannier-durable" => Ok(Self::Durable { route: route(&fields)?, documents: documents(&fields)? }),
            "pannier-denied" => Ok(Self::Denied { route: route(&fields)?, denial: denial(&fields)? }),
            "pannier-open" => Ok(Self::Open { route: route(&fields)?, documents: documents(&fields)? }),
            "pannier-presence" => Ok(Self::Presence { route: route(&fields)?, presence: presence(&fields)? }),
            "pannier-going-away" => {
                Ok(Self::GoingAway { route: route(&fields)?, going: going_away(&fields)? })
            }
            "pannier-ping" => Ok(Self::Ping { route: route(&fields)?, count: fields.integer("count")? }),
            "pannier-pong" => Ok(Self::Pong { route: route(&fields)?, count: fields.integer("count")? }),
            "pannier-permitted" => Ok(Self::Permitted {
                route: route(&fields)?,
                expires_after: fields.required("expiresAfter", milliseconds)?,
            }),
            "pannier-renew" => {
                Ok(Self::Renew { route: route(&fields)?, token: fields.text("token", TOKEN_BYTES_MAX)? })
            }
            kind => Ok(Self::Unknown { kind }),
        }
    }
}

fn route<'a>(fields: &Fields<'a>) -> Result<Route<'a>, DecodeError> {
    Ok(Route {
        sender: fields.required("senderId", fields::peer)?,
        target: fields.required("targetId", fields::peer)?,
    })
}

/// A sync message; an empty one is no message.
fn data<'a>(fields: &Fields<'a>) -> Result<&'a [u8], DecodeError> {
    match fields.bytes("data", FRAME_BYTES_MAX)? {
        [] => Err(DecodeError::NoData),
        data => Ok(data),
    }
}

fn join<'a>(fields: &Fields<'a>) -> Result<Frame<'a>, DecodeError> {
    let versions = fields.optional("supportedProtocolVersions", |reader| {
        list(reader, "protocol versions", PROTOCOL_VERSIONS_MAX, |reader| Ok(reader.text()?))
    })?;
    Ok(Frame::Join {
        sender: fields.required("senderId", fields::peer)?,
        metadata: metadata(fields)?,
        // Peers older than the field speak the first version.
        versions: versions.unwrap_or_else(|| vec![PROTOCOL_VERSION]),
    })
}

fn peer<'a>(fields: &Fields<'a>) -> Result<Frame<'a>, DecodeError> {
    let version = fields.text("selectedProtocolVersion", FRAME_TYPE_BYTES_MAX)?;
    Ok(Frame::Peer { route: route(fields)?, metadata: metadata(fields)?, version })
}

fn metadata<'a>(fields: &Fields<'a>) -> Result<PeerMetadata<'a>, DecodeError> {
    let metadata = fields.optional("peerMetadata", |reader| {
        let bytes = reader.remaining();
        if bytes > METADATA_BYTES_MAX {
            return Err(DecodeError::TooLong { field: "peerMetadata", bytes, bytes_max: METADATA_BYTES_MAX });
        }
        let fields = Fields::read(reader)?;
        Ok(PeerMetadata {
            storage: fields.optional("storageId", fields::storage)?,
            ephemeral: fields.optional("isEphemeral", |reader| Ok(reader.boolean()?))?.unwrap_or(false),
            capabilities: fields.optional("pannier", capabilities)?.unwrap_or_default(),
        })
    })?;
    Ok(metadata.unwrap_or_default())
}

fn capabilities(reader: &mut Reader<'_>) -> Result<Capabilities, DecodeError> {
    let fields = Fields::read(reader)?;
    let mut capabilities = Capabilities::NONE;
    fields.optional("capabilities", |reader| {
        list(reader, "capabilities", CAPABILITIES_MAX, |reader| {
            capabilities.add_announced(reader.text()?);
            Ok(())
        })
    })?;
    Ok(capabilities)
}

fn error<'a>(fields: &Fields<'a>) -> Result<Frame<'a>, DecodeError> {
    Ok(Frame::Error {
        sender: fields.optional("senderId", fields::peer)?,
        target: fields.optional("targetId", fields::peer)?,
        message: fields.text("message", REASON_BYTES_MAX)?,
    })
}

fn ephemeral<'a>(fields: &Fields<'a>) -> Result<Frame<'a>, DecodeError> {
    Ok(Frame::Ephemeral(Ephemeral {
        route: route(fields)?,
        document: fields.document()?,
        session: fields.required("sessionId", fields::session)?,
        count: fields.integer("count")?,
        data: fields.bytes("data", EPHEMERAL_BYTES_MAX)?,
    }))
}

fn remote_subscription<'a>(fields: &Fields<'a>) -> Result<Frame<'a>, DecodeError> {
    let storages = |field| {
        let storages = fields
            .optional(field, |reader| list(reader, "storage ids", FRAME_STORAGES_MAX, fields::storage))?;
        Ok::<_, DecodeError>(storages.unwrap_or_default())
    };
    Ok(Frame::RemoteSubscription {
        route: route(fields)?,
        add: storages("add")?,
        remove: storages("remove")?,
    })
}

fn remote_heads<'a>(fields: &Fields<'a>) -> Result<Frame<'a>, DecodeError> {
    let heads = fields.required("newHeads", |reader| {
        let mut items = reader.map()?;
        let mut heads = Vec::new();
        while reader.next(&mut items) {
            if heads.len() == FRAME_STORAGES_MAX {
                return Err(DecodeError::TooMany { what: "storage ids", max: FRAME_STORAGES_MAX });
            }
            let storage = fields::storage(reader)?;
            let fields = Fields::read(reader)?;
            heads.push(StorageHeads {
                storage,
                heads: fields.required("heads", |reader| list(reader, "heads", HEADS_MAX, head_text))?,
                told: Timestamp::from_millis(fields.integer("timestamp")?),
            });
        }
        Ok(heads)
    })?;
    Ok(Frame::RemoteHeads { route: route(fields)?, document: fields.document()?, heads })
}

/// A head in automerge-repo's own frames: base58 text with a checksum.
fn head_text(reader: &mut Reader<'_>) -> Result<ChangeHash, DecodeError> {
    let text = reader.text()?;
    let mut bytes = [0; 32 + 4];
    if bs58::decode(text).with_check(None).onto(&mut bytes) != Ok(32) {
        let why = "is not 32 bytes in base58 with a valid checksum";
        return Err(InvalidId::new("head", text, why).into());
    }
    let hash = *bytes.first_chunk().expect("the buffer is longer");
    Ok(ChangeHash::from_bytes(hash))
}

fn documents(fields: &Fields<'_>) -> Result<Vec<DocumentHeads>, DecodeError> {
    fields.required("documents", |reader| {
        list(reader, "documents", FRAME_DOCUMENTS_MAX, |reader| {
            let fields = Fields::read(reader)?;
            let document = fields.document()?;
            let heads = fields.required("heads", |reader| list(reader, "heads", HEADS_MAX, fields::head))?;
            Ok(DocumentHeads { document, heads })
        })
    })
}

fn denial<'a>(fields: &Fields<'a>) -> Result<Denial<'a>, DecodeError> {
    Ok(Denial {
        document: fields.optional("documentId", fields::document)?,
        code: DenialCode::from_wire(fields.text("code", FRAME_TYPE_BYTES_MAX)?),
        reason: fields.text("reason", REASON_BYTES_MAX)?,
        retry_after: fields.optional("retryAfter", milliseconds)?,
    })
}

fn presence<'a>(fields: &Fields<'a>) -> Result<Presence<'a>, DecodeError> {
    Ok(Presence {
        session: fields.required("sessionId", fields::session)?,
        device: fields.required("deviceId", fields::device)?,
        count: fields.integer("count")?,
        document: fields.optional("documentId", fields::document)?,
        idle: fields.required("idle", milliseconds)?,
        expires_after: fields.required("expiresAfter", milliseconds)?,
        data: fields.bytes("data", PRESENCE_BYTES_MAX)?,
    })
}

fn going_away<'a>(fields: &Fields<'a>) -> Result<GoingAway<'a>, DecodeError> {
    let (min_ms, max_ms) = fields.required("reconnectAfter", |reader| {
        let range = list(reader, "ends of a range", 2, |reader| Ok(reader.integer()?))?;
        match range[..] {
            [min, max] if min <= max => Ok((min, max)),
            [min, max] => Err(DecodeError::EmptyRange { min_ms: min, max_ms: max }),
            _ => Err(DecodeError::Missing { field: "reconnectAfter" }),
        }
    })?;
    Ok(GoingAway {
        reason: bounded_reason(fields)?,
        reconnect_after_min: Duration::from_millis(min_ms),
        reconnect_after_max: Duration::from_millis(max_ms),
    })
}

fn bounded_reason<'a>(fields: &Fields<'a>) -> Result<&'a str, DecodeError> {
    fields.required("reason", |reader| bounded_text(reader, "reason", REASON_BYTES_MAX))
}

fn milliseconds(reader: &mut Reader<'_>) -> Result<Duration, DecodeError> {
    Ok(Duration::from_millis(reader.integer()?))
}
