//! The variant of each entity's first exposure.

use super::Tally;

impl Tally {
    /// Variants of an iteration as its plan orders them; `None` if the journal has no start of it.
    #[must_use]
    pub fn variant_ids(&self, namespace: &str, experiment_id: &str, number: i64) -> Option<Vec<String>> {
        self.plans.find(namespace, experiment_id, number).map(|(_, iteration)| iteration.plan.variant_ids.clone())
    }

    /// Calls `visit` with the hash of each entity of an iteration in one shard, and with the variant of its
    /// first exposure as an index in the plan.
    pub fn firsts(
        &self,
        namespace: &str,
        experiment_id: &str,
        number: i64,
        shard: usize,
        mut visit: impl FnMut(u64, u32),
    ) {
        let Some((index, iteration)) = self.plans.find(namespace, experiment_id, number) else { return };
        let Some(shard) = self.shards.get(shard) else { return };
        for entity in &shard.index {
            let mut link = entity.head;
            while let Some(members) = shard.members(link.iteration as usize) {
                if link.iteration as usize == index {
                    let row = members.rows.get(link.row as usize);
                    if let Some(arm) = row.and_then(|row| iteration.arms.get(row.arm as usize)) {
                        visit(entity.key, arm.variant);
                    }
                    break;
                }
                link = members.next(link.row);
            }
        }
    }
}
