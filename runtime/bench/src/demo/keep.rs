//! What to do with a stack that is left running.

use ticket_core::EventName;

use crate::crowd::token::{TOKEN_TTL_S, Tokens};
use crate::stack_env::StackEnv;

/// Commands to copy: the CLI, the API with a valid token, the end.
pub(super) fn how_to_go_on(env: &StackEnv, event: &EventName) -> anyhow::Result<String> {
    let token = Tokens::new(&env.jwt_secret).valid("you")?;
    let file = env.dir.join("env");
    let (file, api) = (file.display(), &env.api_url);
    let minutes = TOKEN_TTL_S / 60;
    let name = event.name();
    Ok(format!(
        "
The stack is left running. To go on:

  set -a; . {file}; set +a           # addresses and tokens into this shell
  target/debug/ticketctl events list
  target/debug/ticketctl stock {name} -w      # live stock
  target/debug/ticketctl audit {name}

Buy as a buyer (the token is good for {minutes} minutes; tickets are left where holds were not paid):

  TOKEN={token}
  curl -i {api}/v1/events/{event}
  curl -i {api}/v1/events/{event}/orders -H \"Authorization: Bearer $TOKEN\" \\
       -H 'Idempotency-Key: my-first-order' -H 'Content-Type: application/json' \\
       -d '{{\"category\":\"standing\",\"quantity\":1}}'

Stop it: make stack-down
"
    ))
}
