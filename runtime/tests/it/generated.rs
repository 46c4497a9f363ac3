//! The OpenAPI documents in the repository are what the code serves. `make generate` writes them again.

use std::path::Path;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "UPDATE is the switch of this one test"
)]
fn the_openapi_documents_are_what_is_served() {
    let documents = [
        ("openapi.json", ticket_runtime::api::openapi()),
        ("admin/openapi.json", ticket_runtime::admin::openapi()),
    ];
    for (name, served) in documents {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var("UPDATE").is_ok() {
            std::fs::write(&path, served).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == served, "{name} is stale: make generate");
    }
}
