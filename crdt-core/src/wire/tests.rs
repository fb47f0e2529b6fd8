use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits;

const PROTOCOL: &str = include_str!("../../../PROTOCOL.md");
const STORAGE: &str = "3760df37-a4c6-4f66-9ecd-732039a9385d";

/// The first message of an exchange from a peer that has nothing.
const FIRST_SYNC_MESSAGE: [u8; 10] = [0x42, 0, 0, 1, 0, 0, 0, 2, 2, 0x84];

fn document() -> DocumentId {
    DocumentId::from_bytes(std::array::from_fn(|index| 0xa0 + u8::try_from(index).unwrap()))
}

fn head() -> ChangeHash {
    ChangeHash::from_bytes(std::array::from_fn(|index| u8::try_from(index).unwrap()))
}

fn phone() -> PeerRef<'static> {
    PeerRef::new("phone").unwrap()
}

fn relay() -> PeerRef<'static> {
    PeerRef::new("relay").unwrap()
}

fn storage() -> StorageRef<'static> {
    StorageRef::new(STORAGE).unwrap()
}

/// What each example of PROTOCOL.md says.
fn examples() -> BTreeMap<&'static str, Frame<'static>> {
    let to_relay = Route { sender: phone(), target: relay() };
    let to_phone = Route { sender: relay(), target: phone() };
    let (document, data) = (document(), &FIRST_SYNC_MESSAGE[..]);
    let stored = PeerMetadata { storage: Some(storage()), ..PeerMetadata::default() };
    let passing = PeerMetadata { ephemeral: true, ..PeerMetadata::default() };
    let ours = PeerMetadata { capabilities: Capabilities::all(), ..stored };
    let session = SessionRef::new("k3v9x2m1").unwrap();
    let ephemeral =
        |count, data| Frame::Ephemeral(Ephemeral { route: to_relay, document, session, count, data });
    let documents = vec![
        DocumentHeads { document, heads: vec![head()] },
        DocumentHeads { document: DocumentId::from_bytes([0x0d; 16]), heads: vec![] },
    ];
    let denial = Denial {
        document: Some(document),
        code: DenialCode::Rate,
        reason: "more than 100 changes a second",
        retry_after: Some(Duration::from_millis(1500)),
    };
    let presence = Presence {
        session,
        device: DeviceRef::new("pixel").unwrap(),
        count: 7,
        document: Some(document),
        idle: Duration::from_secs(3),
        expires_after: Duration::from_secs(30),
        data: b"\xa1\x61x\x01",
    };
    let going = GoingAway {
        reason: "restarting",
        reconnect_after_min: Duration::from_secs(1),
        reconnect_after_max: Duration::from_secs(20),
    };
    let told = Timestamp::from_millis(1_700_000_000_000);
    BTreeMap::from([
        ("join", Frame::Join { sender: phone(), metadata: stored, versions: vec!["1"] }),
        ("join-undefined", Frame::Join { sender: phone(), metadata: passing, versions: vec!["1"] }),
        ("join-pannier", Frame::Join { sender: phone(), metadata: ours, versions: vec!["1"] }),
        ("peer", Frame::Peer { route: to_phone, metadata: stored, version: "1" }),
        (
            "error",
            Frame::Error {
                sender: Some(relay()),
                target: Some(phone()),
                message: "unsupported protocol version",
            },
        ),
        ("request", Frame::Request { route: to_relay, document, data }),
        ("sync", Frame::Sync { route: to_relay, document, data }),
        ("sync-bytes", Frame::Sync { route: to_relay, document, data }),
        ("doc-unavailable", Frame::Unavailable { route: to_phone, document }),
        ("ephemeral", ephemeral(3, b"\xa1\x61x\x01")),
        ("ephemeral-float", ephemeral(1 << 32, b"\xf6")),
        (
            "remote-subscription-change",
            Frame::RemoteSubscription { route: to_relay, add: vec![storage()], remove: vec![] },
        ),
        (
            "remote-heads-changed",
            Frame::RemoteHeads {
                route: to_phone,
                document,
                heads: vec![StorageHeads { storage: storage(), heads: vec![head()], told }],
            },
        ),
        ("pannier-durable", Frame::Durable { route: to_phone, documents: documents.clone() }),
        ("pannier-open", Frame::Open { route: to_relay, documents }),
        ("pannier-denied", Frame::Denied { route: to_phone, denial }),
        ("pannier-presence", Frame::Presence { route: to_relay, presence }),
        ("pannier-going-away", Frame::GoingAway { route: to_phone, going }),
        ("pannier-ping", Frame::Ping { route: to_relay, count: 41 }),
        ("pannier-pong", Frame::Pong { route: to_phone, count: 41 }),
        ("pannier-permitted", Frame::Permitted { route: to_phone, expires_after: Duration::from_mins(15) }),
        ("pannier-renew", Frame::Renew { route: to_relay, token: "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmVk" }),
    ])
}

/// The hexadecimal examples of PROTOCOL.md by name.
fn written_examples() -> BTreeMap<&'static str, Vec<u8>> {
    let blocks = PROTOCOL.split("```hex ").skip(1).map(|block| {
        let (block, _) = block.split_once("```").expect("every block ends");
        let (name, digits) = block.split_once('\n').expect("the name stands on a line of its own");
        let digits: Vec<_> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let bytes = digits.chunks(2).map(|pair| u8::try_from((pair[0] << 4) | pair[1]).unwrap()).collect();
        (name, bytes)
    });
    blocks.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn every_example_of_the_protocol_says_what_it_is_said_to() {
    let (expected, written) = (examples(), written_examples());
    for (name, frame) in &expected {
        let bytes = written.get(name).unwrap_or_else(|| {
            panic!("PROTOCOL.md has no example {name}; as written by us it is {}", hex(&frame.encode()))
        });
        assert_eq!(Frame::decode(bytes).as_ref(), Ok(frame), "{name}");
        assert_eq!(Frame::decode(&frame.encode()).as_ref(), Ok(frame), "{name} as written by us");
        if name.contains("pannier") {
            assert_eq!(hex(&frame.encode()), hex(bytes), "{name}");
        }
    }
    assert_eq!(written.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
}

#[test]
fn every_bound_of_the_protocol_is_the_one_in_force() {
    let bounds = [
        ("FRAME_BYTES_MAX", limits::FRAME_BYTES_MAX),
        ("FRAME_FIELDS_MAX", limits::FRAME_FIELDS_MAX),
        ("CBOR_DEPTH_MAX", limits::CBOR_DEPTH_MAX),
        ("FRAME_TYPE_BYTES_MAX", limits::FRAME_TYPE_BYTES_MAX),
        ("NAME_BYTES_MAX", limits::NAME_BYTES_MAX),
        ("REASON_BYTES_MAX", limits::REASON_BYTES_MAX),
        ("TOKEN_BYTES_MAX", limits::TOKEN_BYTES_MAX),
        ("METADATA_BYTES_MAX", limits::METADATA_BYTES_MAX),
        ("PROTOCOL_VERSIONS_MAX", limits::PROTOCOL_VERSIONS_MAX),
        ("CAPABILITIES_MAX", limits::CAPABILITIES_MAX),
        ("FRAME_STORAGES_MAX", limits::FRAME_STORAGES_MAX),
        ("FRAME_DOCUMENTS_MAX", limits::FRAME_DOCUMENTS_MAX),
        ("HEADS_MAX", limits::HEADS_MAX),
        ("EPHEMERAL_BYTES_MAX", limits::EPHEMERAL_BYTES_MAX),
        ("PRESENCE_BYTES_MAX", limits::PRESENCE_BYTES_MAX),
        ("CHANGE_BYTES_MAX", limits::CHANGE_BYTES_MAX),
        ("CHANGE_DEPS_MAX", limits::CHANGE_DEPS_MAX),
        ("CHANGE_OPS_MAX", limits::CHANGE_OPS_MAX),
        ("DOCUMENT_OPS_MAX", usize::try_from(limits::DOCUMENT_OPS_MAX).unwrap()),
        ("DOCUMENT_BYTES_MAX", limits::DOCUMENT_BYTES_MAX),
        ("DOCUMENT_INFLATED_BYTES_MAX", limits::DOCUMENT_INFLATED_BYTES_MAX),
        ("DOCUMENT_ROWS_MAX", usize::try_from(limits::DOCUMENT_ROWS_MAX).unwrap()),
        ("DOCUMENT_ROWS_FREE", usize::try_from(limits::DOCUMENT_ROWS_FREE).unwrap()),
        ("DOCUMENT_ROWS_PER_BYTE_MAX", usize::try_from(limits::DOCUMENT_ROWS_PER_BYTE_MAX).unwrap()),
        ("DOCUMENT_UNPACKED_BYTES_MAX", limits::DOCUMENT_UNPACKED_BYTES_MAX),
        ("DOCUMENT_UNPACKED_FREE", limits::DOCUMENT_UNPACKED_FREE),
        ("DOCUMENT_UNPACKED_PER_BYTE_MAX", limits::DOCUMENT_UNPACKED_PER_BYTE_MAX),
        ("CHANGE_TIME_MAX", usize::try_from(limits::CHANGE_TIME_MAX).unwrap()),
        ("ACTOR_BYTES_MAX", limits::ACTOR_BYTES_MAX),
    ];
    for (name, value) in bounds {
        let row = format!("| `{name}` | {value} |");
        assert!(PROTOCOL.contains(&row), "PROTOCOL.md should have the row {row}");
    }
}

/// A frame by hand: a map of texts to whatever `write` writes.
fn written(fields: usize, write: impl FnOnce(&mut cbor::Writer)) -> Vec<u8> {
    let mut writer = cbor::Writer::with_capacity(64);
    writer.map(fields);
    write(&mut writer);
    writer.into_bytes()
}

fn write_texts(writer: &mut cbor::Writer, texts: &[&str]) {
    for text in texts {
        writer.text(text);
    }
}

#[test]
fn data_is_borrowed_from_the_frame() {
    let bytes = examples()["sync"].encode();
    let Frame::Sync { data, .. } = Frame::decode(&bytes).unwrap() else { panic!("it is a sync frame") };
    assert!(bytes.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn frames_from_the_future_are_told_apart_from_nonsense() {
    let later = written(3, |writer| {
        write_texts(writer, &["type", "pannier-teleport", "data"]);
        writer.array(0);
        writer.text("senderId");
        writer.integer(4);
    });
    assert_eq!(Frame::decode(&later), Ok(Frame::Unknown { kind: "pannier-teleport" }));
    let with_more = written(3, |writer| {
        write_texts(writer, &["hops", "many", "senderId", "phone", "type", "leave"]);
    });
    assert_eq!(Frame::decode(&with_more), Ok(Frame::Leave { sender: phone() }));
    let nameless = written(1, |writer| write_texts(writer, &["senderId", "phone"]));
    assert_eq!(Frame::decode(&nameless), Err(DecodeError::Missing { field: "type" }));
}

#[test]
fn unknown_capabilities_mean_nothing() {
    let join = written(3, |writer| {
        write_texts(writer, &["type", "join", "senderId", "phone", "peerMetadata"]);
        writer.map(1);
        writer.text("pannier");
        writer.map(2);
        writer.text("version");
        writer.integer(9);
        writer.text("capabilities");
        writer.array(2);
        write_texts(writer, &["teleport", "presence"]);
    });
    let Ok(Frame::Join { metadata, versions, .. }) = Frame::decode(&join) else { panic!("it is a join") };
    assert_eq!(metadata.capabilities, [Capability::Presence].into_iter().collect());
    assert_eq!(versions, ["1"]);
}

#[test]
fn an_error_without_ids_is_read() {
    let error = written(2, |writer| write_texts(writer, &["type", "error", "message", "no"]));
    assert_eq!(Frame::decode(&error), Ok(Frame::Error { sender: None, target: None, message: "no" }));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let twice = written(3, |writer| {
        write_texts(writer, &["type", "leave", "senderId", "phone", "senderId", "laptop"]);
    });
    assert_eq!(Frame::decode(&twice), Err(DecodeError::Repeated { field: "senderId".into() }));
    let mut trailing = examples()["pannier-ping"].encode();
    trailing.push(0);
    assert_eq!(Frame::decode(&trailing), Err(DecodeError::Cbor(CborError::Trailing { bytes: 1 })));
}

#[test]
fn what_breaks_a_bound_is_refused_with_the_bound() {
    let to_relay = Route { sender: phone(), target: relay() };
    let many_documents = Frame::Open {
        route: to_relay,
        documents: vec![
            DocumentHeads { document: document(), heads: vec![] };
            limits::FRAME_DOCUMENTS_MAX + 1
        ],
    };
    let many_heads = Frame::Durable {
        route: to_relay,
        documents: vec![DocumentHeads { document: document(), heads: vec![head(); limits::HEADS_MAX + 1] }],
    };
    let many_storages = Frame::RemoteSubscription {
        route: to_relay,
        add: vec![storage(); limits::FRAME_STORAGES_MAX + 1],
        remove: vec![],
    };
    let many_versions = Frame::Join {
        sender: phone(),
        metadata: PeerMetadata::default(),
        versions: vec!["1"; limits::PROTOCOL_VERSIONS_MAX + 1],
    };
    for (frame, max) in [
        (many_documents, limits::FRAME_DOCUMENTS_MAX),
        (many_heads, limits::HEADS_MAX),
        (many_storages, limits::FRAME_STORAGES_MAX),
        (many_versions, limits::PROTOCOL_VERSIONS_MAX),
    ] {
        let refused = Frame::decode(&frame.encode()).map(|_| ());
        assert!(
            matches!(refused, Err(DecodeError::TooMany { max: found, .. }) if found == max),
            "{refused:?}"
        );
    }

    let data = vec![0; limits::EPHEMERAL_BYTES_MAX + 1];
    let Frame::Ephemeral(ephemeral) = examples()["ephemeral"].clone() else { panic!("it is ephemeral") };
    let large = Frame::Ephemeral(Ephemeral { data: &data, ..ephemeral }).encode();
    let bytes = data.len();
    let expected = DecodeError::TooLong { field: "data", bytes, bytes_max: limits::EPHEMERAL_BYTES_MAX };
    assert_eq!(Frame::decode(&large), Err(expected));

    let long_name = "p".repeat(limits::NAME_BYTES_MAX + 1);
    let leave = written(2, |writer| write_texts(writer, &["type", "leave", "senderId", &long_name]));
    assert!(matches!(Frame::decode(&leave), Err(DecodeError::Id(_))));
    let many_fields = written(limits::FRAME_FIELDS_MAX + 1, |writer| {
        (0..=limits::FRAME_FIELDS_MAX).for_each(|field| write_texts(writer, &[&field.to_string(), ""]));
    });
    let expected = DecodeError::TooMany { what: "fields", max: limits::FRAME_FIELDS_MAX };
    assert_eq!(Frame::decode(&many_fields), Err(expected));
}

#[test]
fn a_sync_frame_without_a_message_is_refused() {
    let to_relay = Route { sender: phone(), target: relay() };
    let empty = Frame::Sync { route: to_relay, document: document(), data: &[] };
    assert_eq!(Frame::decode(&empty.encode()), Err(DecodeError::NoData));
}

#[test]
fn a_goodbye_that_ends_before_it_begins_is_refused() {
    let going = GoingAway {
        reason: "",
        reconnect_after_min: Duration::from_millis(2),
        reconnect_after_max: Duration::from_millis(1),
    };
    let frame = Frame::GoingAway { route: Route { sender: relay(), target: phone() }, going };
    assert_eq!(Frame::decode(&frame.encode()), Err(DecodeError::EmptyRange { min_ms: 2, max_ms: 1 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// A frame that was cut, or of which a byte was changed, is a frame or an error; and what was read can be written
    /// and read again as the same.
    #[test]
    fn damaged_frames_never_panic(
        index in 0..22_usize,
        cut in 0..400_usize,
        at in 0..400_usize,
        byte: u8,
    ) {
        let bytes = written_examples().into_values().nth(index).unwrap();
        let _ = Frame::decode(&bytes[..cut.min(bytes.len())]);
        let mut damaged = bytes.clone();
        let at = at % bytes.len();
        damaged[at] = byte;
        if let Ok(frame) = Frame::decode(&damaged)
            && !matches!(frame, Frame::Unknown { .. })
        {
            let again = frame.encode();
            prop_assert_eq!(Frame::decode(&again), Ok(frame));
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        sender in "\\PC{1,40}",
        target in "\\PC{1,40}",
        data in proptest::collection::vec(any::<u8>(), 1..300),
        count in 0..1_u64 << 53,
        entries in proptest::collection::vec((any::<[u8; 16]>(), proptest::collection::vec(any::<[u8; 32]>(), 0..4)), 0..40),
        spans in (0..1_u64 << 53, 0..1_u64 << 53),
        document in proptest::option::of(any::<[u8; 16]>()),
    ) {
        let route = Route { sender: PeerRef::new(&sender).unwrap(), target: PeerRef::new(&target).unwrap() };
        let document = document.map(DocumentId::from_bytes);
        let documents: Vec<_> = entries
            .into_iter()
            .map(|(id, heads)| DocumentHeads {
                document: DocumentId::from_bytes(id),
                heads: heads.into_iter().map(ChangeHash::from_bytes).collect(),
            })
            .collect();
        let (short, long) = (spans.0.min(spans.1), spans.0.max(spans.1));
        let (short, long) = (Duration::from_millis(short), Duration::from_millis(long));
        let session = SessionRef::new(&sender).unwrap();
        let id = document.unwrap_or(DocumentId::from_bytes([9; 16]));
        let frames = [
            Frame::Sync { route, document: id, data: &data },
            Frame::Request { route, document: id, data: &data },
            Frame::Unavailable { route, document: id },
            Frame::Ephemeral(Ephemeral { route, document: id, session, count, data: &data }),
            Frame::Leave { sender: route.sender },
            Frame::Error { sender: Some(route.sender), target: None, message: &target },
            Frame::RemoteHeads {
                route,
                document: id,
                heads: documents
                    .iter()
                    .take(1)
                    .map(|entry| StorageHeads {
                        storage: StorageRef::new(&target).unwrap(),
                        heads: entry.heads.clone(),
                        told: Timestamp::from_millis(count),
                    })
                    .collect(),
            },
            Frame::Durable { route, documents: documents.clone() },
            Frame::Open { route, documents },
            Frame::Denied {
                route,
                denial: Denial { document, code: DenialCode::Quota, reason: &target, retry_after: document.map(|_| long) },
            },
            Frame::Presence {
                route,
                presence: Presence {
                    session,
                    device: DeviceRef::new(&target).unwrap(),
                    count,
                    document,
                    idle: short,
                    expires_after: long,
                    data: &data,
                },
            },
            Frame::GoingAway {
                route,
                going: GoingAway { reason: &sender, reconnect_after_min: short, reconnect_after_max: long },
            },
            Frame::Ping { route, count },
            Frame::Pong { route, count },
            Frame::Permitted { route, expires_after: long },
            Frame::Renew { route, token: &target },
        ];
        for frame in frames {
            let bytes = frame.encode();
            prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
        }
    }
}
