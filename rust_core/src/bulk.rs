//! Many entities against one experiment: variants by position, without an exposure of anybody.

use std::collections::BTreeMap;

use crate::decide::{Prior, Priors, Who, decide};
use crate::snapshot::experiment::CompiledExperiment;
use crate::snapshot::sticky::Sticky;

/// What many entities get, in the order in which they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Position of each variant: 0 is the control, then the variants of the definition.
    pub variants: Vec<u32>,
    /// `DecisionReason` of each decision.
    pub reasons: Vec<u8>,
}

/// Ids in one piece of text, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// All of them, without anything between.
    pub text: &'a str,
    /// Where each begins in `text`, and where the last one ends: rising, one more than there are ids.
    pub offsets: &'a [usize],
}

impl<'a> Ids<'a> {
    /// `None`: an id begins or ends outside the text, or inside a character, or before it begins.
    fn iter(self) -> impl Iterator<Item = Option<&'a str>> {
        self.offsets.windows(2).map(move |pair| match pair {
            [start, end] => self.text.get(*start..*end),
            _ => None,
        })
    }
}

/// What is known without exposures: who had another variant before the weights changed is not.
struct Unexposed;

impl Priors for Unexposed {
    fn first(&self, experiment: &CompiledExperiment, _: &str) -> Prior {
        if experiment.sticky == Sticky::Changed { Prior::Unknown } else { Prior::None }
    }
}

/// Decides `experiment` for every id at `now_ms` (Unix milliseconds); `None` if the offsets do not fit the text.
#[must_use]
pub fn choose(experiment: &CompiledExperiment, ids: Ids<'_>, now_ms: i64) -> Option<Choices> {
    let none = BTreeMap::new();
    let count = ids.offsets.len().saturating_sub(1);
    let mut found = Choices { variants: Vec::with_capacity(count), reasons: Vec::with_capacity(count) };
    for id in ids.iter() {
        let decision = decide(experiment, Who { entity_id: id?, entities: &none }, now_ms, &Unexposed);
        found.variants.push(experiment.index_of(decision.variant));
        // Reasons are few and far below 256.
        found.reasons.push(u8::try_from(decision.reason as i32).unwrap_or_default());
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Experiment, ExperimentStatus, ExperimentType, Snapshot, Variant};
    use crate::snapshot::canonical::canonical;

    fn compiled() -> crate::snapshot::Snapshot {
        let variant = |id: &str| Variant { id: id.to_owned(), ..Variant::default() };
        let definition = canonical(Experiment {
            id: "exp".to_owned(),
            r#type: ExperimentType::AbTest.into(),
            status: ExperimentStatus::Running.into(),
            iteration: 1,
            control: Some(variant("z")),
            variants: vec![variant("b"), variant("a")],
            ..Experiment::default()
        });
        crate::snapshot::Snapshot::compile(&Snapshot { experiments: vec![definition], ..Snapshot::default() }).unwrap()
    }

    #[test]
    fn many_decisions_are_those_of_one_after_the_other() {
        let snapshot = compiled();
        let experiment = snapshot.experiment("", "exp").unwrap();
        let names: Vec<String> =
            ["", "é", "user-1"].map(str::to_owned).into_iter().chain((0..500).map(|n| n.to_string())).collect();
        let text = names.concat();
        let mut offsets = vec![0];
        offsets.extend(names.iter().scan(0, |end, name| {
            *end += name.len();
            Some(*end)
        }));

        let found = choose(experiment, Ids { text: &text, offsets: &offsets }, 0).unwrap();

        let none = BTreeMap::new();
        let ids = ["z", "b", "a"];
        for (index, name) in names.iter().enumerate() {
            let decision = decide(experiment, Who { entity_id: name, entities: &none }, 0, &Unexposed);
            assert_eq!(decision.variant_id(), ids[found.variants[index] as usize]);
            assert_eq!(decision.reason as i32, i32::from(found.reasons[index]));
        }
    }

    #[test]
    fn offsets_that_do_not_fit_are_refused() {
        let snapshot = compiled();
        let experiment = snapshot.experiment("", "exp").unwrap();
        for offsets in [&[0, 3][..], &[1, 0], &[0, 1]] {
            assert_eq!(None, choose(experiment, Ids { text: "é", offsets }, 0));
        }
        assert_eq!(Some(Choices::default()), choose(experiment, Ids { text: "é", offsets: &[] }, 0));
    }
}
