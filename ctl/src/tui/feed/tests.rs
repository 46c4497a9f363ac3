//! The loop and the real background tasks, against servers that hang, are down and come back.

use std::net::TcpListener;
use std::pin::pin;

use clap::Parser;
use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;
use ticket_crds::ShardRebalance;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::action::Place;
use super::super::context::Context;
use super::super::event_loop::{Desk, Input, run};
use super::super::key::Key;
use super::super::mailbox::COMMANDS_MAX;
use super::super::state::State;
use super::super::update::{Message, update};
use super::super::wanted::wanted;
use super::*;
use crate::access::Role;
use crate::cli::Cli;

/// Longest wait of a test for what should come within a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

struct Started {
    mailbox: Arc<Mailbox>,
    wanted: watch::Sender<Wanted>,
    commands: mpsc::Sender<Command>,
}

fn started(url: &str) -> Started {
    // Only the first test of the process installs it; the others find it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let flags = [
        "ticketctl",
        "lag",
        "--admin-url",
        url,
        "--kubeconfig",
        "/nonexistent",
    ];
    let mut global = Cli::try_parse_from(flags).unwrap().global;
    global.token = Some("t0ken".to_owned());
    started_with(Clients::new(global, Role::Viewer))
}

fn started_with(clients: Clients) -> Started {
    let mailbox = Arc::new(Mailbox::default());
    let (wanted, wanted_there) = watch::channel(Wanted::default());
    let (commands, commands_there) = mpsc::channel(COMMANDS_MAX);
    start(clients, Arc::clone(&mailbox), wanted_there, commands_there).unwrap();
    Started {
        mailbox,
        wanted,
        commands,
    }
}

fn state(place: Place) -> State {
    let event = Some("default.demo".to_owned());
    State::new(Context::default(), place, event, clock::now())
}

/// The next reading of `topic`.
async fn next(mailbox: &Mailbox, topic: Topic) -> Reading {
    let reading = async {
        loop {
            mailbox.changed().await;
            let readings = mailbox.take().readings;
            if let Some(found) = readings.into_iter().find(|it| it.topic == topic) {
                return found;
            }
        }
    };
    timeout(PATIENCE, reading).await.unwrap()
}

/// How the next command ended.
async fn outcome(mailbox: &Mailbox) -> Outcome {
    let outcome = async {
        loop {
            mailbox.changed().await;
            if let Some(outcome) = mailbox.take().outcomes.pop() {
                return outcome;
            }
        }
    };
    timeout(PATIENCE, outcome).await.unwrap()
}

#[tokio::test]
async fn keys_are_served_while_a_server_takes_connections_and_never_answers() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let Started {
        mailbox,
        wanted,
        commands,
    } = started(&format!("http://{}", hanging.local_addr().unwrap()));
    let mut state = state(Place::Stock);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let desk = Desk {
        mailbox: &mailbox,
        wanted,
        commands,
    };
    // A connection is open and a question is asked before the first key is pressed.
    let asked = tokio::task::spawn_blocking(move || hanging.accept().map(|it| (it, hanging)));
    desk.wanted
        .send_replace(super::super::wanted::wanted(&state));
    let _held_open = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap();
    // Through all views and into a prompt, and out at the end: `q` is only reached when every key before it was served.
    let keys = "1234567?k:stock".chars().map(Key::char).map(Input::Key);
    let quit = [Key::ctrl('c'), Key::char('q')].map(Input::Key);
    let inputs = stream::iter(keys.chain(quit)).chain(stream::pending());
    let served = run(&mut terminal, inputs, &desk, &mut state, clock::now);
    timeout(ANSWER_TIMEOUT / 2, served).await.unwrap().unwrap();
    // Nothing was ever answered, so nothing that was served can have waited for an answer.
    assert!(state.data.access.value.is_none() && state.data.access.trouble.is_none());
}

#[tokio::test]
async fn a_platform_that_is_down_is_named_and_one_that_comes_back_is_seen_without_a_key() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let Started {
        mailbox,
        wanted,
        commands,
    } = started(&format!("http://{address}"));
    let mut state = state(Place::Lag);
    wanted.send_replace(super::super::wanted::wanted(&state));
    let first = next(&mailbox, Topic::Lag).await;
    let trouble = first.result.clone().unwrap_err();
    assert!(
        trouble.what.contains("could not reach the admin API"),
        "{trouble:?}"
    );
    assert!(trouble.next.is_some());
    let mail = super::super::mailbox::Mail {
        readings: vec![first],
        ..super::super::mailbox::Mail::default()
    };
    update(&mut state, Message::Mail(mail), clock::now());
    assert!(state.data.lag.trouble.is_some());

    let listener = TcpListener::bind(address).unwrap();
    let server = MockServer::builder().listener(listener).start().await;
    let body = serde_json::json!({"items": []});
    Mock::given(path("/admin/v1/lag"))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    let recovered = async {
        loop {
            if next(&mailbox, Topic::Lag).await.result.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, recovered).await.unwrap();
    drop(commands);
}

#[tokio::test]
async fn what_nobody_looks_at_is_not_asked_for_and_a_command_is_asked_once() {
    let server = MockServer::start().await;
    let warmup = serde_json::json!({"event": "default.demo", "epoch": 7, "history": []});
    Mock::given(path("/admin/v1/events/default.demo/warmup/lock"))
        .respond_with(ResponseTemplate::new(200).set_body_json(warmup))
        .expect(1)
        .mount(&server)
        .await;
    let Started {
        mailbox,
        wanted: asks,
        commands,
    } = started(&server.uri());
    let mut state = state(Place::Shards);
    asks.send_replace(wanted(&state));
    next(&mailbox, Topic::Shards).await;
    state.stack = vec![super::super::state::Open::new(
        super::super::screens::Screen::Lag,
    )];
    asks.send_replace(wanted(&state));
    next(&mailbox, Topic::Lag).await;
    let command = Command {
        deed: Deed::Lock,
        target: Target::Event("default.demo".to_owned()),
    };
    commands.send(command.clone()).await.unwrap();
    let outcome = outcome(&mailbox).await;
    assert_eq!(outcome.command, command);
    assert_eq!(outcome.result.as_deref(), Ok("the sale is held at epoch 7"));
    let before = server.received_requests().await.unwrap();
    let shards = |requests: &[wiremock::Request]| {
        let shards = requests
            .iter()
            .filter(|it| it.url.path() == "/admin/v1/shards");
        shards.count()
    };
    // Two more answers about what is looked at, and none about what is not.
    next(&mailbox, Topic::Lag).await;
    next(&mailbox, Topic::Lag).await;
    let after = server.received_requests().await.unwrap();
    assert_eq!(shards(&before), shards(&after));
    assert!(shards(&after) > 0);
}

#[tokio::test]
async fn the_end_of_the_background_tasks_ends_the_loop_with_a_word() {
    let Started {
        mailbox,
        wanted,
        commands,
    } = started("http://127.0.0.1:9");
    // As a panic of the thread would.
    mailbox.close();
    let desk = Desk {
        mailbox: &mailbox,
        wanted,
        commands,
    };
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let mut state = state(Place::Events);
    let ended = run(
        &mut terminal,
        stream::pending(),
        &desk,
        &mut state,
        clock::now,
    );
    let error = timeout(PATIENCE, ended).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the background tasks ended");
}

/// A cockpit whose rebalances are those of a real API server, and its client.
async fn with_kubernetes() -> (Started, Api<ShardRebalance>) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let path = ticket_testkit::shared().await.kubeconfig();
    let flags = ["ticketctl", "lag", "--kubeconfig", path.to_str().unwrap()];
    let global = Cli::try_parse_from(flags).unwrap().global;
    let clients = Clients::new(global, Role::Manager);
    let api = Api::all(clients.kube().await.unwrap());
    (started_with(clients), api)
}

/// What the operator would say of it.
async fn say(api: &Api<ShardRebalance>, name: &str, phase: &str) {
    let generation = api.get(name).await.unwrap().metadata.generation;
    let status = json!({ "status": {
        "observedGeneration": generation, "proposedGeneration": 1, "phase": phase,
        "progress": { "done": 0, "total": 1, "bytes": 2048, "bytesDone": 0 },
        "moves": [{
            "stockShardIds": [7], "range": { "low": 0, "high": 0 }, "from": "a:5432", "to": "b:5432",
            "state": "Pending", "retries": 0,
        }],
    }});
    let patch = Patch::Merge(&status);
    let params = PatchParams::default();
    api.patch_status(name, &params, &patch).await.unwrap();
}

#[tokio::test]
async fn a_rebalance_is_planned_approved_stopped_and_resumed_from_the_cockpit() {
    let (started, api) = with_kubernetes().await;
    let command = |deed, target| Command { deed, target };
    let node = format!("{}:5432", ticket_testkit::unique("node"));
    let plan = command(Deed::PlanDrain, Target::Node(node.clone()));
    started.commands.send(plan.clone()).await.unwrap();
    let all = watcher(api.clone(), watcher::Config::default()).applied_objects();
    let mut made = pin!(all.try_filter(|it| ready(it.spec.node.as_ref() == Some(&node))));
    let made = timeout(PATIENCE, made.try_next()).await.unwrap();
    let name = made.unwrap().unwrap().name_any();
    say(&api, &name, "Proposed").await;
    let planned = outcome(&started.mailbox).await;
    assert_eq!(planned.command, plan);
    let expected = format!("{name} waits for approval: moves: 1, 2.0 KiB");
    assert_eq!(planned.result, Ok(expected));

    let state = state(Place::Rebalances);
    started.wanted.send_replace(wanted(&state));
    let shown = next(&started.mailbox, Topic::Rebalances).await;
    let Answer::Rebalances(all) = shown.result.unwrap() else {
        panic!("another answer");
    };
    let version = all.into_iter().find(|it| it.name == name).unwrap().version;
    let target = |version: Option<&str>| Target::Rebalance {
        name: name.clone(),
        version: version.map(str::to_owned),
    };
    let done = async |deed, version: Option<&str>| {
        let command = command(deed, target(version));
        started.commands.send(command).await.unwrap();
        outcome(&started.mailbox).await.result
    };
    // What was shown is not what is there.
    let outdated = done(Deed::Approve, Some("1")).await.unwrap_err();
    assert!(
        outdated.what.contains("has changed since it was shown"),
        "{outdated:?}"
    );
    assert!(!api.get(&name).await.unwrap().spec.approve);
    let nothing = done(Deed::Stop, None).await.unwrap_err();
    assert!(nothing.what.contains("nothing to stop"), "{nothing:?}");
    done(Deed::Approve, version.as_deref()).await.unwrap();
    assert!(api.get(&name).await.unwrap().spec.approve);
    say(&api, &name, "Rebalancing").await;
    done(Deed::Stop, None).await.unwrap();
    assert!(api.get(&name).await.unwrap().spec.stop);
    say(&api, &name, "Stopped").await;
    done(Deed::Resume, None).await.unwrap();
    let spec = api.get(&name).await.unwrap().spec;
    assert!(spec.approve && !spec.stop);
    api.delete(&name, &DeleteParams::default()).await.unwrap();
}
