//! What the admin API has no stream of is asked for again and again.

use std::time::Duration;

use ticket_admin::{AdminClient, AdminError};

use super::Silence;
use crate::clients::Clients;
use crate::commands::Ended;
use crate::exit::Failure;
use crate::output::Output;

/// Time between two questions, the same as the cockpit's for what is large: the sizes of all shards or a page of a thousand
/// orders are not asked for more often by everybody who looks.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Hands each answer to `show`, which knows what was shown before. The first question must find an answer.
pub(crate) async fn poll<T>(
    clients: &Clients,
    ask: impl AsyncFn(AdminClient) -> Result<T, AdminError>,
    mut show: impl FnMut(T, &mut Output<'_>) -> Result<(), Failure>,
    output: &mut Output<'_>,
) -> Ended {
    show(ask(clients.admin().await?).await?, output)?;
    let mut silence = Silence::default();
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        // A client each time: its token may have to be renewed.
        match ask(clients.admin().await?).await {
            Ok(answer) => {
                silence.end();
                show(answer, output)?;
            }
            Err(error) => silence.bear(error, output)?,
        }
    }
}
