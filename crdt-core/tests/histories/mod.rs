//! Random histories as foreign Automerge writers make them: nested objects, texts, marks, counters, conflicts.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};
use proptest::prelude::*;

/// What one device does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    PutText {
        key: u8,
        length: u16,
    },
    PutNumber {
        key: u8,
        number: i64,
    },
    Delete {
        key: u8,
    },
    MakeMap {
        key: u8,
    },
    MakeList {
        key: u8,
    },
    MakeText {
        key: u8,
    },
    Counter {
        key: u8,
    },
    Fill {
        key: u8,
        count: u8,
    },
    Thin {
        key: u8,
        at: u8,
    },
    Emphasise {
        key: u8,
    },
    MergeFrom {
        device: u8,
    },
    Commit,
    /// A change that says something, but does nothing.
    Remark {
        length: u8,
        time: i32,
    },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let key = 0..4_u8;
    prop_oneof![
        3 => (key.clone(), 0..400_u16).prop_map(|(key, length)| Step::PutText { key, length }),
        2 => (key.clone(), any::<i64>()).prop_map(|(key, number)| Step::PutNumber { key, number }),
        1 => key.clone().prop_map(|key| Step::Delete { key }),
        1 => key.clone().prop_map(|key| Step::MakeMap { key }),
        1 => key.clone().prop_map(|key| Step::MakeList { key }),
        1 => key.clone().prop_map(|key| Step::MakeText { key }),
        1 => key.clone().prop_map(|key| Step::Counter { key }),
        4 => (key.clone(), 1..30_u8).prop_map(|(key, count)| Step::Fill { key, count }),
        1 => (key.clone(), any::<u8>()).prop_map(|(key, at)| Step::Thin { key, at }),
        1 => key.prop_map(|key| Step::Emphasise { key }),
        3 => any::<u8>().prop_map(|device| Step::MergeFrom { device }),
        4 => Just(Step::Commit),
        1 => (any::<u8>(), any::<i32>()).prop_map(|(length, time)| Step::Remark { length, time }),
    ]
}

/// Up to four devices' steps, each with the device that takes it.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<(u8, Step)>> {
    proptest::collection::vec((0..4_u8, step()), 1..most)
}

/// As [`steps`], without marking rich text, which documents of facts refuse.
#[allow(dead_code, reason = "not every test needs both")]
pub(crate) fn plain_steps(most: usize) -> impl Strategy<Value = Vec<(u8, Step)>> {
    let is_plain = |step: &(u8, Step)| !matches!(step.1, Step::Emphasise { .. });
    steps(most).prop_map(move |steps| steps.into_iter().filter(is_plain).collect())
}

/// The four devices after these steps.
pub(crate) fn devices(steps: &[(u8, Step)]) -> Vec<AutoCommit> {
    let mut devices: Vec<_> =
        (1..5_u8).map(|n| AutoCommit::new().with_actor(ActorId::from([n; 16]))).collect();
    for (device, step) in steps {
        let device = usize::from(*device);
        if let Step::MergeFrom { device: from } = step {
            let from = &mut devices[usize::from(from % 4)];
            from.commit();
            let mut from = from.clone();
            devices[device].merge(&mut from).unwrap();
        } else {
            take(&mut devices[device], step);
        }
    }
    for device in &mut devices {
        device.commit();
    }
    devices
}

fn name(key: u8) -> String {
    format!("key {key}")
}

fn object(doc: &AutoCommit, key: u8) -> Option<(ObjId, ObjType)> {
    match doc.get(ROOT, name(key)).unwrap() {
        Some((Value::Object(kind), id)) => Some((id, kind)),
        _ => None,
    }
}

fn take(doc: &mut AutoCommit, step: &Step) {
    // Objects that a step needs may be gone by the time it is taken; then it does nothing.
    match *step {
        Step::PutText { key, length } => {
            doc.put(ROOT, name(key), "text ".repeat(usize::from(length))).unwrap();
        }
        Step::PutNumber { key, number } => match object(doc, key) {
            Some((map, ObjType::Map)) => doc.put(map, "inner", number).unwrap(),
            _ => doc.put(ROOT, name(key), number).unwrap(),
        },
        Step::Delete { key } => doc.delete(ROOT, name(key)).unwrap(),
        Step::MakeMap { key } => drop(doc.put_object(ROOT, name(key), ObjType::Map).unwrap()),
        Step::MakeList { key } => drop(doc.put_object(ROOT, name(key), ObjType::List).unwrap()),
        Step::MakeText { key } => drop(doc.put_object(ROOT, name(key), ObjType::Text).unwrap()),
        Step::Counter { key } => {
            if matches!(doc.get(ROOT, name(key)).unwrap(), Some((value, _)) if value.is_counter()) {
                doc.increment(ROOT, name(key), 3).unwrap();
            } else {
                doc.put(ROOT, name(key), ScalarValue::counter(7)).unwrap();
            }
        }
        Step::Fill { key, count } => match object(doc, key) {
            Some((list, ObjType::List)) => {
                for n in 0..count {
                    let at = doc.length(&list) / 2;
                    doc.insert(&list, at, i64::from(n % 3)).unwrap();
                }
            }
            Some((text, ObjType::Text)) => {
                let at = doc.length(&text) / 2;
                doc.splice_text(&text, at, 0, &"words".repeat(usize::from(count))).unwrap();
            }
            Some((map, _)) => {
                let inner = doc.put_object(&map, "list", ObjType::List).unwrap();
                doc.insert(&inner, 0, f64::from(count)).unwrap();
                doc.insert(&inner, 0, ScalarValue::Bytes(vec![count; 9])).unwrap();
            }
            None => {}
        },
        Step::Thin { key, at } => {
            if let Some((list, kind)) = object(doc, key)
                && doc.length(&list) > 0
                && kind != ObjType::Map
            {
                let at = usize::from(at) % doc.length(&list);
                if kind == ObjType::List && at % 2 == 0 {
                    doc.put(&list, at, true).unwrap();
                } else {
                    doc.delete(&list, at).unwrap();
                }
            }
        }
        Step::Emphasise { key } => {
            if let Some((text, ObjType::Text)) = object(doc, key)
                && doc.length(&text) > 2
            {
                let end = doc.length(&text) - 1;
                let mark = Mark::new("bold".to_owned(), true, 1, end);
                doc.mark(&text, mark, ExpandMark::Both).unwrap();
            }
        }
        Step::Remark { length, time } => {
            doc.commit();
            let remark = "as discussed ".repeat(usize::from(length % 4));
            let options = CommitOptions::default().with_message(remark).with_time(time.into());
            doc.empty_change(options);
        }
        Step::Commit | Step::MergeFrom { .. } => drop(doc.commit()),
    }
}
