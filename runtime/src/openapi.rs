//! What the OpenAPI documents of both APIs share: how a problem looks, and which codes an operation may answer with. The
//! documents themselves are made from the handlers, so that they cannot say anything else than the code.

use std::collections::BTreeMap;

use axum::http::header;
use axum::response::IntoResponse;
use ticket_core::Code;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Response, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::Document;

/// A document without operations. `token` is the name and the description of the security scheme.
pub(crate) fn document(title: &str, description: &str, token: (&str, &str)) -> OpenApi {
    let (scheme, words) = token;
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(words))
        .build();
    let license = LicenseBuilder::new()
        .name("Apache-2.0")
        .identifier(Some("Apache-2.0"))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title(title)
                .description(Some(description))
                .version(env!("CARGO_PKG_VERSION"))
                .license(Some(license))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new()
                .schema(Document::name(), Document::schema())
                .security_scheme(scheme, SecurityScheme::Http(bearer))
                .build(),
        ))
        .build()
}

/// The document as it is served and kept in the repository.
pub(crate) fn to_text(document: &OpenApi) -> String {
    // It is made of text and lists only, so that it always can be written.
    document.to_pretty_json().unwrap_or_default() + "\n"
}

/// `GET /openapi.json`
pub(crate) fn answer(text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text)
}

/// An enumeration of texts.
pub(crate) fn one_of<'a>(values: impl IntoIterator<Item = &'a str>) -> Schema {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(values))
        .build()
        .into()
}

/// The responses for `codes`, one for each status.
pub(crate) fn problems(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.http_status()).or_default().push(*code);
    }
    let response = |(status, codes)| (format!("{status}"), problem(status, codes).into());
    by_status.into_iter().map(response).collect()
}

fn problem(status: u16, mut codes: Vec<Code>) -> Response {
    codes.sort_unstable();
    let words: Vec<_> = codes
        .iter()
        .map(|code| format!("`{code}`: {}", code.title()))
        .collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Document::name())));
    let mut response = ResponseBuilder::new()
        .description(words.join(" "))
        .content("application/problem+json", content.build());
    let header = |words: &str, kind| {
        HeaderBuilder::new()
            .description(Some(words))
            .schema(Some(
                ObjectBuilder::new().schema_type(SchemaType::Type(kind)),
            ))
            .build()
    };
    if matches!(status, 429 | 503) {
        let words = "Seconds to wait before the same request is sent again.";
        response = response.header("Retry-After", header(words, Type::Integer));
    }
    if status == 401 {
        response = response.header("WWW-Authenticate", header("`Bearer`.", Type::String));
    }
    response.build()
}

/// Names lists of codes that operations may answer with, for `responses(...)`. What every operation may answer with is
/// added.
macro_rules! problem_sets {
    ($($(#[doc = $words:literal])* $name:ident: $($code:ident)*;)+) => {
        $(
            $(#[doc = $words])*
            pub(crate) struct $name;

            impl utoipa::IntoResponses for $name {
                fn responses() -> std::collections::BTreeMap<
                    String,
                    utoipa::openapi::RefOr<utoipa::openapi::Response>,
                > {
                    use ticket_core::Code;
                    $crate::openapi::problems(&[
                        $(Code::$code,)*
                        Code::Overloaded,
                        Code::Internal,
                    ])
                }
            }
        )+
    };
}
pub(crate) use problem_sets;
