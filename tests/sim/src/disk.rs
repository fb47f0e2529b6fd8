//! Disks: writes that take their time, fail, fail after all, and are forgotten when the power goes.
//!
//! A disk works through its jobs in order, a batch at a time: whatever was submitted while the previous flush ran is
//! covered by the next. What a job means is its owner's business; the disk decides when it is done and whether it lasts.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::agenda::Agenda;
use crate::chance::Chance;

/// How a disk behaves.
#[derive(Clone, Debug)]
pub struct Health {
    /// Time one flush takes, in milliseconds.
    pub flush: RangeInclusive<u64>,
    /// In a hundred flushes, how many fail.
    pub failing_percent: u64,
    /// Nothing more fits.
    pub full: bool,
}

impl Health {
    /// A disk on which nothing goes wrong.
    pub fn good() -> Self {
        Self { flush: 1..=12, failing_percent: 0, full: false }
    }
}

/// A disk has finished a flush: take it with [`Disk::flushed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Flushes of earlier powers are void.
    power: u32,
}

/// What became of the jobs that one flush covered.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<J> {
    /// In the order of their submission.
    pub jobs: Vec<J>,
    pub outcome: Outcome,
}

/// Whether a flush succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Reported as failed. So many of the first jobs are on the disk nevertheless.
    Failed {
        reached: usize,
    },
}

/// What the end of power left of jobs that nobody was told about.
#[derive(Debug, PartialEq, Eq)]
pub struct Remains<J> {
    /// Jobs that are on the disk.
    pub whole: Vec<J>,
    /// A job that is on the disk in part.
    pub torn: Option<J>,
}

/// The disk of one node.
#[derive(Debug)]
pub struct Disk<J> {
    chance: Chance,
    health: Health,
    power: u32,
    flushing: usize,
    jobs: VecDeque<J>,
}

impl<J> Disk<J> {
    pub fn new(seed: u64, owner: &str, health: Health) -> Self {
        let chance = Chance::new(seed, &format!("disk of {owner}"));
        Self { chance, health, power: 0, flushing: 0, jobs: VecDeque::new() }
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// From now on the disk behaves like this.
    pub fn set_health(&mut self, health: Health) {
        self.health = health;
    }

    /// How many jobs wait or are under way.
    pub fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// Hands a job to the disk. Returns the flush to schedule, if the disk was idle.
    pub fn submit<E>(&mut self, agenda: &mut Agenda<E>, job: J, event: impl FnOnce(Flush) -> E) {
        self.jobs.push_back(job);
        if self.flushing == 0 {
            self.begin(agenda, event);
        }
    }

    /// The batch that a flush covered; the next flush begins with what has gathered meanwhile.
    pub fn flushed<E>(
        &mut self,
        agenda: &mut Agenda<E>,
        flush: Flush,
        event: impl FnOnce(Flush) -> E,
    ) -> Option<Batch<J>> {
        if flush.power != self.power {
            return None;
        }
        let jobs: Vec<J> = self.jobs.drain(..self.flushing).collect();
        let outcome = if self.health.full {
            Outcome::Failed { reached: 0 }
        } else if self.chance.percent(self.health.failing_percent) {
            Outcome::Failed { reached: self.chance.index(jobs.len() + 1) }
        } else {
            Outcome::Done
        };
        self.flushing = 0;
        if !self.jobs.is_empty() {
            self.begin(agenda, event);
        }
        Some(Batch { jobs, outcome })
    }

    /// The power goes. Some of what was under way is on the disk, the last of it perhaps in part; the rest never was.
    pub fn lose_power(&mut self) -> Remains<J> {
        self.power += 1;
        self.flushing = 0;
        let mut jobs = std::mem::take(&mut self.jobs);
        let reached = if self.health.full { 0 } else { self.chance.index(jobs.len() + 1) };
        let rest = jobs.split_off(reached);
        let torn = if self.chance.percent(50) { rest.into_iter().next() } else { None };
        Remains { whole: jobs.into(), torn }
    }

    fn begin<E>(&mut self, agenda: &mut Agenda<E>, event: impl FnOnce(Flush) -> E) {
        self.flushing = self.jobs.len();
        let at = agenda.now() + self.chance.millis(self.health.flush.clone());
        agenda.schedule(at, event(Flush { power: self.power }));
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::time::Timestamp;

    use super::*;

    struct Scene {
        disk: Disk<u32>,
        agenda: Agenda<Flush>,
    }

    impl Scene {
        fn new(health: Health) -> Self {
            Self { disk: Disk::new(1, "relay", health), agenda: Agenda::new(Timestamp::ZERO) }
        }

        fn submit(&mut self, job: u32) {
            self.disk.submit(&mut self.agenda, job, |flush| flush);
        }

        fn next(&mut self) -> Option<Batch<u32>> {
            let flush = self.agenda.next_until(Timestamp::MAX)?;
            self.disk.flushed(&mut self.agenda, flush, |flush| flush)
        }
    }

    #[test]
    fn a_flush_covers_what_gathered_during_the_one_before() {
        let mut scene = Scene::new(Health::good());
        for job in 1..=3 {
            scene.submit(job);
        }
        assert_eq!(scene.next(), Some(Batch { jobs: vec![1], outcome: Outcome::Done }));
        scene.submit(4);
        assert_eq!(scene.next(), Some(Batch { jobs: vec![2, 3], outcome: Outcome::Done }));
        assert_eq!(scene.next(), Some(Batch { jobs: vec![4], outcome: Outcome::Done }));
        assert_eq!(scene.disk.waiting(), 0);
        assert!(scene.agenda.is_empty());
    }

    #[test]
    fn a_full_disk_keeps_nothing_until_there_is_room() {
        let mut scene = Scene::new(Health { full: true, ..Health::good() });
        scene.submit(1);
        assert_eq!(scene.next().map(|batch| batch.outcome), Some(Outcome::Failed { reached: 0 }));
        scene.disk.set_health(Health::good());
        scene.submit(2);
        assert_eq!(scene.next().map(|batch| batch.outcome), Some(Outcome::Done));
    }

    #[test]
    fn the_end_of_power_leaves_a_beginning_and_voids_the_flush() {
        let mut left = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut scene = Scene::new(Health::good());
            scene.disk = Disk::new(seed, "relay", Health::good());
            for job in 1..=3 {
                scene.submit(job);
            }
            let remains = scene.disk.lose_power();
            assert!(remains.torn.is_none_or(|torn| torn == u32::try_from(remains.whole.len()).unwrap() + 1));
            left.insert((remains.whole, remains.torn));
            scene.submit(9);
            let flushed: Vec<_> = std::iter::from_fn(|| {
                let flush = scene.agenda.next_until(Timestamp::MAX)?;
                Some(scene.disk.flushed(&mut scene.agenda, flush, |flush| flush))
            })
            .flatten()
            .collect();
            assert_eq!(flushed, [Batch { jobs: vec![9], outcome: Outcome::Done }]);
        }
        assert_eq!(left.len(), 7, "every beginning, with and without a torn job: {left:?}");
    }
}
