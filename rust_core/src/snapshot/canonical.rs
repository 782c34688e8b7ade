//! The one way to write what an author may write in several.

use prost::Message;
use xxhash_rust::xxh64::xxh64;

use crate::proto::v1;
use crate::snapshot::DEFAULT_NAMESPACE;

/// `definition` as it is stored: one control, output-only marks of variants set, namespace named.
///
/// A control repeated among the variants with the same content is dropped; one with other content
/// stays, for the rules to refuse.
#[must_use]
pub fn canonical(mut definition: v1::Experiment) -> v1::Experiment {
    if definition.namespace.is_empty() {
        definition.namespace.push_str(DEFAULT_NAMESPACE);
    }
    if let Some(control) = &mut definition.control {
        mark(control, true);
    }
    let control = definition.control.clone();
    definition.variants.retain(|variant| {
        let mut as_control = variant.clone();
        mark(&mut as_control, true);
        Some(&as_control) != control.as_ref()
    });
    for variant in &mut definition.variants {
        mark(variant, false);
    }
    definition
}

fn mark(variant: &mut v1::Variant, is_control: bool) {
    variant.is_control = is_control;
    variant.config_digest = variant.config.as_ref().map_or(0, |config| xxh64(&config.encode_to_vec(), 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(id: &str, name: &str) -> v1::Variant {
        v1::Variant { id: id.to_owned(), name: name.to_owned(), ..v1::Variant::default() }
    }

    #[test]
    fn only_an_exact_copy_of_the_control_is_dropped() {
        let stored = canonical(v1::Experiment {
            control: Some(variant("a", "")),
            variants: vec![variant("a", ""), variant("a", "other"), variant("b", "")],
            ..v1::Experiment::default()
        });

        assert_eq!(vec!["other", ""], stored.variants.iter().map(|variant| &variant.name).collect::<Vec<_>>());
        assert!(stored.control.unwrap().is_control);
        assert_eq!("default", stored.namespace);
    }
}
