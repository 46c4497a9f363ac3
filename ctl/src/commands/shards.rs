//! `ticketctl shards list`.

use ticket_admin::ShardsView;

use super::Ended;
use crate::clients::Clients;
use crate::exit::Exit;
use crate::output::{Document, Output, Table, known};

pub(crate) async fn list(clients: &Clients, output: &mut Output<'_>) -> Ended {
    let shards = clients.admin().await?.shards().await?;
    output.show(&Shards(shards))?;
    Ok(Exit::Ok)
}

struct Shards(ShardsView);

impl Document for Shards {
    type Object = ShardsView;

    fn object(&self) -> &ShardsView {
        &self.0
    }

    fn table(&self, is_wide: bool) -> String {
        let mut nodes = Table::new(&["NODE", "ROLE", "ALIVE", "BYTES"]);
        for node in &self.0.nodes {
            let alive = if node.alive { "yes" } else { "NO" };
            nodes.row([
                node.name.clone(),
                node.role.clone(),
                alive.to_owned(),
                known(node.bytes),
            ]);
        }
        let mut shards = Table::new(&["CITUS-SHARD", "NODE", "LANE", "BYTES", "STOCK-SHARDS"]);
        for shard in &self.0.shards {
            if !is_wide && shard.stock_shard_ids.is_empty() {
                continue;
            }
            let ids: Vec<String> = shard.stock_shard_ids.iter().map(i64::to_string).collect();
            shards.row([
                shard.citus_shard.to_string(),
                shard.node.clone(),
                if shard.lane { "yes" } else { "no" }.to_owned(),
                known(shard.bytes),
                ids.join(","),
            ]);
        }
        format!("{nodes}\n\n{shards}")
    }

    fn names(&self) -> Vec<String> {
        self.0.nodes.iter().map(|node| node.name.clone()).collect()
    }
}
