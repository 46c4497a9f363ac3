//! Who may do what: two bearer tokens, two roles. Every call of a manager leaves a line in the log: who, what, from where,
//! with which result.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use ticket_core::Code;
use ticket_telemetry::settings::Live;
use tracing::info;

use super::Admin;
use crate::problem::Problem;

/// What a token allows. A manager may do all that a viewer may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Look.
    Viewer,
    /// Look and act.
    Manager,
}

impl Role {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Manager => "manager",
        }
    }
}

/// The tokens that open the admin API.
pub(super) struct Tokens {
    manager: Live<SecretString>,
    viewer: Live<SecretString>,
}

impl Tokens {
    pub(super) const fn new(manager: Live<SecretString>, viewer: Live<SecretString>) -> Self {
        Self { manager, viewer }
    }

    fn role(&self, token: &str) -> Option<Role> {
        let is = |secret: &Live<SecretString>| {
            secret.with(|secret| is_same(token, secret.expose_secret()))
        };
        if is(&self.manager) {
            return Some(Role::Manager);
        }
        is(&self.viewer).then_some(Role::Viewer)
    }
}

/// Compares without telling by its time how much of a guess was right. An empty secret opens nothing.
fn is_same(given: &str, secret: &str) -> bool {
    let (given, secret) = (given.as_bytes(), secret.as_bytes());
    if secret.is_empty() || given.len() != secret.len() {
        return false;
    }
    let difference = given
        .iter()
        .zip(secret)
        .fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Lets viewers and managers through.
pub(super) async fn viewer(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Response {
    match role_of(&admin.tokens, &request) {
        Ok(role) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Lets managers through, and writes down what they did. Refused calls are written down too.
pub(super) async fn manager(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Response {
    let role = role_of(&admin.tokens, &request);
    let who = role.as_ref().map_or("nobody", |role| role.as_str());
    let from = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|peer| peer.0.ip());
    let from = from.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match role {
        Ok(role @ Role::Manager) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
        Ok(Role::Viewer) => {
            let detail = "this needs a token with the role manager, yours is viewer";
            Problem::new(Code::Forbidden, detail).into_response()
        }
        Err(problem) => problem.into_response(),
    };
    let status = response.status().as_u16();
    info!(target: "ticket_runtime::audit_log", who, %method, path, from, status, "manager call");
    response
}

fn role_of(tokens: &Tokens, request: &Request) -> Result<Role, Problem> {
    let given = request.headers().get(header::AUTHORIZATION);
    let Some(given) = given.and_then(|value| value.to_str().ok()) else {
        return Err(Problem::new(
            Code::Unauthenticated,
            "Authorization: the header is required",
        ));
    };
    let token = given
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else {
        return Err(Problem::new(
            Code::Unauthenticated,
            "Authorization: expected Bearer <token>",
        ));
    };
    let unknown = || Problem::new(Code::Unauthenticated, "the token is not known");
    tokens.role(token.trim()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn live(token: &str) -> Live<SecretString> {
        Live::new(SecretString::from(token))
    }

    fn asked(authorization: Option<&str>) -> Result<Role, Code> {
        let tokens = Tokens::new(live("boss"), live("look"));
        let mut request = Request::get("/");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        role_of(&tokens, &request.body(Body::empty()).unwrap()).map_err(|problem| problem.code)
    }

    #[test]
    fn each_token_has_its_role_and_everything_else_has_none() {
        assert_eq!(asked(Some("Bearer boss")), Ok(Role::Manager));
        assert_eq!(asked(Some("bearer look")), Ok(Role::Viewer));
        for wrong in [
            None,
            Some("boss"),
            Some("Basic boss"),
            Some("Bearer bos"),
            Some("Bearer "),
        ] {
            assert_eq!(asked(wrong), Err(Code::Unauthenticated), "{wrong:?}");
        }
        assert!(Role::Viewer < Role::Manager);
    }

    #[test]
    fn an_empty_secret_opens_nothing() {
        let tokens = Tokens::new(live(""), live(""));
        assert_eq!(tokens.role(""), None);
    }
}
