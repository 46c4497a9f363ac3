//! `POST /admin/v1/events/{event}/audit`: runs the audit of [`crate::audit`].

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use ticket_admin::AuditReport;
use ticket_core::Code;

use super::Admin;
use crate::audit::Auditor;
use crate::problem::Problem;

pub(super) async fn run(
    State(admin): State<Arc<Admin>>,
    Path(event): Path<String>,
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
    Ok(Json(auditor.audit(&event).await))
}
