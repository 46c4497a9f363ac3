//! Secrets that change while the process runs: who is told of a new one. A secret that nobody is told of here is used after a
//! restart, and the log says so when its file changes: librdkafka reads Kafka's password when a client is made, and the
//! provider's key is built into its client.

use jsonwebtoken::DecodingKey;
use secrecy::{ExposeSecret, SecretString};
use ticket_ledger::Ledger;
use ticket_stock::StockStore;
use ticket_telemetry::settings::{Live, Rotation, Sources};

use crate::config::{Role, Settings};

/// What is checked against a secret.
#[derive(Clone)]
pub(crate) struct Secrets {
    /// Signs buyers' tokens, if a secret does.
    pub(crate) buyer_jwt: Option<Live<DecodingKey>>,
    /// Sign the provider's webhooks.
    pub(crate) webhooks: Live<Vec<SecretString>>,
    /// The token of event managers; empty opens nothing.
    pub(crate) manager: Live<SecretString>,
    /// The token of viewers; empty opens nothing.
    pub(crate) viewer: Live<SecretString>,
}

/// The key of buyers' tokens.
pub(crate) fn key_of(secret: &SecretString) -> DecodingKey {
    DecodingKey::from_secret(secret.expose_secret().as_bytes())
}

impl Secrets {
    /// As the settings have them now.
    pub(crate) fn new(settings: &Settings) -> Self {
        let or_none = |secret: &Option<SecretString>| secret.clone().unwrap_or_default();
        Self {
            buyer_jwt: settings
                .buyers
                .buyer_jwt_secret
                .as_ref()
                .map(|secret| Live::new(key_of(secret))),
            webhooks: Live::new(settings.payments.webhook_secret.clone()),
            manager: Live::new(or_none(&settings.admin.admin_token)),
            viewer: Live::new(or_none(&settings.admin.admin_viewer_token)),
        }
    }

    /// Follows the files of all secrets that can be replaced.
    pub(crate) fn follow(
        &self,
        sources: &Sources,
        settings: &Settings,
        role: Role,
        ledger: &Ledger,
        stock: &StockStore,
    ) -> Rotation {
        let mut rotation = Rotation::new(sources);
        if let Some(key) = self.buyer_jwt.clone() {
            rotation.on_change("TICKET_BUYER_JWT_SECRET", move |secret| {
                key.set(key_of(&secret));
                Ok(())
            });
        }
        let webhooks = self.webhooks.clone();
        rotation.on_change("TICKET_WEBHOOK_SECRET", move |secret| {
            let secrets = secret.expose_secret().split(',');
            webhooks.set(secrets.map(SecretString::from).collect());
            Ok(())
        });
        for (variable, token) in [
            ("TICKET_ADMIN_TOKEN", &self.manager),
            ("TICKET_ADMIN_VIEWER_TOKEN", &self.viewer),
        ] {
            let token = token.clone();
            rotation.on_change(variable, move |secret| {
                token.set(secret);
                Ok(())
            });
        }
        follow_servers(&mut rotation, settings, role, ledger, stock);
        rotation
    }
}

/// Address and password of a server may both come from files, so the last of each is remembered.
fn follow_servers(
    rotation: &mut Rotation,
    settings: &Settings,
    role: Role,
    ledger: &Ledger,
    stock: &StockStore,
) {
    type Change = fn(&mut Settings, SecretString);
    let latest = Live::new(settings.clone());
    let database: [(&str, Change); 2] = [
        ("TICKET_DATABASE_URL", |all, secret| {
            all.database.database_url = Some(secret);
        }),
        ("TICKET_DATABASE_PASSWORD", |all, secret| {
            all.database.database_password = Some(secret);
        }),
    ];
    for (variable, change) in database {
        let (latest, ledger) = (latest.clone(), ledger.clone());
        rotation.on_change(variable, move |secret| {
            let mut settings = Settings::clone(&latest.get());
            change(&mut settings, secret);
            let config = settings.ledger(role).map_err(|error| error.to_string())?;
            ledger
                .reconfigure(&config)
                .map_err(|error| error.to_string())?;
            latest.set(settings);
            Ok(())
        });
    }
    let redis: [(&str, Change); 2] = [
        ("TICKET_REDIS_URL", |all, secret| {
            all.redis.redis_url = Some(secret);
        }),
        ("TICKET_REDIS_PASSWORD", |all, secret| {
            all.redis.redis_password = Some(secret);
        }),
    ];
    for (variable, change) in redis {
        let (latest, stock) = (latest.clone(), stock.clone());
        rotation.on_change(variable, move |secret| {
            let mut settings = Settings::clone(&latest.get());
            change(&mut settings, secret);
            let config = settings.stock(role).map_err(|error| error.to_string())?;
            stock
                .reconfigure(&config)
                .map_err(|error| error.to_string())?;
            latest.set(settings);
            Ok(())
        });
    }
}
