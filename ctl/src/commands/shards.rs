//! `ticketctl shards list`.

use ticket_admin::ShardsView;

use super::Ended;
use super::watch::{self, Lines, Rows};
use crate::cli::Watch;
use crate::clients::Clients;
use crate::exit::Exit;
use crate::output::{Document, Output, Table, known};

pub(crate) async fn list(flags: Watch, clients: &Clients, output: &mut Output<'_>) -> Ended {
    if flags.watch {
        return follow(clients, output).await;
    }
    let shards = clients.admin().await?.shards().await?;
    output.show(&Shards(shards))?;
    Ok(Exit::Ok)
}

async fn follow(clients: &Clients, output: &mut Output<'_>) -> Ended {
    let mut rows = Rows::new();
    watch::poll(
        clients,
        async |admin| admin.shards().await,
        |shards, output| rows.show(Shards(shards), output),
        output,
    )
    .await
}

struct Shards(ShardsView);

impl Document for Shards {
    type Object = ShardsView;

    fn object(&self) -> &ShardsView {
        &self.0
    }

    fn table(&self, is_wide: bool) -> String {
        format!("{}\n\n{}", self.nodes(), self.shards(is_wide))
    }

    fn names(&self) -> Vec<String> {
        self.0.nodes.iter().map(|node| node.name.clone()).collect()
    }
}

impl Lines for Shards {
    fn tables(&self, is_wide: bool) -> Vec<Table> {
        vec![self.nodes(), self.shards(is_wide)]
    }
}

impl Shards {
    fn nodes(&self) -> Table {
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
        nodes
    }

    fn shards(&self, is_wide: bool) -> Table {
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
        shards
    }
}
