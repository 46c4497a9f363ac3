//! The demo's event: applies the example and waits until it is ready. What an earlier run left is removed with its data
//! first, so that the demo can be repeated on the same stack.

use anyhow::Context as _;
use ticket_core::EventName;
use ticket_testkit::workspace_dir;

use crate::admin::Admin;
use crate::kubectl::Kubectl;
use crate::say;
use crate::stack_env::StackEnv;

/// In the checkout.
const EXAMPLE: &str = "crds/examples/demo.yaml";

/// The resource that the example makes.
const RESOURCE: &str = "events.ticketctl.io/demo";

/// Where.
const NAMESPACE: &str = "default";

/// Twice, because a fresh resource may adopt stock that an earlier one left with `deletionPolicy: Retain`; what this one
/// then removes stays removed.
const ROUNDS_MAX: usize = 2;

/// The event that the example makes.
pub(super) fn name() -> anyhow::Result<EventName> {
    EventName::new(NAMESPACE, "demo").context("the example's name")
}

/// The example's event, ready and with all its tickets.
pub(super) async fn untouched(kubectl: &Kubectl, env: &StackEnv) -> anyhow::Result<EventName> {
    let event = name()?;
    let file = workspace_dir().join(EXAMPLE);
    let file = file.to_str().context("the checkout's path is not UTF-8")?;
    let admin = Admin::new(env)?;
    for _ in 0..ROUNDS_MAX {
        let why = "an earlier run left the event: it is deleted with its data";
        remove(kubectl, why).await?;
        say::progress(&format!("kubectl apply --server-side -f {EXAMPLE}"));
        kubectl
            .run(&["apply", "--server-side", "--force-conflicts", "-f", file])
            .await?;
        // The operator's own words are worth more than "timed out waiting".
        let wait = [
            "wait",
            RESOURCE,
            "-n",
            NAMESPACE,
            "--for=condition=Ready",
            "--timeout=60s",
        ];
        if let Err(error) = kubectl.run(&wait).await {
            let status = ["get", RESOURCE, "-n", NAMESPACE, "-o", "jsonpath={.status}"];
            let status = kubectl.run(&status).await.unwrap_or_default();
            return Err(error.context(format!("{event} is not ready, its status is: {status}")));
        }
        say::progress(&format!("{event} is ready"));
        if is_untouched(&admin, &event).await? {
            return Ok(event);
        }
        say::progress(&format!("{event} has the orders of an earlier sale"));
    }
    anyhow::bail!("{event} has orders although it was deleted with its data and applied anew")
}

/// Removes the event with its data, if it is there; `why` is for whoever watches.
pub(super) async fn remove(kubectl: &Kubectl, why: &str) -> anyhow::Result<()> {
    let there = [
        "get",
        RESOURCE,
        "-n",
        NAMESPACE,
        "--ignore-not-found",
        "-o",
        "name",
    ];
    if kubectl.run(&there).await?.trim().is_empty() {
        return Ok(());
    }
    say::progress(why);
    let policy = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
    kubectl
        .run(&[
            "patch",
            RESOURCE,
            "-n",
            NAMESPACE,
            "--type=merge",
            "-p",
            policy,
        ])
        .await?;
    let delete = [
        "delete",
        RESOURCE,
        "-n",
        NAMESPACE,
        "--wait",
        "--timeout=60s",
    ];
    kubectl.run(&delete).await.map(|_| ())
}

async fn is_untouched(admin: &Admin, event: &EventName) -> anyhow::Result<bool> {
    let stock = admin.stock(event).await?;
    let is_full = stock.iter().all(|stock| stock.available == stock.capacity);
    Ok(is_full && admin.orders(event).await?.is_empty())
}
