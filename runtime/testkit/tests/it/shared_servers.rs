//! The servers that tests share: everyone finds the same ones and gets names of his own.

use sqlx::{Connection as _, PgConnection};
use ticket_testkit::shared;

#[tokio::test]
async fn every_database_is_empty_and_another_one() {
    let shared = shared().await;
    let (one, two) = tokio::try_join!(shared.new_database(), shared.new_database()).unwrap();
    assert_ne!(one, two);
    for url in [one, two] {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query("CREATE TABLE mine (id bigint PRIMARY KEY)")
            .execute(&mut connection)
            .await
            .unwrap();
        let nodes: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_extension WHERE extname = 'citus'")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        if nodes > 0 {
            sqlx::query("SELECT create_distributed_table('mine', 'id', shard_count => 4)")
                .execute(&mut connection)
                .await
                .unwrap();
        }
        sqlx::query("INSERT INTO mine SELECT generate_series(1, 10)")
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn namespaces_and_topic_prefixes_are_new_each_time() {
    let shared = shared().await;
    let (one, two) = tokio::try_join!(shared.new_namespace(), shared.new_namespace()).unwrap();
    assert_ne!(one, two);
    assert_ne!(shared.topic_prefix(), shared.topic_prefix());
}

#[test]
fn a_second_runtime_in_the_same_process_finds_the_same_servers() {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { shared().await.redis_url().to_owned() })
    };
    assert_eq!(ask(), ask());
}
