use super::*;
use crate::proto::storage::v1::Arm;

fn identity(row: u32, event_id: &str) -> EventIdentity {
    EventIdentity { row, event_id: event_id.into(), supersedes: String::new() }
}

fn outcomes() -> OutcomeColumns {
    let name = |row, entity_type: &str, entity_id: &str| NamedEntity {
        row,
        entity_type: entity_type.into(),
        entity_id: entity_id.into(),
    };
    OutcomeColumns {
        events: vec!["cost".into(), "done".into()],
        event: vec![1, 0, 1],
        entity_ids: "äb".as_bytes().to_vec().into(),
        entity_id_lengths: vec![2, 0, 1],
        values: vec![1.0, 0.25, 0.0],
        delay_ms: vec![0, -5, 5],
        named: vec![name(1, "run", "r"), name(1, "user", "u")],
        targets: vec![Arm::default()],
        target: vec![0, 1, 0],
        identities: vec![identity(2, "e1")],
    }
}

#[test]
fn outcomes_come_row_by_row() {
    let columns = outcomes();
    let rows: Vec<_> = OutcomeRows::new(&columns).unwrap().iter().collect();

    let plain =
        OutcomeRow { event: 1, entity_id: "ä", named: &[], value: 1.0, delay_ms: 0, target: None, identity: None };
    let expected = [
        plain,
        OutcomeRow {
            event: 0,
            entity_id: "",
            named: &columns.named,
            value: 0.25,
            delay_ms: -5,
            target: Some(0),
            identity: None,
        },
        OutcomeRow { entity_id: "b", value: 0.0, delay_ms: 5, identity: columns.identities.first(), ..plain },
    ];
    assert_eq!(expected.as_slice(), rows);
}

#[test]
fn a_batch_in_which_no_row_names_a_target_has_none() {
    let columns = OutcomeColumns { target: vec![], targets: vec![], ..outcomes() };

    assert!(OutcomeRows::new(&columns).unwrap().iter().all(|row| row.target.is_none()));
}

#[test]
fn columns_that_are_no_rows_are_refused() {
    let whole = outcomes();
    let named = |row| vec![NamedEntity { row, ..NamedEntity::default() }];
    let length = |column, found| ColumnError::Length { column, found, expected: 3 };
    let identities = |row| ColumnError::Rows { column: "identities", row };
    let cases = [
        (OutcomeColumns { values: vec![1.0], ..whole.clone() }, length("values", 1)),
        (OutcomeColumns { delay_ms: vec![], ..whole.clone() }, length("delay_ms", 0)),
        (OutcomeColumns { target: vec![0], ..whole.clone() }, length("target", 1)),
        (OutcomeColumns { entity_id_lengths: vec![3], ..whole.clone() }, length("entity_id_lengths", 1)),
        (
            OutcomeColumns { event: vec![0, 2, 1], ..whole.clone() },
            ColumnError::Index { column: "event", found: 2, expected: 2 },
        ),
        (
            OutcomeColumns { target: vec![0, 2, 0], ..whole.clone() },
            ColumnError::Index { column: "target", found: 2, expected: 2 },
        ),
        (
            OutcomeColumns { values: vec![0.0, f64::NAN, 0.0], ..whole.clone() },
            ColumnError::Value { column: "values", row: 1 },
        ),
        (OutcomeColumns { named: named(3), ..whole.clone() }, ColumnError::Rows { column: "named", row: 3 }),
        (
            OutcomeColumns { named: [named(1), named(0)].concat(), ..whole.clone() },
            ColumnError::Rows { column: "named", row: 0 },
        ),
        (OutcomeColumns { identities: vec![identity(3, "e")], ..whole.clone() }, identities(3)),
        (OutcomeColumns { identities: vec![identity(1, "e"), identity(1, "f")], ..whole.clone() }, identities(1)),
        (OutcomeColumns { identities: vec![identity(1, "")], ..whole.clone() }, ColumnError::Identity { row: 1 }),
        // Inside of "ä", not UTF-8 at all, too few bytes, too many.
        (OutcomeColumns { entity_id_lengths: vec![1, 1, 1], ..whole.clone() }, ColumnError::Ids { row: 0 }),
        (OutcomeColumns { entity_ids: vec![b'a', b'b', 0xff].into(), ..whole.clone() }, ColumnError::Ids { row: 2 }),
        (OutcomeColumns { entity_id_lengths: vec![2, 0, 9], ..whole.clone() }, ColumnError::Ids { row: 2 }),
        (OutcomeColumns { entity_id_lengths: vec![2, 0, 0], ..whole.clone() }, ColumnError::Ids { row: 3 }),
    ];
    for (columns, expected) in cases {
        assert_eq!(Some(expected), OutcomeRows::new(&columns).err());
    }
}

#[test]
fn exposures_are_held_to_the_same_rules() {
    let whole = ExposureColumns {
        arms: vec![Arm::default()],
        arm: vec![0, 0],
        entity_ids: b"ab".to_vec().into(),
        entity_id_lengths: vec![1, 1],
        delay_ms: vec![3, 4],
        ..ExposureColumns::default()
    };
    let rows: Vec<_> = ExposureRows::new(&whole).unwrap().iter().collect();
    let row = |entity_id, delay_ms| ExposureRow { arm: 0, entity_id, delay_ms };

    assert_eq!(vec![row("a", 3), row("b", 4)], rows);
    for broken in [
        ExposureColumns { arm: vec![0, 1], ..whole.clone() },
        ExposureColumns { arm: vec![0], ..whole.clone() },
        ExposureColumns { delay_ms: vec![0], ..whole.clone() },
        ExposureColumns { entity_id_lengths: vec![1, 2], ..whole.clone() },
    ] {
        assert!(ExposureRows::new(&broken).is_err());
    }
}
