//! Databases on a server that runs, ours or anybody's. Works alike on plain PostgreSQL and on Citus: a database of a Citus
//! cluster has to be made on every node, with the extension, and its nodes have to be named once more.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

use crate::error::{Result, TestkitError};

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Makes database `name` on the server of `admin_url` (any database of it) and answers with its address. On Citus it is
/// made on every node that the database of `admin_url` knows.
pub async fn create_database(admin_url: &str, name: &str) -> Result<String> {
    let admin = parse(admin_url)?;
    let mut coordinator = connect(&admin).await?;
    let nodes = nodes(&mut coordinator).await?;
    one_at_a_time(&mut coordinator, &nodes).await?;
    // template0: nobody can be connected to it, so that databases can be made at the same time.
    let create = format!("CREATE DATABASE {} TEMPLATE template0", quoted(name));
    execute(&mut coordinator, &create, "create a database").await?;
    for node in nodes.iter().filter(|node| !node.is_coordinator) {
        let mut worker = connect(&node.options(&admin)).await?;
        execute(&mut worker, &create, "create a database on a worker").await?;
        close(worker).await;
        let mut worker = connect(&node.options(&admin).database(name)).await?;
        execute(
            &mut worker,
            "CREATE EXTENSION citus",
            "create the extension on a worker",
        )
        .await?;
        close(worker).await;
    }
    let options = admin.clone().database(name);
    if !nodes.is_empty() {
        let mut new = connect(&options).await?;
        execute(&mut new, "CREATE EXTENSION citus", "create the extension").await?;
        for node in &nodes {
            node.join(&mut new).await?;
        }
        close(new).await;
    }
    // Ends the lock, too.
    close(coordinator).await;
    Ok(options.to_url_lossy().to_string())
}

/// Drops database `name` on the server of `admin_url`, and whoever is connected to it; on Citus on every node.
pub async fn drop_database(admin_url: &str, name: &str) -> Result<()> {
    let admin = parse(admin_url)?;
    let mut coordinator = connect(&admin).await?;
    let nodes = nodes(&mut coordinator).await?;
    one_at_a_time(&mut coordinator, &nodes).await?;
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
    execute(&mut coordinator, &drop, "drop a database").await?;
    for node in nodes.iter().filter(|node| !node.is_coordinator) {
        let mut worker = connect(&node.options(&admin)).await?;
        execute(&mut worker, &drop, "drop a database on a worker").await?;
        close(worker).await;
    }
    close(coordinator).await;
    Ok(())
}

/// Waits for its turn, until the connection is closed. Nodes that join two databases at the same time fail with `tuple
/// concurrently updated`: what a node knows of roles and settings is shared by all databases of a server.
async fn one_at_a_time(coordinator: &mut PgConnection, nodes: &[Node]) -> Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    execute(
        coordinator,
        "SELECT pg_advisory_lock(20261122)",
        "wait for other databases",
    )
    .await
}

/// Databases whose name begins with `prefix`.
pub(crate) async fn databases(admin_url: &str, prefix: &str) -> Result<Vec<String>> {
    let mut connection = connect(&parse(admin_url)?).await?;
    let rows = sqlx::query("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
        .bind(prefix)
        .fetch_all(&mut connection)
        .await
        .map_err(|cause| failed("list the databases", cause))?;
    close(connection).await;
    rows.iter()
        .map(|row| {
            row.try_get(0)
                .map_err(|cause| failed("read a database's name", cause))
        })
        .collect()
}

/// Fine if the server answers and its data lie in `data`.
pub(super) async fn answers(url: String, data: PathBuf) -> std::result::Result<(), String> {
    let words = |error: TestkitError| error.with_causes();
    let mut connection = connect(&parse(&url).map_err(words)?).await.map_err(words)?;
    let row = sqlx::query("SELECT current_setting('data_directory')")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| error.to_string())?;
    close(connection).await;
    let said: String = row.try_get(0).map_err(|error| error.to_string())?;
    if data.as_os_str() == said.as_str() {
        Ok(())
    } else {
        Err(format!(
            "another PostgreSQL answers on this port, with its data in {said}"
        ))
    }
}

/// A node of a Citus cluster, as the coordinator knows it.
pub(super) struct Node {
    host: String,
    port: u16,
    is_coordinator: bool,
}

impl Node {
    pub(super) fn local(port: u16, is_coordinator: bool) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            is_coordinator,
        }
    }

    fn options(&self, admin: &PgConnectOptions) -> PgConnectOptions {
        admin.clone().host(&self.host).port(self.port)
    }

    /// Tells the database of `coordinator` of this node.
    pub(super) async fn join(&self, coordinator: &mut PgConnection) -> Result<()> {
        let statement = if self.is_coordinator {
            "SELECT citus_set_coordinator_host($1, $2)"
        } else {
            "SELECT citus_add_node($1, $2)"
        };
        sqlx::query(statement)
            .bind(&self.host)
            .bind(i32::from(self.port))
            .execute(coordinator)
            .await
            .map(drop)
            .map_err(|cause| failed("add a Citus node", cause))
    }
}

/// The nodes of a Citus cluster, the coordinator first; none on plain PostgreSQL.
async fn nodes(connection: &mut PgConnection) -> Result<Vec<Node>> {
    if !has_citus(connection).await? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT nodename, nodeport, groupid = 0 FROM pg_dist_node ORDER BY groupid, nodeid",
    )
    .fetch_all(connection)
    .await
    .map_err(|cause| failed("list the Citus nodes", cause))?;
    rows.iter()
        .map(|row| {
            let port: i32 = row.try_get(1)?;
            Ok(Node {
                host: row.try_get(0)?,
                port: u16::try_from(port).map_err(|error| sqlx::Error::Decode(error.into()))?,
                is_coordinator: row.try_get(2)?,
            })
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(|cause| failed("read the Citus nodes", cause))
}

async fn has_citus(connection: &mut PgConnection) -> Result<bool> {
    sqlx::query("SELECT 1 FROM pg_extension WHERE extname = 'citus'")
        .fetch_optional(connection)
        .await
        .map(|row| row.is_some())
        .map_err(|cause| failed("look for Citus", cause))
}

pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let connecting = tokio::time::timeout(CONNECT_LIMIT, options.connect());
    let slow = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    connecting
        .await
        .unwrap_or_else(|_| Err(slow()))
        .map_err(|cause| failed("connect to PostgreSQL", cause))
}

/// Says goodbye, so that the server does not log a lost connection.
pub(super) async fn close(connection: PgConnection) {
    drop(connection.close().await);
}

pub(super) async fn execute(
    connection: &mut PgConnection,
    statement: &str,
    action: &str,
) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a database's name cannot be a parameter; it is quoted, and tests chose it"
    )]
    let statement = sqlx::AssertSqlSafe(statement);
    sqlx::raw_sql(statement)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|cause| failed(action, cause))
}

pub(super) fn parse(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|cause| failed("read a database address", cause))?;
    Ok(options.disable_statement_logging())
}

fn failed(action: &str, cause: sqlx::Error) -> TestkitError {
    TestkitError::Database {
        action: action.to_owned(),
        cause,
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_name_cannot_end_its_quotes() {
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
    }
}
