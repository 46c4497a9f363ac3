//! `POST /admin/v1/events/{event}/audit`: runs the audit of [`crate::audit`].

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ticket_admin::AuditReport;
use ticket_core::Code;
use ticket_telemetry::chain;
use tracing::warn;

use super::Admin;
use super::document::LookProblems;
use crate::audit::Auditor;
use crate::path::PathPart;
use crate::problem::Problem;

/// Holds no turn of the audits that go round by themselves.
const BY_HAND: &str = "by hand";

#[utoipa::path(post, path = "/admin/v1/events/{event}/audit", tag = "events", operation_id = "auditEvent",
    summary = "Does everything add up?",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")), security(("manager" = [])),
    responses((status = 200, description = "What was checked.", body = AuditReport), LookProblems))]
pub(super) async fn run(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
) -> Result<Json<AuditReport>, Problem> {
    let event = admin.event(&event).await?;
    let _turn = admin.audits.acquire().await.map_err(|_| Code::Internal)?;
    let parts = &admin.parts;
    let auditor = Auditor {
        ledger: &parts.ledger,
        stock: &parts.stock,
        kafka: &parts.kafka,
        bus: &parts.bus,
        prefix: &parts.prefix,
        provider: &*parts.provider,
    };
    let report = auditor.audit(&event).await;
    // The answer is the audit's, whether or not it could be kept.
    let noted = parts
        .ledger
        .note_audit(event.id(), BY_HAND, &report.failed())
        .await;
    if let Err(error) = noted {
        warn!(error = %chain(&error), code = error.code(), event = %event.name(), "what an audit found was not kept");
    }
    Ok(Json(report))
}
