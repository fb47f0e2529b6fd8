//! What waits for its turn, by priority, so that the urgent goes first and nothing waits for ever.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// How urgent something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Nobody waits for it.
    Low,
    /// What most things are.
    #[default]
    Medium,
    /// Somebody is looking at it.
    High,
    /// Somebody is waiting for it: a checkout, a seat.
    Critical,
}

impl Priority {
    const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its share of the turns while all priorities have something waiting.
    pub const fn weight(self) -> u64 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 4,
            Self::Critical => 8,
        }
    }
}

/// A turn of the least weight costs this much of a lane's course: a number that every weight divides.
const TURN: u64 = 8;

/// Things waiting for their turn, each at most once.
///
/// Turns go to the lane that has had the least for its weight (stride scheduling): of fifteen turns, eight are critical
/// and one is low, in any such stretch of time. Within a lane the first come is the first served.
#[derive(Debug)]
pub(super) struct TurnQueue<T> {
    lanes: BTreeMap<Priority, Lane<T>>,
    waiting: BTreeMap<T, Priority>,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<T>,
    /// What the lane's turns have cost so far.
    course: u64,
}

impl<T: Ord + Clone> TurnQueue<T> {
    pub(super) fn new() -> Self {
        let lanes = Priority::ALL.map(|priority| (priority, Lane { waiting: VecDeque::new(), course: 0 }));
        Self { lanes: lanes.into(), waiting: BTreeMap::new() }
    }

    /// Lets `item` wait. One that waits already keeps its place, unless it becomes more urgent.
    pub(super) fn push(&mut self, item: T, priority: Priority) {
        match self.waiting.get(&item) {
            Some(waiting) if *waiting >= priority => return,
            Some(_) => {
                self.remove(&item);
            }
            None => {}
        }
        let busy = self.lanes.values().filter(|lane| !lane.waiting.is_empty());
        let furthest_behind = busy.map(|lane| lane.course).min();
        let lane = self.lane_mut(priority);
        if let Some(course) = furthest_behind.filter(|_| lane.waiting.is_empty()) {
            // A lane that was empty can't have saved up turns.
            lane.course = lane.course.max(course);
        }
        lane.waiting.push_back(item.clone());
        self.waiting.insert(item, priority);
    }

    /// Takes the next item of at least this priority.
    pub(super) fn pop(&mut self, least: Priority) -> Option<T> {
        let lanes = self.lanes.iter_mut().rev();
        let ready = lanes.filter(|(priority, lane)| **priority >= least && !lane.waiting.is_empty());
        // Of equals the first is taken: the most urgent.
        let (priority, lane) = ready.min_by_key(|(_, lane)| lane.course)?;
        lane.course += TURN / priority.weight();
        let item = lane.waiting.pop_front().expect("a ready lane is not empty");
        self.waiting.remove(&item);
        Some(item)
    }

    /// Lets `item` wait no longer. Whether it did.
    pub(super) fn remove(&mut self, item: &T) -> bool {
        let Some(priority) = self.waiting.remove(item) else { return false };
        self.lane_mut(priority).waiting.retain(|waiting| waiting != item);
        true
    }

    fn lane_mut(&mut self, priority: Priority) -> &mut Lane<T> {
        self.lanes.get_mut(&priority).expect("there is a lane for every priority")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_shared_by_weight_and_nobody_starves() {
        let mut queue = TurnQueue::new();
        for n in 0..100 {
            for priority in Priority::ALL {
                queue.push((priority, n), priority);
            }
        }
        let turns: Vec<_> = (0..60).map(|_| queue.pop(Priority::Low).unwrap()).collect();
        assert_eq!(turns[0].0, Priority::Critical, "the most urgent goes first");
        for stretch in turns.chunks(15) {
            for priority in Priority::ALL {
                let count = stretch.iter().filter(|(found, _)| *found == priority).count();
                assert_eq!(count as u64, priority.weight(), "{priority:?}");
            }
        }
        for priority in Priority::ALL {
            let served = turns.iter().filter(|(found, _)| *found == priority).map(|(_, n)| *n);
            assert!(served.is_sorted(), "the first come is the first served");
        }
    }

    #[test]
    fn a_lane_that_was_empty_has_not_saved_up_turns() {
        let mut queue = TurnQueue::new();
        for n in 0..100 {
            queue.push(n, Priority::Low);
        }
        for _ in 0..50 {
            queue.pop(Priority::Low);
        }
        for n in 100..200 {
            queue.push(n, Priority::Critical);
        }
        let low = (0..18).filter(|_| queue.pop(Priority::Low).unwrap() < 100).count();
        assert_eq!(low, 2);
    }

    #[test]
    fn what_waits_waits_once_and_only_rises() {
        let mut queue = TurnQueue::new();
        queue.push("cart", Priority::Low);
        queue.push("profile", Priority::High);
        queue.push("cart", Priority::Critical);
        queue.push("cart", Priority::Medium);
        assert_eq!(queue.pop(Priority::Low), Some("cart"));
        assert!(queue.remove(&"profile"));
        assert!(!queue.remove(&"profile"));
        assert_eq!(queue.pop(Priority::Low), None);
    }

    #[test]
    fn what_is_not_urgent_enough_is_held_back() {
        let mut queue = TurnQueue::new();
        queue.push("history", Priority::Low);
        assert_eq!(queue.pop(Priority::Medium), None);
        assert_eq!(queue.pop(Priority::Low), Some("history"));
    }
}
