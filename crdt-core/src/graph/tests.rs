use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::limits::{HELD_CHANGES_MAX, HELD_TIME_MAX};

fn id(n: usize) -> ChangeHash {
    let mut bytes = [0xab; 32];
    bytes[..8].copy_from_slice(&(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    bytes[8..16].copy_from_slice(&(n as u64).to_le_bytes());
    ChangeHash::from_bytes(bytes)
}

/// An item that tells no author.
fn item(n: usize, deps: &[usize]) -> Item {
    Item { id: id(n), deps: deps.iter().copied().map(id).collect(), author: None, bytes: 100 }
}

fn by(actor: u8, seq: u64, start_op: u64, mut item: Item) -> Item {
    let actor = ActorId::from_bytes([actor; 16]);
    item.author = Some(Authorship { actor, seq, start_op, max_op: start_op });
    item
}

fn insert(graph: &mut Graph<()>, item: Item) -> Inserted {
    graph.insert(item, (), Timestamp::ZERO)
}

fn positions(graph: &Graph<()>, ids: &[usize]) -> Vec<Position> {
    ids.iter().map(|n| graph.position(&id(*n)).unwrap()).collect()
}

/// Zero, then two branches, then their merge.
fn diamond() -> Graph<()> {
    let mut graph = Graph::new();
    for (n, deps) in [(0, &[][..]), (1, &[0]), (2, &[0]), (3, &[1, 2])] {
        insert(&mut graph, item(n, deps));
    }
    graph.settle(4);
    graph
}

#[test]
fn nothing_is_shown_before_it_is_settled() {
    let mut graph = Graph::new();
    assert_eq!(insert(&mut graph, item(0, &[])).accepted, 0..1);
    assert_eq!(insert(&mut graph, item(1, &[0])).accepted, 1..2);
    assert!(graph.is_empty() && !graph.contains(&id(0)) && graph.since(&[]).is_empty());
    assert_eq!(graph.missing(&[id(1)], 10), [], "what is on its way to the disk is not asked for");
    graph.settle(1);
    assert_eq!((graph.heads(), graph.len()), (vec![id(0)], 1));
    graph.settle(2);
    assert_eq!(graph.heads(), [id(1)]);
}

#[test]
fn what_lacks_a_dependency_waits_for_it() {
    let mut graph = Graph::new();
    assert_eq!(insert(&mut graph, item(2, &[1])).accepted, 0..0);
    assert_eq!(insert(&mut graph, item(1, &[0])).accepted, 0..0);
    assert_eq!(graph.held_len(), 2);
    assert_eq!(
        graph.missing(&[id(2), id(7)], 10).into_iter().collect::<BTreeSet<_>>(),
        [id(0), id(7)].into()
    );
    assert_eq!(insert(&mut graph, item(0, &[])).accepted, 0..3);
    assert_eq!(graph.held_len(), 0);
    assert_eq!(positions(&graph, &[0, 1, 2]), [0, 1, 2]);
}

#[test]
fn waiting_is_bounded_in_time_and_number() {
    let mut graph = Graph::new();
    let start = Timestamp::from_millis(1_000);
    graph.insert(item(1, &[0]), (), start);
    graph.drop_expired(start + HELD_TIME_MAX.saturating_sub(Duration::from_millis(1)));
    assert_eq!(graph.held_len(), 1);
    graph.drop_expired(start + HELD_TIME_MAX);
    assert_eq!(graph.held_len(), 0);
    for n in 0..HELD_CHANGES_MAX + 10 {
        graph.insert(item(n + 2, &[0]), (), start);
    }
    assert_eq!(graph.held_len(), HELD_CHANGES_MAX);
    let accepted = graph.insert(item(0, &[]), (), start).accepted;
    assert_eq!(accepted.len(), HELD_CHANGES_MAX + 1);
}

#[test]
fn an_actor_writes_each_number_once_and_in_order() {
    let mut graph = Graph::new();
    let refused = |graph: &mut Graph<()>, item| insert(graph, item).refused.pop().map(|(_, refusal)| refusal);
    assert_eq!(refused(&mut graph, by(1, 1, 1, item(0, &[]))), None);
    let twice = refused(&mut graph, by(1, 1, 1, item(1, &[])));
    assert!(matches!(twice, Some(Refusal::SequenceTaken { seq: 1, .. })));
    let gap = refused(&mut graph, by(1, 3, 2, item(2, &[0])));
    assert!(matches!(gap, Some(Refusal::SequenceGap { seq: 3, known: 1, .. })));
    assert_eq!(refused(&mut graph, by(1, 2, 2, item(3, &[0]))), None);
    assert_eq!(refused(&mut graph, by(1, 1, 1, item(0, &[]))), None, "what is known is no conflict");
}

#[test]
fn operations_are_numbered_after_what_they_build_on() {
    let mut graph = Graph::new();
    insert(&mut graph, by(1, 1, 50, item(0, &[])));
    for start in [0, 1, 50, 52 + OP_COUNTER_JUMP_MAX] {
        let inserted = insert(&mut graph, by(2, 1, start, item(1, &[0])));
        assert!(matches!(inserted.refused[..], [(_, Refusal::CounterJump { known: 50, .. })]), "{start}");
    }
    assert_eq!(insert(&mut graph, by(2, 1, 51, item(1, &[0]))).accepted, 1..2);
    let detached = insert(&mut graph, by(2, 2, 51, item(2, &[0]))).refused;
    assert!(matches!(detached[..], [(_, Refusal::Detached { seq: 2, .. })]));
}

#[test]
fn skipping_numbers_is_bounded() {
    let mut graph = Graph::new();
    let mut accepted = 0;
    for n in 0..20_u8 {
        accepted +=
            insert(&mut graph, by(n, 1, 1 + OP_COUNTER_JUMP_MAX, item(usize::from(n), &[]))).accepted.len();
    }
    assert_eq!(accepted as u64, OP_COUNTER_SKIPPED_MAX / OP_COUNTER_JUMP_MAX);
}

#[test]
fn since_and_covers_follow_the_branches() {
    let graph = diamond();
    assert_eq!(graph.heads(), [id(3)]);
    assert_eq!(graph.since(&[]), positions(&graph, &[0, 1, 2, 3]));
    assert_eq!(graph.since(&[id(1)]), positions(&graph, &[2, 3]));
    assert_eq!(graph.since(&[id(1), id(2)]), positions(&graph, &[3]));
    assert!(graph.since(&[id(3)]).is_empty());
    assert_eq!(graph.since(&[id(99)]), positions(&graph, &[0, 1, 2, 3]));
    assert!(graph.covers(&[id(3)], &[id(0), id(1), id(2), id(3)]));
    assert!(graph.covers(&[id(1)], &[id(0)]) && graph.covers(&[], &[]));
    assert!(!graph.covers(&[id(1)], &[id(2)]));
    assert!(!graph.covers(&[id(3)], &[id(99)]));
}

#[test]
fn a_snapshot_takes_the_bytes_of_what_it_holds() {
    let mut graph = Graph::new();
    for (n, deps) in [(0, &[][..]), (1, &[0]), (2, &[0]), (3, &[1])] {
        graph.insert(item(n, deps), n, Timestamp::ZERO);
    }
    graph.settle(4);
    assert!(!graph.has_snapshot());
    graph.pack(3, &[id(2)]);
    let payloads: Vec<_> = (0..4).map(|position| graph.payload(position).copied()).collect();
    assert_eq!(payloads, [None, None, Some(2), Some(3)]);
    assert!(graph.has_snapshot());
    graph.pack(4, &[]);
    assert!((0..4).all(|position| graph.payload(position).is_none()));

    let mut reopened = Graph::from_snapshot([item(0, &[]), item(1, &[0]), item(3, &[1])]).unwrap();
    assert_eq!(reopened.heads(), [id(3)]);
    assert_eq!(reopened.insert(item(2, &[0]), 2, Timestamp::ZERO).accepted, 3..4);
    assert_eq!(reopened.payload(3), Some(&2));
    let backwards = Graph::<()>::from_snapshot([item(1, &[0]), item(0, &[])]);
    assert_eq!(backwards.unwrap_err(), OutOfOrder::MissingDependency { id: id(1) });
}

/// Items, each depending on up to three before it.
fn items() -> impl Strategy<Value = Vec<Item>> {
    proptest::collection::vec(proptest::collection::vec(any::<Index>(), 0..3), 1..60).prop_map(|deps| {
        let deps = deps.into_iter().enumerate().map(|(n, deps)| {
            let deps: BTreeSet<_> = deps.iter().filter(|_| n > 0).map(|dep| dep.index(n)).collect();
            item(n, &deps.into_iter().collect::<Vec<_>>())
        });
        deps.collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        (items, shuffled) in items().prop_flat_map(|items| (Just(items.clone()), Just(items).prop_shuffle())),
    ) {
        let mut straight = Graph::new();
        let mut mixed = Graph::new();
        for item in &items {
            insert(&mut straight, item.clone());
        }
        for item in shuffled.iter().chain(&items) {
            insert(&mut mixed, item.clone());
        }
        straight.settle(items.len());
        mixed.settle(items.len());
        prop_assert_eq!(straight.heads(), mixed.heads());
        prop_assert_eq!(mixed.held_len(), 0);
        for position in 0..mixed.len() {
            prop_assert!(mixed.deps(position).all(|dep| dep < position));
        }
    }

    #[test]
    fn since_is_everything_but_the_ancestors(items in items(), known in proptest::collection::vec(any::<Index>(), 0..3)) {
        let mut graph = Graph::new();
        for item in &items {
            insert(&mut graph, item.clone());
        }
        graph.settle(items.len());
        let known: Vec<_> = known.iter().map(|known| items[known.index(items.len())].id).collect();
        let mut ancestors: BTreeSet<ChangeHash> = known.iter().copied().collect();
        for item in items.iter().rev() {
            if ancestors.contains(&item.id) {
                ancestors.extend(&item.deps);
            }
        }
        let expected: Vec<_> = (0..items.len()).filter(|at| !ancestors.contains(&items[*at].id)).collect();
        prop_assert_eq!(graph.since(&known), expected);
        for item in &items {
            prop_assert_eq!(graph.covers(&known, &[item.id]), ancestors.contains(&item.id));
        }
    }
}
