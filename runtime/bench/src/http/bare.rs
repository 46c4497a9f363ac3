//! The bare endpoint: what a request costs before any work is done for it. The same route, the same checks of token, key and
//! body, an answer of the same size; no stock, no log. It runs as a process of its own, as the buyer API does.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use ticket_core::{BuyerId, clock};
use ticket_core::{Currency, EventId, Money, OrderId, OrderRef, State as OrderState, StockShardId};
use ticket_testkit::{Product, ProductOptions, StartOptions};
use tokio::net::TcpListener;

use crate::load::Target;

/// How far a buyer's clock may be off, seconds; as the API.
const CLOCK_SKEW_S: u64 = 5;

/// Settings of the bare endpoint.
#[derive(Debug, Clone, clap::Args)]
pub struct BareArgs {
    /// Where it listens.
    #[arg(long, env = "TICKET_BENCH_LISTEN")]
    listen: SocketAddr,
    /// Shared secret of the buyers' tokens (HS256).
    #[arg(long, env = "TICKET_BUYER_JWT_SECRET", hide_env_values = true)]
    buyer_jwt_secret: String,
}

/// The bare endpoint as a process that ends with this one.
pub struct Bare {
    /// The process.
    pub product: Product,
    /// Where it answers.
    pub target: Target,
}

impl Bare {
    /// Starts it and waits until it answers. Buyers' tokens are signed with `secret`.
    pub async fn start(secret: &str) -> anyhow::Result<Self> {
        let env = vec![("TICKET_BUYER_JWT_SECRET".to_owned(), secret.to_owned())];
        let options = StartOptions::own("bare").context("no folder for the bare endpoint")?;
        let product = Product::start(options, ProductOptions::bench("bare", env))
            .await
            .context("the bare endpoint did not start")?;
        let target = Target::new(([127, 0, 0, 1], product.server().port()).into())?;
        Ok(Self { product, target })
    }
}

/// Answers until the process is ended.
pub async fn serve(args: BareArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("could not listen on {}", args.listen))?;
    let listener = listener.tap_io(|socket| {
        // A socket that is gone already fails at the first read.
        drop(socket.set_nodelay(true));
    });
    axum::serve(listener, router(&args.buyer_jwt_secret)?)
        .await
        .context("the bare endpoint ended")
}

fn router(secret: &str) -> anyhow::Result<Router> {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_required_spec_claims(&["exp", "sub"]);
    rules.leeway = CLOCK_SKEW_S;
    rules.validate_nbf = true;
    rules.validate_aud = false;
    let shared = Shared {
        key: DecodingKey::from_secret(secret.as_bytes()),
        rules,
        order: OrderId::derive(EventId(uuid::Uuid::nil()), &BuyerId::new("nobody")?, "bare"),
        shard: StockShardId::new(1)?,
        currency: Currency::new("IDR")?,
    };
    Ok(Router::new()
        .route("/v1/events/{event}/orders", post(place))
        .route("/readyz", get(async || "ok"))
        .with_state(Arc::new(shared)))
}

struct Shared {
    key: DecodingKey,
    rules: Validation,
    order: OrderId,
    shard: StockShardId,
    currency: Currency,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

/// The buyer, by the token.
struct Buyer(BuyerId);

impl FromRequestParts<Arc<Shared>> for Buyer {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, StatusCode> {
        let header = parts.headers.get(header::AUTHORIZATION);
        let token = header
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .ok_or(StatusCode::UNAUTHORIZED)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &shared.key, &shared.rules)
            .map_err(|_| StatusCode::UNAUTHORIZED)?
            .claims;
        BuyerId::new(claims.sub)
            .map(Self)
            .map_err(|_| StatusCode::UNAUTHORIZED)
    }
}

#[derive(Deserialize)]
struct Wish {
    category: String,
    quantity: u32,
}

/// The answer of the API to an order that waits, field by field.
#[derive(Serialize)]
struct Queued {
    id: OrderRef,
    event: String,
    category: String,
    quantity: u32,
    state: OrderState,
    amount: Money,
    created_at: Timestamp,
    updated_at: Timestamp,
    queue: Queue,
}

#[derive(Serialize)]
struct Queue {
    position: i64,
}

async fn place(
    State(shared): State<Arc<Shared>>,
    Path(event): Path<String>,
    Buyer(buyer): Buyer,
    headers: HeaderMap,
    Json(wish): Json<Wish>,
) -> Result<Response, StatusCode> {
    let key = headers.get("idempotency-key").map(HeaderValue::to_str);
    if !matches!(key, Some(Ok(key)) if !key.is_empty()) || buyer.as_str().is_empty() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let now = clock::now();
    let id = OrderRef {
        order: shared.order,
        shard: shared.shard,
    };
    let queued = Queued {
        id,
        event,
        category: wish.category,
        quantity: wish.quantity,
        state: OrderState::Queued,
        amount: Money {
            currency: shared.currency,
            amount_minor: 100,
        },
        created_at: now,
        updated_at: now,
        queue: Queue { position: 1_000 },
    };
    let mut response = (StatusCode::ACCEPTED, Json(queued)).into_response();
    let location = HeaderValue::try_from(format!("/v1/orders/{id}"));
    let location = location.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
