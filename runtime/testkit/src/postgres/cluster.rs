//! Makes three PostgreSQL servers one Citus cluster: the extension in the administrators' database of each, and the nodes
//! made known there. Databases made later copy what they find there.

use sqlx::PgConnection;

use super::database::{Node, close, connect, execute, parse};
use crate::error::Result;

/// Joins coordinator and workers in the database of `admin_url`. Repeating it changes nothing.
pub(super) async fn join(admin_url: &str, worker_ports: &[u16]) -> Result<()> {
    let admin = parse(admin_url)?;
    for port in worker_ports {
        let mut worker = connect(&admin.clone().port(*port)).await?;
        make_extension(&mut worker).await?;
        close(worker).await;
    }
    let mut coordinator = connect(&admin).await?;
    make_extension(&mut coordinator).await?;
    Node::local(admin.get_port(), true)
        .join(&mut coordinator)
        .await?;
    for port in worker_ports {
        Node::local(*port, false).join(&mut coordinator).await?;
    }
    close(coordinator).await;
    Ok(())
}

async fn make_extension(connection: &mut PgConnection) -> Result<()> {
    execute(
        connection,
        "CREATE EXTENSION IF NOT EXISTS citus",
        "create the extension",
    )
    .await
}
