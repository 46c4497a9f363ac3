//! `POST /v1/webhooks/{provider}`: the signature is checked over the raw bytes, the event becomes a command, and 200 is said
//! only after Kafka has it. The provider repeats until then; the ledger drops repeats.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use metrics::counter;
use ticket_core::{Action, Code, Command, OrderCommand, OrderRef, clock};
use ticket_payments::signature;
use ticket_payments::{STRIPE, webhook};
use tracing::{info, warn};

use super::Api;
use super::body::{WEBHOOK_BYTES_MAX, read};
use super::document::WebhookProblems;
use crate::path::PathPart;
use crate::problem::Problem;

/// Takes a webhook.
#[utoipa::path(post, path = "/v1/webhooks/{provider}", tag = "payments", operation_id = "takeWebhook",
    summary = "News of a payment provider",
    params(
        ("provider" = String, Path, description = "`stripe`."),
        ("Stripe-Signature" = Option<String>, Header, description = "Time and signatures of the body. Without it nothing is taken."),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The provider's event."),
    responses((status = 200, description = "The news is written down."), WebhookProblems))]
pub(crate) async fn receive(
    State(api): State<Arc<Api>>,
    PathPart(provider): PathPart,
    request: Request,
) -> Result<StatusCode, Problem> {
    if provider != STRIPE {
        return Err(Problem::not_found("this provider"));
    }
    let result = api.webhook(request).await;
    let label = match &result {
        Ok(taken) => taken,
        Err(problem) => problem.code.as_str(),
    };
    counter!("ticket_webhooks_total", "provider" => STRIPE, "result" => label).increment(1);
    result.map(|_| StatusCode::OK)
}

impl Api {
    async fn webhook(&self, request: Request) -> Result<&'static str, Problem> {
        let header = request.headers().get(signature::HEADER).cloned();
        let body = read(request, WEBHOOK_BYTES_MAX).await?;
        let header = header
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let now = clock::now();
        self.webhook_secrets
            .with(|secrets| signature::verify(secrets, header, &body, now))
            .map_err(|error| Problem::new(Code::InvalidSignature, error.to_string()))?;
        let event = webhook::parse(&body)
            .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
        // Somebody else's payment at the same provider, or news that names no order.
        let Some(order) = event.order else {
            return Ok("no-order");
        };
        let Some(action) = event.kind.action() else {
            return Ok(event.kind.label());
        };
        self.tell(order, event.at, action).await?;
        Ok(event.kind.label())
    }

    async fn tell(&self, id: OrderRef, at: jiff::Timestamp, action: Action) -> Result<(), Problem> {
        let mut shard = self.shard(id.shard);
        if shard.is_err() {
            // A sale that is gone, or younger than our last look.
            let refreshed = self.catalog.refresh().await;
            refreshed.map_err(|_| Problem::unavailable("the ledger"))?;
            shard = self.shard(id.shard);
        }
        let shard = shard.inspect_err(|_| warn!(order = %id, "webhook for an unknown event"))?;
        info!(order = %id, verb = ?action.verb(), "webhook taken");
        let command = OrderCommand {
            order: id.order,
            shard: id.shard,
            at,
            action,
        };
        self.write(&shard, &Command::Order(command))
            .await
            .map(|_| ())
    }
}
