//! A server of one's own: it answers, comes back on the same port after a kill, and leaves nothing behind.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sqlx::{Connection as _, PgConnection};
use ticket_testkit::{
    ApiServer, Citus, EtcdServer, Home, KafkaServer, Persistence, PostgresServer, RedisServer,
    Server, StartOptions, TestkitError, lease_port,
};

use crate::is_over;

/// How long one question to a server may take here.
const LIMIT: Duration = Duration::from_secs(10);

fn is_gone(server: &Server, pid: u32) -> bool {
    let listens = std::net::TcpStream::connect(("127.0.0.1", server.port())).is_ok();
    !listens && is_over(pid)
}

fn pid(server: &Server) -> u32 {
    server.identity().expect("it runs").pid
}

async fn ask(url: &str, words: &[&str]) -> redis::RedisResult<Option<String>> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    command.query_async(&mut connection).await
}

#[tokio::test]
async fn a_killed_redis_comes_back_empty_on_its_port_and_a_stopped_one_is_gone() {
    let mut redis = RedisServer::start(StartOptions::own("redis").unwrap())
        .await
        .unwrap();
    let (first, port) = (pid(redis.server()), redis.server().port());
    ask(redis.url(), &["SET", "unit", "1"]).await.unwrap();
    redis.kill().await.unwrap();
    assert!(is_gone(redis.server(), first));
    redis.restart().await.unwrap();
    assert_eq!(redis.server().port(), port);
    assert_ne!(pid(redis.server()), first);
    assert_eq!(ask(redis.url(), &["GET", "unit"]).await.unwrap(), None);
    let second = pid(redis.server());
    redis.stop().await.unwrap();
    assert!(is_gone(redis.server(), second));
}

#[tokio::test]
async fn a_persistent_redis_keeps_what_it_answered_over_a_kill() {
    let options = StartOptions::own("redis-kept").unwrap();
    let mut redis = RedisServer::start_with(options, Persistence::EveryWrite)
        .await
        .unwrap();
    ask(redis.url(), &["SET", "unit", "1"]).await.unwrap();
    redis.kill().await.unwrap();
    redis.restart().await.unwrap();
    assert_eq!(
        ask(redis.url(), &["GET", "unit"]).await.unwrap().as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn a_paused_server_answers_again_when_it_goes_on() {
    let redis = RedisServer::start(StartOptions::own("redis-paused").unwrap())
        .await
        .unwrap();
    redis.pause().unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(300), ask(redis.url(), &["PING"]));
    assert!(
        !matches!(silent.await, Ok(Ok(_))),
        "a paused server answered"
    );
    redis.resume().unwrap();
    let answer = tokio::time::timeout(LIMIT, ask(redis.url(), &["PING"]))
        .await
        .unwrap();
    assert_eq!(answer.unwrap().as_deref(), Some("PONG"));
}

#[tokio::test]
async fn a_dropped_server_takes_its_process_and_its_folder_along() {
    let home = Home::own("dropped").unwrap();
    let dir = home.dir().to_path_buf();
    let options = StartOptions::within(home, "redis");
    let redis = RedisServer::start(options).await.unwrap();
    let pid = pid(redis.server());
    drop(redis);
    assert!(is_over(pid));
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_and_the_one_who_has_it_is_not_asked() {
    let taken = lease_port().unwrap();
    let _stranger = std::net::TcpListener::bind(("127.0.0.1", taken.port())).unwrap();
    let options = StartOptions {
        port: Some(taken.port()),
        ..StartOptions::own("redis-taken").unwrap()
    };
    let refused = RedisServer::start(options).await.unwrap_err();
    assert!(
        matches!(refused, TestkitError::PortTaken { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_server_that_cannot_start_says_so_with_the_end_of_its_log() {
    let options = StartOptions::own("redis-broken").unwrap();
    // A folder where the append-only folder should be a place to write.
    let data = options.home.data("redis-broken");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("appendonlydir"), "in the way").unwrap();
    let error = RedisServer::start_with(options, Persistence::EveryWrite)
        .await
        .unwrap_err();
    let TestkitError::Died { tail, .. } = &error else {
        panic!("{error}")
    };
    assert!(tail.to_lowercase().contains("append"), "{tail}");
}

#[tokio::test]
async fn postgres_keeps_its_data_over_a_kill() {
    for citus in [Citus::Never, Citus::IfInstalled] {
        let options = StartOptions::own("postgres").unwrap();
        let mut postgres = PostgresServer::start_with(options, vec![], citus)
            .await
            .unwrap();
        if citus == Citus::IfInstalled && !postgres.is_citus() {
            eprintln!("skipped: the Citus extension is not installed here");
            continue;
        }
        let url = postgres.create_database("kept").await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query("CREATE TABLE units (id bigint PRIMARY KEY)")
            .execute(&mut connection)
            .await
            .unwrap();
        if postgres.is_citus() {
            sqlx::query("SELECT create_distributed_table('units', 'id', shard_count => 4)")
                .execute(&mut connection)
                .await
                .unwrap();
        }
        sqlx::query("INSERT INTO units SELECT generate_series(1, 100)")
            .execute(&mut connection)
            .await
            .unwrap();
        // Not closed: its server process must not keep the dead server's memory.
        let port = postgres.server().port();
        postgres.kill().await.unwrap();
        for number in 0..postgres.workers().len() {
            postgres.worker_mut(number).unwrap().kill().await.unwrap();
        }
        postgres.restart().await.unwrap();
        assert_eq!(postgres.server().port(), port);
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let units: i64 = sqlx::query_scalar("SELECT count(*) FROM units")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(units, 100);
        let pids: Vec<_> = postgres
            .workers()
            .iter()
            .chain([postgres.server()])
            .map(pid)
            .collect();
        postgres.stop_all().await.unwrap();
        for pid in pids {
            assert!(is_over(pid));
        }
    }
}

fn topics(brokers: &str) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(None, LIMIT).unwrap();
    metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned())
        .collect()
}

#[tokio::test]
async fn kafka_keeps_its_topics_over_a_kill() {
    let mut kafka = KafkaServer::start(StartOptions::own("kafka").unwrap())
        .await
        .unwrap();
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .create()
        .unwrap();
    let topic = NewTopic::new("kept", 3, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let made = admin.create_topics([&topic], &options).await.unwrap();
    assert_eq!(made, [Ok("kept".to_owned())]);
    drop(admin);
    let first = pid(kafka.server());
    kafka.kill().await.unwrap();
    assert!(is_gone(kafka.server(), first));
    kafka.restart().await.unwrap();
    let brokers = kafka.brokers().to_owned();
    let found = tokio::task::spawn_blocking(move || topics(&brokers))
        .await
        .unwrap();
    assert!(found.contains(&"kept".to_owned()), "{found:?}");
    let second = pid(kafka.server());
    kafka.stop().await.unwrap();
    assert!(is_gone(kafka.server(), second));
}

#[tokio::test]
async fn the_api_server_keeps_its_objects_over_a_kill_of_itself_and_of_etcd() {
    let home = Home::own("kube").unwrap();
    let mut etcd = EtcdServer::start(StartOptions::within(home.clone(), "etcd"))
        .await
        .unwrap();
    let options = StartOptions::within(home, "kube-apiserver");
    let mut apiserver = ApiServer::start(options, &etcd).await.unwrap();
    let kubectl = ticket_testkit::Tools.kubectl().unwrap();
    let ask = |words: &[&str]| {
        let answer = std::process::Command::new(&kubectl)
            .arg("--kubeconfig")
            .arg(apiserver.kubeconfig())
            .args(words)
            .output()
            .unwrap();
        let text = [answer.stdout, answer.stderr].concat();
        (answer.status.success(), String::from_utf8(text).unwrap())
    };
    let version = ask(&["version", "-o", "json"]).1;
    assert!(version.contains("\"gitVersion\": \"v1."), "{version}");
    let (made, said) = ask(&["create", "configmap", "kept", "--from-literal=unit=1"]);
    assert!(made, "{said}");
    let pids = [pid(apiserver.server()), pid(etcd.server())];
    apiserver.kill().await.unwrap();
    etcd.kill().await.unwrap();
    assert!(is_gone(etcd.server(), pids[1]));
    etcd.restart().await.unwrap();
    apiserver.restart().await.unwrap();
    let ask = |words: &[&str]| {
        let answer = std::process::Command::new(&kubectl)
            .arg("--kubeconfig")
            .arg(apiserver.kubeconfig())
            .args(words)
            .output()
            .unwrap();
        String::from_utf8([answer.stdout, answer.stderr].concat()).unwrap()
    };
    let found = ask(&["get", "configmap", "kept", "-o", "jsonpath={.data.unit}"]);
    assert_eq!(found, "1");
    let allowed = ask(&["auth", "can-i", "list", "secrets", "--as=nobody"]);
    assert!(allowed.starts_with("no"), "RBAC is off: {allowed}");
}

/// Tells the helper below that it is wanted.
const HELPER: &str = "TESTKIT_HELPER";

/// Not a test of its own: the process that is killed by the test below. It starts a server and says which.
#[tokio::test]
async fn helper_that_starts_a_server_and_waits() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how a test talks to its own child"
    )]
    let Ok(note) = std::env::var(HELPER) else {
        return;
    };
    let redis = RedisServer::start(StartOptions::own("helper").unwrap())
        .await
        .unwrap();
    std::fs::write(note, pid(redis.server()).to_string()).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_servers_of_a_killed_test_process_die_with_it() {
    let home = Home::own("killed").unwrap();
    let note = home.dir().join("note");
    let mut helper = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "own_servers::helper_that_starts_a_server_and_waits",
        ])
        .env(HELPER, &note)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let server: u32 = eventually(|| std::fs::read_to_string(&note).ok()?.parse().ok()).await;
    assert!(!is_over(server));
    helper.kill().await.unwrap();
    eventually(|| is_over(server).then_some(())).await;
}

/// Looks until `look` finds something, for at most [`LIMIT`].
async fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "it did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
