//! `POST /v1/webhooks/{provider}`: the signature is checked over the raw bytes, the event becomes a command, and 200 is said
//! only after Kafka has it. The provider repeats until then, and for days. No inbox remembers which events were seen: the
//! command that follows from an event is the same for every repeat and does nothing the second time, in whatever order they
//! come, and the ledger's row of the order is what survives a restart. An inbox would be one more write per webhook that
//! can only be wrong when it and the log disagree.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use metrics::counter;
use ticket_core::{Action, Code, Command, ErrorClass, OrderCommand, OrderRef, clock};
use ticket_payments::STRIPE;
use ticket_payments::signature;
use ticket_payments::webhook::{self, ProviderEvent};
use ticket_telemetry::chain;
use tracing::{error, info, warn};

use super::Api;
use super::document::WebhookProblems;
use crate::body::{WEBHOOK_BYTES_MAX, read};
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
        let Some(action) = event.kind.action() else {
            return Ok(event.kind.label());
        };
        // Somebody else's payment at the same provider.
        let Some(order) = self.order_behind(&event).await? else {
            return Ok("no-order");
        };
        match self.tell(order, event.at, action).await {
            // The sale was deleted: nobody is left to tell, and repeats would change nothing about it.
            Err(problem) if problem.code == Code::NotFound => Ok("no-event"),
            told => told.map(|()| event.kind.label()),
        }
    }

    /// The order that an event is about. Fraud warnings and disputes name only the payment.
    async fn order_behind(&self, event: &ProviderEvent) -> Result<Option<OrderRef>, Problem> {
        if event.order.is_some() || event.payment_id.is_none() {
            return Ok(event.order);
        }
        let Some(provider) = &self.provider else {
            error!(
                event = event.id,
                kind = event.kind.label(),
                "webhook needs TICKET_PAYMENTS_URL"
            );
            return Err(Problem::unavailable("the payment provider"));
        };
        match webhook::order_behind(event, &**provider).await {
            Ok(order) => Ok(order),
            // A payment that the provider does not know is nobody's.
            Err(error) if error.class() == ErrorClass::Permanent => Ok(None),
            Err(error) => {
                warn!(error = %chain(&error), code = error.code(), event = event.id, "webhook's order not found");
                Err(Problem::unavailable("the payment provider"))
            }
        }
    }

    async fn tell(&self, id: OrderRef, at: jiff::Timestamp, action: Action) -> Result<(), Problem> {
        let mut shard = self.shard(id.shard);
        if shard.is_err() {
            // A sale that is gone, or younger than our last look.
            let refreshed = self.catalog.refresh().await;
            refreshed.map_err(|_| Problem::unavailable("the ledger"))?;
            shard = self.shard(id.shard);
        }
        let shard = shard.map_err(|_| {
            warn!(order = %id, "webhook for an unknown event");
            Problem::not_found("this event")
        })?;
        info!(order = %id, verb = ?action.verb(), "webhook taken");
        let command = OrderCommand {
            order: id.order,
            shard: id.shard,
            at,
            action,
        };
        self.window.join().await;
        self.write(&shard, &Command::Order(command))
            .await
            .map(|_| ())
    }
}
