//! The OpenAPI document of the buyer API.

use std::sync::LazyLock;

use axum::response::IntoResponse;

use crate::openapi::{self, problem_sets};

/// What the document says of the whole.
const ABOUT: &str = "Orders for tickets. An order is accepted with 202 and decided a moment later: wait for it \
    (`Prefer: wait=N`), follow its event stream, or look again. Errors are problem documents (RFC 9457) with a stable \
    `code`. Repeat a request with the same `Idempotency-Key` after 429, 503 or no answer at all.";

/// Name of the security scheme.
const TOKEN: (&str, &str) = (
    "buyer",
    "A JSON Web Token whose `sub` is the buyer; `exp` is required.",
);

problem_sets! {
    /// Public reads.
    AnybodysProblems: TooManyRequests;
    /// Public reads of one thing.
    LookProblems: NotFound TooManyRequests;
    /// A new order.
    PlaceProblems: InvalidRequest Unauthenticated NotFound SoldOut BuyerLimit NoShardFits SaleNotOpen SalePaused SaleClosed
        PayloadTooLarge UnsupportedMediaType IdempotencyKeyReused TooManyRequests WarmingUp;
    /// Reading one's own order.
    OrderProblems: Unauthenticated NotFound TooManyRequests WarmingUp;
    /// Changing one's own order.
    WishProblems: Unauthenticated NotFound IllegalTransition TooManyRequests WarmingUp;
    /// The provider's news.
    WebhookProblems: InvalidRequest InvalidSignature NotFound PayloadTooLarge UnsupportedMediaType;
}

/// The document without operations; the router adds them.
pub(super) fn empty() -> utoipa::openapi::OpenApi {
    openapi::document("Ticket sales: buyer API", ABOUT, TOKEN)
}

/// The document as text: `runtime/openapi.json`.
#[must_use]
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| openapi::to_text(&super::routes().into_openapi()));
    &TEXT
}

/// `GET /openapi.json`
#[utoipa::path(get, path = "/openapi.json", tag = "platform", operation_id = "getDocument",
    summary = "This document",
    responses((status = 200, description = "OpenAPI", body = serde_json::Value, content_type = "application/json")))]
pub(crate) async fn get() -> impl IntoResponse {
    openapi::answer(text())
}
