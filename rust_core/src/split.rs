//! Traffic gate and choice of a variant.
//!
//! Arithmetic on [`Seed::hash`] and nothing else: the order of the gates is in
//! [`decide`](crate::decide). Held by the vectors in `tests/vectors` and the properties below:
//! a ramp never removes an entity; a removed variant moves only its own entities; a changed
//! weight moves entities only to arms that gained share.

mod logarithm;

use crate::hash::Seed;

/// Percentages count in millionths: what is finer than that is rounded, half to even.
const UNITS_PER_PERCENT: f64 = 1e6;
const ALL_UNITS: u128 = 100_000_000;

/// The straight line on which traffic rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// Start of the iteration, Unix milliseconds.
    pub started_at_ms: i64,
    /// Time until all of the traffic is in, above 0.
    pub period_ms: i64,
}

/// Which entities take part, and from when.
#[derive(Clone, Copy, Debug)]
pub struct TrafficGate {
    seed: Seed,
    /// Of 2^64, at the end of the ramp.
    bound: u128,
    ramp: Option<Ramp>,
}

impl TrafficGate {
    /// Gate for `percentage` (0 to 100) of the entities under `salt`.
    #[must_use]
    pub fn new(salt: &str, percentage: f64, ramp: Option<Ramp>) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // 0 to 1e8 after the clamp
        let units = (percentage.clamp(0.0, 100.0) * UNITS_PER_PERCENT).round_ties_even() as u128;
        Self { seed: Seed::new(salt, "traffic"), bound: (units << 64) / ALL_UNITS, ramp }
    }

    /// Whether the entity is enrolled at `now_ms`. Once in, it stays in: a ramp only rises.
    #[inline]
    #[must_use]
    pub fn admits(&self, entity_id: &str, now_ms: i64) -> bool {
        // u128, because all traffic is 2^64, one more than u64 holds.
        u128::from(self.seed.hash(entity_id)) < self.bound_at(now_ms)
    }

    fn bound_at(&self, now_ms: i64) -> u128 {
        let Some(ramp) = self.ramp else {
            return self.bound;
        };
        let elapsed = now_ms.saturating_sub(ramp.started_at_ms).clamp(0, ramp.period_ms);
        self.bound * u128::from(elapsed.unsigned_abs()) / u128::from(ramp.period_ms.unsigned_abs().max(1))
    }
}

#[derive(Clone, Copy, Debug)]
struct Arm {
    seed: Seed,
    weight: f64,
    /// One divided by `weight`, to find the smallest key by.
    share: f64,
    index: usize,
}

impl Arm {
    /// What the arm draws for the entity: above 0, at most 1.
    #[inline]
    fn uniform(&self, entity_id: &str) -> f64 {
        #[allow(clippy::cast_precision_loss)] // 53 bits fit
        let drawn = (self.seed.hash(entity_id) >> 11) as f64;
        (drawn + 0.5) * 2f64.powi(-53)
    }
}

/// Weighted rendezvous: every arm draws a key for the entity and the smallest key wins.
///
/// Source: Schindelhauer and Schomaker (2005), weighted distributed hash tables.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    arms: Vec<Arm>,
}

impl Rendezvous {
    /// Arms as (variant id, weight); arms of weight 0 are never chosen. Order changes nothing.
    #[must_use]
    pub fn new(salt: &str, arms: &[(&str, f64)]) -> Self {
        let mut by_id: Vec<(usize, &str, f64)> = arms
            .iter()
            .enumerate()
            .filter(|(_, (_, weight))| *weight > 0.0)
            .map(|(index, (id, weight))| (index, *id, *weight))
            .collect();
        // Equal keys, which only equal hashes give, go to the smaller id.
        by_id.sort_by(|left, right| left.1.cmp(right.1));
        let arms = by_id
            .into_iter()
            .map(|(index, id, weight)| Arm {
                seed: Seed::new(salt, &format!("variant/{id}")),
                weight,
                share: weight.recip(),
                index,
            })
            .collect();
        Self { arms }
    }

    /// Index of the entity's arm in the order given to [`Rendezvous::new`]. `None`: no arm has weight.
    ///
    /// Keys need a logarithm, which costs more than all else. A rough one leaves no doubt about the
    /// smallest key for all but about one entity in a hundred.
    #[inline]
    #[must_use]
    pub fn choose(&self, entity_id: &str) -> Option<usize> {
        let mut best: Option<usize> = None;
        // No key of the best arm is above the one, no key of any other arm is below the other.
        let (mut at_most, mut best_at_least, mut others_at_least) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        for arm in &self.arms {
            let rough = -logarithm::rough(arm.uniform(entity_id));
            let (lower, upper) =
                ((rough - logarithm::ROUGH_ERROR) * arm.share, (rough + logarithm::ROUGH_ERROR) * arm.share);
            if upper < at_most {
                others_at_least = others_at_least.min(best_at_least);
                (best, at_most, best_at_least) = (Some(arm.index), upper, lower);
            } else {
                others_at_least = others_at_least.min(lower);
            }
        }
        if at_most < others_at_least { best } else { self.choose_exactly(entity_id) }
    }

    /// The definition of [`Rendezvous::choose`].
    #[cold]
    fn choose_exactly(&self, entity_id: &str) -> Option<usize> {
        let mut best: Option<(f64, usize)> = None;
        for arm in &self.arms {
            // libm and not std: the same bits on every platform.
            let key = -libm::log(arm.uniform(entity_id)) / arm.weight;
            if best.is_none_or(|(smallest, _)| key < smallest) {
                best = Some((key, arm.index));
            }
        }
        best.map(|(_, index)| index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_ramp_never_removes_an_entity(
            entity in ".{1,20}", percentage in 0.0..=100.0, early in 0i64..2000, later in 0i64..2000,
        ) {
            let gate = TrafficGate::new("exp", percentage, Some(Ramp { started_at_ms: 500, period_ms: 1000 }));
            let (early, later) = (early.min(later), early.max(later));
            prop_assert!(!gate.admits(&entity, early) || gate.admits(&entity, later));
        }

        #[test]
        fn more_traffic_never_removes_an_entity(entity in ".{1,20}", low in 0.0..=100.0, high in 0.0..=100.0) {
            let admits = |percentage: f64| TrafficGate::new("exp", percentage, None).admits(&entity, 0);
            prop_assert!(!admits(f64::min(low, high)) || admits(f64::max(low, high)));
        }

        #[test]
        fn removing_an_arm_moves_only_its_entities(entity in ".{1,20}", removed in 0usize..3) {
            let arms = [("a", 20.0), ("b", 30.0), ("c", 50.0)];
            let before = Rendezvous::new("exp", &arms).choose(&entity).unwrap();
            prop_assume!(before != removed);
            let mut rest = arms.to_vec();
            rest.remove(removed);
            let after = Rendezvous::new("exp", &rest).choose(&entity).unwrap();
            prop_assert_eq!(arms[before].0, rest[after].0);
        }

        #[test]
        fn a_raised_weight_moves_entities_only_to_its_arm(entity in ".{1,20}", raised in 20.0..=100.0) {
            let before = Rendezvous::new("exp", &[("a", 20.0), ("b", 30.0)]).choose(&entity);
            let after = Rendezvous::new("exp", &[("a", raised), ("b", 30.0)]).choose(&entity);
            prop_assert!(after == before || after == Some(0));
        }

        #[test]
        fn the_order_of_arms_changes_nothing(entity in ".{1,20}") {
            let forth = Rendezvous::new("exp", &[("a", 20.0), ("b", 80.0)]).choose(&entity).unwrap();
            let back = Rendezvous::new("exp", &[("b", 80.0), ("a", 20.0)]).choose(&entity).unwrap();
            prop_assert_eq!(forth, 1 - back);
        }
    }

    proptest! {
        #[test]
        fn the_rough_way_chooses_what_the_exact_one_does(
            weights in proptest::collection::vec(prop_oneof![Just(0.0), Just(50.0), 1e-6..100.0], 1..6),
            salt in "[a-z]{1,8}",
            first in 0u32..1_000_000,
        ) {
            let names: Vec<String> = (0..weights.len()).map(|index| index.to_string()).collect();
            let arms: Vec<(&str, f64)> = names.iter().map(String::as_str).zip(weights).collect();
            let split = Rendezvous::new(&salt, &arms);
            for entity in (first..first + 1000).map(|index| format!("u{index}")) {
                prop_assert_eq!(split.choose_exactly(&entity), split.choose(&entity));
            }
        }
    }

    #[test]
    fn no_traffic_admits_nobody_and_all_traffic_everybody() {
        for entity in (0..10_000).map(|index| format!("entity-{index}")) {
            assert!(!TrafficGate::new("exp", 0.0, None).admits(&entity, 0));
            assert!(TrafficGate::new("exp", 100.0, None).admits(&entity, 0));
        }
    }

    #[test]
    fn without_weight_nobody_is_chosen() {
        assert_eq!(None, Rendezvous::new("exp", &[("a", 0.0)]).choose("entity"));
    }

    #[test]
    fn shares_follow_weights() {
        let split = Rendezvous::new("exp", &[("a", 10.0), ("b", 90.0)]);
        let first = (0..100_000).filter(|index| split.choose(&format!("u{index}")) == Some(0)).count();
        // Five standard deviations of a binomial of 100,000 at .1 are 474.
        assert!(first.abs_diff(10_000) < 474, "{first}");
    }
}
