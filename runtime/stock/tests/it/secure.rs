//! TLS, client certificates and an ACL user against a real server; a password that is replaced.

use ticket_core::EventId;
use ticket_stock::{Reserved, StockConfig, StockStore};
use ticket_testkit::{Certificates, RedisServer, SecureRedis, StartOptions};

use crate::fixture::{reserve, shard, vip_seed, wish};

async fn server() -> (RedisServer, Certificates) {
    let certificates = Certificates::make("ticket").await.unwrap();
    let secure = SecureRedis {
        certificates: certificates.clone(),
        username: "ticket".to_owned(),
        password: "first".to_owned(),
    };
    let options = StartOptions::own("stock-secure").unwrap();
    let server = RedisServer::start_secure(options, secure).await.unwrap();
    (server, certificates)
}

fn config(server: &RedisServer, certificates: &Certificates) -> StockConfig {
    let mut config = StockConfig::new(server.url());
    config.username = Some("ticket".to_owned());
    config.password = Some("first".into());
    config.tls_ca = Some(certificates.ca());
    config.tls_client = Some(certificates.client());
    config
}

#[tokio::test]
async fn a_user_with_certificate_and_password_sells_and_nobody_else_gets_in() {
    let (server, certificates) = server().await;
    let store = StockStore::connect(&config(&server, &certificates))
        .await
        .unwrap();
    let event = EventId::random();
    store
        .seed(&vip_seed(event, 1, &[(1, 5), (2, 5)]))
        .await
        .unwrap();
    let got = reserve(&store, event, &wish(1)).await;
    assert!(matches!(got, Reserved::Fresh { .. }), "{got:?}");

    let change = |change: fn(&mut StockConfig, &Certificates)| {
        let mut config = config(&server, &certificates);
        change(&mut config, &certificates);
        config
    };
    let refused = [
        (
            "wrong password",
            change(|config, _| config.password = Some("guessed".into())),
        ),
        (
            "no user",
            change(|config, _| (config.username, config.password) = (None, None)),
        ),
        (
            "no certificate",
            change(|config, _| config.tls_client = None),
        ),
        (
            "server of a stranger",
            change(|config, all| config.tls_ca = Some(all.stranger_ca())),
        ),
        (
            "in the clear",
            change(|config, _| {
                config.url = config.url.replace("rediss", "redis");
                (config.tls_ca, config.tls_client) = (None, None);
            }),
        ),
    ];
    for (why, config) in refused {
        let store = StockStore::connect(&config).await.unwrap();
        assert!(store.ping().await.is_err(), "{why}");
    }
    let missing = change(|config, _| config.tls_ca = Some("/nowhere".into()));
    let error = StockStore::connect(&missing).await.unwrap_err();
    assert_eq!(error.code(), "store-certificate-missing");
    assert!(error.to_string().contains("/nowhere"), "{error}");
}

#[tokio::test]
async fn a_replaced_password_is_used_without_a_new_store_and_without_losing_what_is_armed() {
    let (server, certificates) = server().await;
    let mut config = config(&server, &certificates);
    let store = StockStore::connect(&config).await.unwrap();
    let event = EventId::random();
    store
        .seed(&vip_seed(event, 1, &[(1, 5), (2, 5)]))
        .await
        .unwrap();

    let pem = |path| std::fs::read(path).unwrap();
    let (certificate, key) = certificates.client();
    let files = redis::TlsCertificates {
        client_tls: Some(redis::ClientTlsConfig {
            client_cert: pem(certificate),
            client_key: pem(key),
        }),
        root_cert: Some(pem(certificates.ca())),
    };
    let url = server.url().replace("rediss://", "rediss://ticket:first@");
    let admin = redis::Client::build_with_tls(url, files).unwrap();
    let mut admin = admin.get_multiplexed_async_connection().await.unwrap();
    let mut change = redis::cmd("ACL");
    change
        .arg("SETUSER")
        .arg("ticket")
        .arg("resetpass")
        .arg(">second");
    let _: String = change.query_async(&mut admin).await.unwrap();
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL")
        .arg("USER")
        .arg("ticket")
        .arg("SKIPME")
        .arg("yes");
    let killed: i64 = kill.query_async(&mut admin).await.unwrap();
    assert!(killed >= 1, "the store had a connection");
    while store.ping().await.is_ok() {
        tokio::task::yield_now().await;
    }

    config.password = Some("second".into());
    store.reconfigure(&config).unwrap();
    let got = reserve(&store, event, &wish(1).on([1, 1])).await;
    assert_eq!(got, Reserved::Fresh { shard: shard(1) });
}
