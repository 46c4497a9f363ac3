//! The OpenAPI document of the admin API.

use std::sync::LazyLock;

use axum::response::IntoResponse;

use crate::openapi::{self, problem_sets};

/// What the document says of the whole.
const ABOUT: &str = "What event managers look at, and the few things that they do. Viewers look, managers also act; every \
    call of a manager is written down. Errors are problem documents (RFC 9457) with a stable `code`.";

/// Name of the security scheme.
const TOKEN: (&str, &str) = (
    "manager",
    "A token with the role `viewer` or `manager`: one of the settings, or a JSON Web Token for the audience `ticket-admin`.",
);

problem_sets! {
    /// Looking at what is always there.
    ViewProblems: Unauthenticated Forbidden;
    /// Looking at one thing.
    LookProblems: Unauthenticated Forbidden NotFound;
    /// Listing orders.
    ListProblems: InvalidRequest Unauthenticated Forbidden NotFound;
    /// Acting on the warm-up lock.
    LockProblems: InvalidRequest Unauthenticated Forbidden NotFound SaleClosed WarmupLocked PayloadTooLarge
        UnsupportedMediaType;
    /// Acting on an order.
    WishProblems: Unauthenticated Forbidden NotFound IllegalTransition;
}

/// The document without operations; the router adds them.
pub(super) fn empty() -> utoipa::openapi::OpenApi {
    openapi::document("Ticket sales: admin API", ABOUT, TOKEN)
}

/// The document as text: `runtime/admin/openapi.json`.
#[must_use]
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let (viewers, managers) = (super::viewers(), super::managers());
        openapi::to_text(&viewers.merge(managers).into_openapi())
    });
    &TEXT
}

/// `GET /openapi.json`
pub(super) async fn get() -> impl IntoResponse {
    openapi::answer(text())
}
