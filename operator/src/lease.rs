//! One of several replicas works: whoever holds the lease. Losing it ends the process, at once; nothing is handed over in
//! memory. The lease only saves work and noise: two that work at the same time do no harm, because the ledger, the store
//! and the log refuse what is stale.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use ticket_core::{ErrorClass, clock};
use ticket_telemetry::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::LeaseConfig;
use crate::error::{OperatorError, Result, status_code};
use crate::kubernetes;

/// A holder that is not heard of for so long has lost the lease.
const LEASE_FOR: Duration = Duration::from_secs(15);
/// How often the holder is heard of.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// A holder that could not renew for so long stops by itself, well before anybody else may begin.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often those who wait look.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The lease, as one replica sees it.
pub(crate) struct Lease {
    api: Api<LeaseObject>,
    name: String,
    identity: String,
}

/// Somebody else's lease, and since when it has not changed: by our own monotonic clock, because clocks differ.
struct Watched {
    version: Option<String>,
    since: Instant,
}

impl Lease {
    pub(crate) fn new(client: Client, config: LeaseConfig) -> Self {
        let LeaseConfig {
            namespace,
            name,
            identity,
        } = config;
        Self {
            api: Api::namespaced(client, &namespace),
            name,
            identity,
        }
    }

    /// Waits until the lease is ours. `false`: told to stop before.
    pub(crate) async fn acquire(&self, stop: &CancellationToken) -> Result<bool> {
        let mut watched = None;
        loop {
            match self.try_acquire(&mut watched).await {
                Ok(true) => {
                    info!(lease = self.name, identity = self.identity, "leading");
                    return Ok(true);
                }
                Ok(false) => debug!(lease = self.name, "somebody else leads"),
                Err(error) if error.class() == ErrorClass::Permanent => return Err(error),
                Err(error) => warn!(error = %chain(&error), "lease not read, trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(false),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Renews until `stop`, then gives the lease back.
    ///
    /// # Errors
    /// The lease is lost: the process must end.
    pub(crate) async fn keep(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => anyhow::bail!("the lease {} was taken over", self.name),
                Ok(Err(error)) => warn!(error = %chain(&error), "lease not renewed, trying again"),
                Err(_) => {}
            }
            anyhow::ensure!(
                renewed.elapsed() < RENEW_DEADLINE,
                "the lease {} could not be renewed for {} s",
                self.name,
                RENEW_DEADLINE.as_secs()
            );
        }
        if let Err(error) = self.give_back().await {
            debug!(error = %chain(&error), "lease not given back, it runs out");
        }
        Ok(())
    }

    async fn try_acquire(&self, watched: &mut Option<Watched>) -> Result<bool> {
        let Some(mut lease) =
            kubernetes::call("read the lease", self.api.get_opt(&self.name)).await?
        else {
            return self.create().await;
        };
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.clone());
        let holder = holder.unwrap_or_default();
        if holder != self.identity && !holder.is_empty() {
            let version = lease.resource_version();
            let since = match watched {
                Some(seen) if seen.version == version => seen.since,
                Some(_) | None => {
                    *watched = Some(Watched {
                        version,
                        since: Instant::now(),
                    });
                    return Ok(false);
                }
            };
            if since.elapsed() < LEASE_FOR {
                return Ok(false);
            }
            warn!(
                lease = self.name,
                holder, "the holder is not heard of, taking over"
            );
        }
        let transitions = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            acquire_time: Some(MicroTime(clock::now())),
            lease_transitions: Some(transitions.saturating_add(1)),
            ..self.spec(clock::now())
        });
        self.replace("take the lease", &lease).await
    }

    async fn create(&self) -> Result<bool> {
        let now = clock::now();
        let lease = LeaseObject {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                acquire_time: Some(MicroTime(now)),
                ..self.spec(now)
            }),
        };
        let params = PostParams::default();
        let created = self.api.create(&params, &lease);
        lost_race(
            kubernetes::call("make the lease", created)
                .await
                .map(|_| ()),
        )
    }

    async fn renew(&self) -> Result<bool> {
        let lease = kubernetes::call("read the lease", self.api.get_opt(&self.name)).await?;
        let Some(mut lease) = lease else {
            return self.create().await;
        };
        let Some(spec) = lease.spec.as_mut() else {
            return Ok(false);
        };
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            return Ok(false);
        }
        spec.renew_time = Some(MicroTime(clock::now()));
        self.replace("renew the lease", &lease).await
    }

    async fn give_back(&self) -> Result<()> {
        let lease = kubernetes::call("read the lease", self.api.get_opt(&self.name)).await?;
        let Some(mut lease) = lease else {
            return Ok(());
        };
        match lease.spec.as_mut() {
            Some(spec) if spec.holder_identity.as_ref() == Some(&self.identity) => {
                spec.holder_identity = Some(String::new());
            }
            Some(_) | None => return Ok(()),
        }
        self.replace("give the lease back", &lease)
            .await
            .map(|_| ())
    }

    /// `false`: somebody else changed it meanwhile.
    async fn replace(&self, action: &'static str, lease: &LeaseObject) -> Result<bool> {
        let params = PostParams::default();
        let replaced = self.api.replace(&self.name, &params, lease);
        lost_race(kubernetes::call(action, replaced).await.map(|_| ()))
    }

    fn spec(&self, now: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_FOR.as_secs()).ok(),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }
    }
}

fn lost_race(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(OperatorError::Kubernetes { cause, .. })
            if matches!(status_code(&cause), Some(409)) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_stops_before_anybody_else_may_begin() {
        assert!(RENEW_EVERY < RENEW_DEADLINE);
        // What a holder still has under way when it stops ends in the rest.
        assert!(RENEW_DEADLINE < LEASE_FOR);
        assert!(LOOK_EVERY < LEASE_FOR);
    }
}
