//! Tokens signed with a private key that only their issuer has (RS256, ES256), checked with public keys from a JSON Web Key
//! Set at a URL or in a file. Keys change: a token that names an unknown key makes the set be read again, but not more often
//! than [`Ages::again`]; the set is read again every [`Ages::refresh`] in any case; and keys that could not be confirmed for
//! [`Ages::trusted`] are not trusted any more. It does not know what the claims mean.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ticket_telemetry::chain;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How far the clocks of issuers and ours may be apart, seconds: `exp` and `nbf` are taken that much more kindly.
pub(crate) const CLOCK_SKEW_S: u64 = 5;

/// How often the set is read again when nothing happens.
const REFRESH_EVERY: Duration = Duration::from_mins(5);

/// Shortest time between two readings: strangers' tokens with invented key names must not become a load for the issuer.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Keys that could not be read again for this long are not trusted: one of them may have been withdrawn meanwhile.
const TRUSTED_FOR: Duration = Duration::from_hours(24);

/// Longest wait for the issuer.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// Largest set, bytes, and most keys in it: a few kilobytes and a handful are usual.
const SET_BYTES_MAX: usize = 256 * 1024;
const KEYS_MAX: usize = 100;

/// Shortest RSA key that is believed, bytes: 2,048 bits.
const RSA_BYTES_MIN: usize = 256;

/// Where a set of keys is.
#[derive(Debug, Clone)]
pub(crate) struct KeySource {
    /// `http://`, `https://`, else a file.
    pub(crate) location: String,
    /// Certificates to trust instead of the system's: a file in PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// Our own token for the issuer, read each time: it is replaced every hour in a cluster.
    pub(crate) token_file: Option<PathBuf>,
}

impl KeySource {
    /// At this URL or in this file; nothing but the location is needed.
    pub(crate) fn at(location: String) -> Self {
        Self {
            location,
            ca_file: None,
            token_file: None,
        }
    }
}

/// How old keys may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// Read again, when nothing happens.
    pub(crate) refresh: Duration,
    /// Not read again before.
    pub(crate) again: Duration,
    /// Not trusted after.
    pub(crate) trusted: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            refresh: REFRESH_EVERY,
            again: AGAIN_AFTER,
            trusted: TRUSTED_FOR,
        }
    }
}

/// Why a set was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySetError {
    #[error("could not make a client for {location}")]
    Client {
        location: String,
        #[source]
        cause: reqwest::Error,
    },
    #[error("could not read {path}")]
    File {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("could not get {location}")]
    Get {
        location: String,
        #[source]
        cause: reqwest::Error,
    },
    #[error("{location} is no key set of at most {SET_BYTES_MAX} bytes and {KEYS_MAX} keys: {why}")]
    NoSet { location: String, why: String },
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    #[error("token: {0}")]
    Invalid(&'static str),
    /// Nobody's fault who sent it: there are no keys to check it with.
    #[error("the keys of tokens cannot be read at the moment")]
    NoKeys,
}

/// A public key, for one algorithm only: what a token says of its algorithm never chooses how a key is used.
struct Key {
    name: Option<String>,
    algorithm: Algorithm,
    public: DecodingKey,
}

/// What was read last.
#[derive(Default)]
struct Known {
    keys: Vec<Arc<Key>>,
    read: Option<Instant>,
    tried: Option<Instant>,
}

impl Known {
    fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Option<Arc<Key>> {
        let fitting = || self.keys.iter().filter(|key| key.algorithm == algorithm);
        if let Some(name) = name
            && let Some(key) = fitting().find(|key| key.name.as_deref() == Some(name))
        {
            return Some(key.clone());
        }
        // A token that names no key, or a key without a name: clear only if there is no choice.
        let mut candidates = fitting().filter(|key| name.is_none() || key.name.is_none());
        let only = candidates.next()?;
        candidates.next().is_none().then(|| only.clone())
    }
}

/// A set of public keys that is kept fresh.
pub(crate) struct KeySet {
    source: KeySource,
    ages: Ages,
    http: Client,
    known: RwLock<Arc<Known>>,
    /// One reader at a time; whoever comes meanwhile shares what it finds.
    reading: tokio::sync::Mutex<()>,
}

impl KeySet {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// A file of certificates that cannot be read.
    pub(crate) fn new(source: KeySource, ages: Ages) -> Result<Arc<Self>, KeySetError> {
        let location = || source.location.clone();
        let mut http = Client::builder()
            .timeout(READ_DEADLINE)
            .redirect(Policy::none());
        if let Some(path) = &source.ca_file {
            let pem = std::fs::read(path).map_err(|cause| KeySetError::File {
                path: path.clone(),
                cause,
            })?;
            let trusted =
                Certificate::from_pem_bundle(&pem).map_err(|cause| KeySetError::Client {
                    location: location(),
                    cause,
                })?;
            http = http.tls_certs_only(trusted);
        }
        let http = http.build().map_err(|cause| KeySetError::Client {
            location: location(),
            cause,
        })?;
        Ok(Arc::new(Self {
            source,
            ages,
            http,
            known: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
        }))
    }

    /// Reads the set at once and again and again, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.read_again().await;
            let is_fresh = self.known().read == self.known().tried;
            let wait = if is_fresh {
                self.ages.refresh
            } else {
                self.ages.again
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn key(&self, name: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, TokenFault> {
        if let Some(key) = self.trusted().and_then(|known| known.find(name, algorithm)) {
            return Ok(key);
        }
        self.read_again().await;
        let known = self.trusted().ok_or(TokenFault::NoKeys)?;
        let unknown = TokenFault::Invalid("its key is not known");
        known.find(name, algorithm).ok_or(unknown)
    }

    fn known(&self) -> Arc<Known> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn trusted(&self) -> Option<Arc<Known>> {
        let known = self.known();
        let age = known.read?.elapsed();
        (age < self.ages.trusted).then_some(known)
    }

    async fn read_again(&self) {
        let _one_at_a_time = self.reading.lock().await;
        let known = self.known();
        if known.tried.is_some_and(|at| at.elapsed() < self.ages.again) {
            return;
        }
        let read = match self.read().await {
            Ok(bytes) => keys_in(&bytes, &self.source.location),
            Err(error) => Err(error),
        };
        let now = Instant::now();
        let new = match read {
            Ok(keys) => {
                info!(location = %self.source.location, keys = keys.len(), "keys of tokens read");
                Known {
                    keys,
                    read: Some(now),
                    tried: Some(now),
                }
            }
            Err(error) => {
                warn!(error = %chain(&error), "keys of tokens not read");
                Known {
                    keys: known.keys.clone(),
                    read: known.read,
                    tried: Some(now),
                }
            }
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }

    async fn read(&self) -> Result<Vec<u8>, KeySetError> {
        let location = &self.source.location;
        if !location.starts_with("http://") && !location.starts_with("https://") {
            return read_file(location.into()).await;
        }
        let mut request = self.http.get(location);
        if let Some(path) = &self.source.token_file {
            let token = read_file(path.clone()).await?;
            request = request.bearer_auth(String::from_utf8_lossy(&token).trim());
        }
        let failed = |cause| KeySetError::Get {
            location: location.clone(),
            cause,
        };
        let answer = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > SET_BYTES_MAX {
                break;
            }
        }
        Ok(bytes)
    }
}

async fn read_file(path: PathBuf) -> Result<Vec<u8>, KeySetError> {
    let read = tokio::fs::read(&path).await;
    read.map_err(|cause| KeySetError::File { path, cause })
}

/// The keys that we can use. One that we cannot is passed over: a set may have keys for others.
fn keys_in(bytes: &[u8], location: &str) -> Result<Vec<Arc<Key>>, KeySetError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let no_set = |why: String| KeySetError::NoSet {
        location: location.to_owned(),
        why,
    };
    if bytes.len() > SET_BYTES_MAX {
        return Err(no_set("too large".to_owned()));
    }
    let set: Set = serde_json::from_slice(bytes).map_err(|error| no_set(error.to_string()))?;
    if set.keys.len() > KEYS_MAX {
        return Err(no_set(format!("{} keys", set.keys.len())));
    }
    let keys = set.keys.into_iter().filter_map(|key| {
        let key = serde_json::from_value(key).ok().and_then(usable);
        if key.is_none() {
            debug!(location, "a key that is not for us");
        }
        key.map(Arc::new)
    });
    Ok(keys.collect())
}

/// RSA for RS256 and P-256 for ES256, for signatures. Never a shared secret: whoever reads the set could sign with it.
fn usable(jwk: Jwk) -> Option<Key> {
    let (algorithm, says) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            // Base64 has 4 characters for 3 bytes.
            let is_long = rsa.n.len() * 3 / 4 >= RSA_BYTES_MIN;
            is_long.then_some((Algorithm::RS256, KeyAlgorithm::RS256))?
        }
        AlgorithmParameters::EllipticCurve(curve) => {
            let is_ours = curve.curve == EllipticCurve::P256;
            is_ours.then_some((Algorithm::ES256, KeyAlgorithm::ES256))?
        }
        AlgorithmParameters::OctetKey(_) | AlgorithmParameters::OctetKeyPair(_) => return None,
    };
    let common = &jwk.common;
    let is_for_it = common.key_algorithm.is_none_or(|named| named == says);
    let is_for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|wanted| *wanted == PublicKeyUse::Signature);
    if !is_for_it || !is_for_signatures {
        return None;
    }
    Some(Key {
        public: DecodingKey::from_jwk(&jwk).ok()?,
        name: jwk.common.key_id,
        algorithm,
    })
}

/// Checks tokens against a [`KeySet`].
pub(crate) struct Verifier {
    keys: Arc<KeySet>,
    rs256: Validation,
    es256: Validation,
}

impl Verifier {
    /// Tokens of `issuer` for `audience`; any where none is given. `exp` and `sub` are required.
    pub(crate) fn new(keys: Arc<KeySet>, issuer: Option<&str>, audience: Option<&str>) -> Self {
        Self {
            keys,
            rs256: rules(Algorithm::RS256, issuer, audience),
            es256: rules(Algorithm::ES256, issuer, audience),
        }
    }

    /// The claims of a token that is signed by one of the keys, is for us and is valid now.
    pub(crate) async fn claims<C: DeserializeOwned>(&self, token: &str) -> Result<C, TokenFault> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| describe(error.kind()))?;
        let rules = if header.alg == Algorithm::RS256 {
            &self.rs256
        } else if header.alg == Algorithm::ES256 {
            &self.es256
        } else {
            return Err(TokenFault::Invalid("expected RS256 or ES256"));
        };
        let key = self.keys.key(header.kid.as_deref(), header.alg).await?;
        jsonwebtoken::decode(token, &key.public, rules)
            .map(|token| token.claims)
            .map_err(|error| describe(error.kind()))
    }
}

/// What a token must say, signed with `algorithm`.
pub(crate) fn rules(
    algorithm: Algorithm,
    issuer: Option<&str>,
    audience: Option<&str>,
) -> Validation {
    let mut rules = Validation::new(algorithm);
    let mut required = vec!["exp", "sub"];
    rules.leeway = CLOCK_SKEW_S;
    rules.validate_nbf = true;
    // Where we ask for no audience, a token that names one is as good as any.
    rules.validate_aud = audience.is_some();
    if let Some(audience) = audience {
        rules.set_audience(&[audience]);
        required.push("aud");
    }
    if let Some(issuer) = issuer {
        rules.set_issuer(&[issuer]);
        required.push("iss");
    }
    rules.set_required_spec_claims(&required);
    rules
}

/// In words for whoever sent the token.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's list of errors is open"
)]
pub(crate) fn describe(error: &ErrorKind) -> TokenFault {
    TokenFault::Invalid(match error {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidSignature => "the signature is wrong",
        ErrorKind::InvalidAlgorithm => "another algorithm is expected",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::MissingRequiredClaim(_) => {
            "a claim is missing: `exp`, `sub`, or what this server asks for"
        }
        _ => "it cannot be read",
    })
}

#[cfg(test)]
mod tests;
