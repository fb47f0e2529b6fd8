//! How many requests somebody may make, how fast.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crdt_core::time::Timestamp;

use super::clock::now;
use crate::access::Permit;
use crate::hub::{Bucket, Rate};
use crate::id::{Subject, Tenant};

/// How many of a kind are remembered. When there are more, those that have rested long enough are forgotten, and then all.
const REMEMBERED_MAX: usize = 65_536;

/// What is left to each of a kind.
pub(super) struct Throttle<K> {
    rate: Rate,
    buckets: Mutex<BTreeMap<K, Bucket>>,
}

impl<K: Ord + Clone> Throttle<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::new(BTreeMap::new()) }
    }

    /// Counts one request, and says how long its sender has to wait before the next is answered; the one that is too many is
    /// not.
    pub(super) fn take(&self, of: &K, now: Timestamp) -> Option<Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(of) {
            return bucket.try_take(self.rate, 1, now).err();
        }
        if buckets.len() >= REMEMBERED_MAX {
            buckets.retain(|_, bucket| !bucket.is_full(self.rate, now));
            if buckets.len() >= REMEMBERED_MAX {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(of.clone()).or_insert_with(|| Bucket::full(self.rate, now));
        bucket.try_take(self.rate, 1, now).err()
    }
}

/// What is left of requests to those who bear tokens.
pub(super) struct Share {
    subjects: Throttle<(Tenant, Subject)>,
    tenants: Throttle<Tenant>,
}

impl Share {
    pub(super) fn new(subject: Rate, tenant: Rate) -> Self {
        Self { subjects: Throttle::new(subject), tenants: Throttle::new(tenant) }
    }

    /// Counts one request. Who makes too many is told whose share is used up, and for how long. Programs that read everything,
    /// such as a backup, have only their tenant's bound.
    pub(super) fn take(&self, permit: &Permit) -> Result<(), (&'static str, Duration)> {
        if !permit.is_authenticated {
            return Ok(());
        }
        let now = now();
        if permit.everywhere.is_none() {
            let subject = (permit.tenant.clone(), permit.subject.clone());
            if let Some(rest) = self.subjects.take(&subject, now) {
                return Err(("yours", rest));
            }
        }
        self.tenants.take(&permit.tenant, now).map_or(Ok(()), |rest| Err(("your tenant", rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn one_is_throttled_and_the_others_are_not() {
        let throttle = Throttle::new(Rate { per_second: 2, burst: 3 });
        let (loud, quiet) = (1, 2);
        for _ in 0..3 {
            assert_eq!(throttle.take(&loud, at(0)), None);
        }
        assert_eq!(throttle.take(&loud, at(0)), Some(Duration::from_millis(500)));
        assert_eq!(
            throttle.take(&loud, at(0)),
            Some(Duration::from_millis(500)),
            "what is refused costs nothing"
        );
        assert_eq!(throttle.take(&quiet, at(0)), None);
        assert_eq!(throttle.take(&loud, at(500)), None);
    }

    #[test]
    fn no_number_of_them_takes_more_memory_than_the_bound() {
        let throttle = Throttle::new(Rate { per_second: 1, burst: 1 });
        for number in 0..REMEMBERED_MAX + 10 {
            throttle.take(&number, at(0));
        }
        assert!(throttle.buckets.lock().unwrap().len() <= REMEMBERED_MAX);
    }

    #[test]
    fn a_subjects_haste_is_its_own_and_a_tenants_is_the_tenants() {
        let share = Share::new(Rate { per_second: 1, burst: 2 }, Rate { per_second: 1, burst: 4 });
        let of = |tenant: &str, subject: &str| {
            Permit::user(Tenant::new(tenant).unwrap(), Subject::new(subject).unwrap())
        };
        let (phone, laptop, elsewhere) =
            (of("shop", "student-7"), of("shop", "student-8"), of("school", "tutor-1"));
        let whose = |permit: &Permit| share.take(permit).err().map(|(of, _)| of);
        assert_eq!([whose(&phone), whose(&phone), whose(&phone)], [None, None, Some("yours")]);
        assert_eq!([whose(&laptop), whose(&laptop)], [None, None], "another subject");
        let service = Permit { everywhere: Some(crate::access::Right::Read), ..of("shop", "backup") };
        assert_eq!(whose(&service), Some("your tenant"));
        assert_eq!(whose(&elsewhere), None, "another tenant");
    }
}
