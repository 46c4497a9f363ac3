//! TLS and client certificates against a real server; a password that is replaced.

use secrecy::SecretString;
use sqlx::{Connection, PgConnection};
use ticket_core::ErrorClass;
use ticket_ledger::{Ledger, LedgerConfig, LedgerTls};
use ticket_testkit::{Certificates, PostgresServer, SECURE_PASSWORD, StartOptions};

async fn server() -> (PostgresServer, Certificates) {
    let certificates = Certificates::make("by_certificate").await.unwrap();
    let options = StartOptions::own("ledger-secure").unwrap();
    let server = PostgresServer::start_secure(options, &certificates)
        .await
        .unwrap();
    (server, certificates)
}

fn as_role(server: &PostgresServer, role: &str) -> LedgerConfig {
    let url = server
        .node_url("postgres")
        .replace("ticket@", &format!("{role}@"));
    LedgerConfig::new(&SecretString::from(url))
}

async fn gets_in(config: &LedgerConfig) -> bool {
    let ledger = Ledger::connect(config).unwrap();
    match ledger.ping().await {
        Ok(()) => true,
        Err(error) => {
            assert_ne!(error.class(), ErrorClass::Ambiguous, "{error:?}");
            false
        }
    }
}

#[tokio::test]
async fn a_role_gets_in_with_its_certificate_over_verified_tls_only() {
    let (server, certificates) = server().await;
    let tls = |ca, client| Some(LedgerTls { ca, client });
    let mut config = as_role(&server, "by_certificate");
    config.acquire_timeout = std::time::Duration::from_secs(2);
    config.tls = tls(certificates.ca(), Some(certificates.client()));
    let ledger = Ledger::connect(&config).unwrap();
    ledger.migrate().await.unwrap();
    ledger.ping().await.unwrap();

    config.tls = tls(certificates.ca(), None);
    assert!(!gets_in(&config).await, "without its certificate");
    config.tls = tls(certificates.stranger_ca(), Some(certificates.client()));
    assert!(!gets_in(&config).await, "to the server of a stranger");
    config.tls = None;
    assert!(!gets_in(&config).await, "in the clear");
    let mut other = as_role(&server, "by_password");
    other.acquire_timeout = config.acquire_timeout;
    other.tls = tls(certificates.ca(), Some(certificates.client()));
    assert!(
        !gets_in(&other).await,
        "with somebody else's certificate and no password"
    );
}

#[tokio::test]
async fn a_replaced_password_is_used_for_new_connections() {
    let (server, certificates) = server().await;
    let mut config = as_role(&server, "by_password");
    config.acquire_timeout = std::time::Duration::from_secs(2);
    config.tls = Some(LedgerTls {
        ca: certificates.ca(),
        client: None,
    });
    config.password = Some(SECURE_PASSWORD.into());
    let ledger = Ledger::connect(&config).unwrap();
    ledger.ping().await.unwrap();

    let mut admin = PgConnection::connect(&server.node_url("postgres"))
        .await
        .unwrap();
    sqlx::raw_sql("ALTER ROLE by_password PASSWORD 'second'")
        .execute(&mut admin)
        .await
        .unwrap();
    ledger.ping().await.unwrap();
    assert!(!gets_in(&config).await, "the old password is over");

    config.password = Some("second".into());
    ledger.reconfigure(&config).unwrap();
    let end_all =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'by_password'";
    sqlx::raw_sql(end_all).execute(&mut admin).await.unwrap();
    // The connection that was cut is found out once; the next one is new.
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(ledger.ping().await.is_ok());
    }
    assert!(answers[2], "{answers:?}");
}
