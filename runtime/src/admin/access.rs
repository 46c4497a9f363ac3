//! Who may do what: two static tokens, and the tokens of an issuer (a cluster's service accounts, people's single sign-on)
//! whose users and groups the settings map to the two roles. Every call of a manager leaves a line in the log: who, what,
//! from where, with which result.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use ticket_core::Code;
use ticket_telemetry::settings::Live;
use tracing::info;

use super::{Admin, AdminParts};
use crate::jwks::{TokenFault, Verifier};
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

/// Whoever a token was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// `static:manager`, or the user that the issuer names.
    pub(super) who: String,
    /// None: known, and nobody gave him a role.
    pub(super) role: Option<Role>,
}

/// Who calls, for handlers that write it down.
#[derive(Debug, Clone)]
pub(super) struct Who(pub(super) String);

/// The tokens that open the admin API.
pub(super) struct Tokens {
    manager: Live<SecretString>,
    viewer: Live<SecretString>,
    issued: Option<Issued>,
}

/// Tokens of an issuer.
struct Issued {
    verifier: Verifier,
    managers: Vec<String>,
    viewers: Vec<String>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    groups: Vec<String>,
}

impl Tokens {
    pub(super) fn new(parts: &AdminParts) -> Self {
        let settings = &parts.settings;
        let (issuer, audience) = (&settings.admin_issuer, &settings.admin_audience);
        let by_issuer = parts.keys.clone().map(|keys| Issued {
            verifier: Verifier::new(keys, Some(issuer), Some(audience)),
            managers: settings.admin_managers.clone(),
            viewers: settings.admin_viewers.clone(),
        });
        Self {
            manager: parts.manager_token.clone(),
            viewer: parts.viewer_token.clone(),
            issued: by_issuer,
        }
    }

    async fn caller(&self, token: &str) -> Result<Caller, Problem> {
        if let Some(role) = self.role_of_static(token) {
            return Ok(Caller {
                who: format!("static:{}", role.as_str()),
                role: Some(role),
            });
        }
        let unknown = || Problem::new(Code::Unauthenticated, "the token is not known");
        let issued = self.issued.as_ref().ok_or_else(unknown)?;
        match issued.verifier.claims::<Claims>(token).await {
            Ok(claims) => Ok(issued.caller(claims)),
            Err(TokenFault::NoKeys) => Err(Problem::unavailable("the issuer of tokens")),
            Err(fault @ TokenFault::Invalid(_)) => {
                Err(Problem::new(Code::Unauthenticated, fault.to_string()))
            }
        }
    }

    fn role_of_static(&self, token: &str) -> Option<Role> {
        let is = |secret: &Live<SecretString>| {
            secret.with(|secret| is_same(token, secret.expose_secret()))
        };
        if is(&self.manager) {
            return Some(Role::Manager);
        }
        is(&self.viewer).then_some(Role::Viewer)
    }
}

impl Issued {
    fn caller(&self, claims: Claims) -> Caller {
        let Claims { sub, mut groups } = claims;
        // What Kubernetes itself derives from the name of a service account.
        let account = sub.strip_prefix("system:serviceaccount:");
        if let Some((namespace, _name)) = account.and_then(|account| account.split_once(':')) {
            groups.push("system:serviceaccounts".to_owned());
            groups.push(format!("system:serviceaccounts:{namespace}"));
        }
        let is_in = |names: &[String]| {
            names
                .iter()
                .any(|name| *name == sub || groups.contains(name))
        };
        let role = if is_in(&self.managers) {
            Some(Role::Manager)
        } else {
            is_in(&self.viewers).then_some(Role::Viewer)
        };
        Caller { who: sub, role }
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
    let allowed = caller(&admin.tokens, request.headers())
        .await
        .and_then(|caller| need(&caller, Role::Viewer));
    match allowed {
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
    let caller = caller(&admin.tokens, request.headers()).await;
    let who = caller
        .as_ref()
        .map_or_else(|_| "nobody".to_owned(), |caller| caller.who.clone());
    request.extensions_mut().insert(Who(who.clone()));
    let from = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|peer| peer.0.ip());
    let from = from.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match caller.and_then(|caller| need(&caller, Role::Manager)) {
        Ok(role) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let status = response.status().as_u16();
    let problem = response.extensions().get::<Problem>();
    let result = problem.map_or("ok", |problem| problem.code.as_str());
    info!(target: "ticket_runtime::audit_log", who, %method, path, from, status, result, "manager call");
    response
}

fn need(caller: &Caller, needed: Role) -> Result<Role, Problem> {
    match caller.role {
        Some(role) if role >= needed => Ok(role),
        other => {
            let has = other.map_or("none", Role::as_str);
            let (who, needed) = (&caller.who, needed.as_str());
            let detail =
                format!("this needs a token with the role {needed}; {who} has the role {has}");
            Err(Problem::new(Code::Forbidden, detail))
        }
    }
}

async fn caller(tokens: &Tokens, headers: &HeaderMap) -> Result<Caller, Problem> {
    let given = headers.get(header::AUTHORIZATION);
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
    tokens.caller(token.trim()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(manager: &str) -> Tokens {
        let live = |token: &str| Live::new(SecretString::from(token));
        Tokens {
            manager: live(manager),
            viewer: live("look"),
            issued: None,
        }
    }

    async fn asked(authorization: Option<&str>) -> Result<Option<Role>, Code> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let caller = caller(&tokens("boss"), &headers).await;
        caller
            .map(|caller| caller.role)
            .map_err(|problem| problem.code)
    }

    #[tokio::test]
    async fn each_token_has_its_role_and_everything_else_has_none() {
        assert_eq!(asked(Some("Bearer boss")).await, Ok(Some(Role::Manager)));
        assert_eq!(asked(Some("bearer look")).await, Ok(Some(Role::Viewer)));
        for wrong in [
            None,
            Some("boss"),
            Some("Basic boss"),
            Some("Bearer bos"),
            Some("Bearer "),
        ] {
            assert_eq!(asked(wrong).await, Err(Code::Unauthenticated), "{wrong:?}");
        }
        assert!(Role::Viewer < Role::Manager);
    }

    #[test]
    fn an_empty_secret_opens_nothing() {
        assert_eq!(tokens("").role_of_static(""), None);
    }

    #[test]
    fn a_refusal_names_the_role_that_is_needed() {
        let caller = |role| Caller {
            who: "ann".to_owned(),
            role,
        };
        let refused = need(&caller(Some(Role::Viewer)), Role::Manager).unwrap_err();
        assert_eq!(refused.code, Code::Forbidden);
        assert!(
            refused.detail.contains("role manager"),
            "{}",
            refused.detail
        );
        let refused = need(&caller(None), Role::Viewer).unwrap_err();
        assert!(
            refused.detail.contains("ann has the role none"),
            "{}",
            refused.detail
        );
        assert_eq!(
            need(&caller(Some(Role::Manager)), Role::Viewer),
            Ok(Role::Manager)
        );
    }
}
