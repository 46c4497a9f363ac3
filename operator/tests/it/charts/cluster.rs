//! An API server of our own: the operator with scope Cluster looks at all Events of it, and the shared one has everybody's.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::json;
use ticket_testkit::{ApiServer, EtcdServer, StartOptions, Tools, unique};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

use super::helm::{chart, succeed};

/// How long kubectl may take.
const KUBECTL_LIMIT: Duration = Duration::from_mins(1);

/// A cluster with our definitions.
pub(super) struct Cluster {
    _etcd: EtcdServer,
    server: ApiServer,
}

/// One for all tests of this process.
pub(super) async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER.get_or_init(Cluster::start).await
}

impl Cluster {
    async fn start() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let etcd = EtcdServer::start(StartOptions::own("charts-etcd").unwrap())
            .await
            .unwrap();
        let options = StartOptions::own("charts-kube-apiserver").unwrap();
        let server = ApiServer::start(options, &etcd).await.unwrap();
        let cluster = Self {
            _etcd: etcd,
            server,
        };
        let definitions = chart("ticket-crds").display().to_string();
        cluster
            .apply(&succeed(&["template", "crds", &definitions]))
            .await;
        let established = [
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd",
            "--all",
        ];
        cluster.kubectl(&established, None).await;
        cluster
    }

    pub(super) fn kubeconfig(&self) -> &Path {
        self.server.kubeconfig()
    }

    /// A client with an administrator's rights.
    pub(super) async fn client(&self) -> Client {
        let found = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(found, &options).await;
        Client::try_from(config.unwrap()).unwrap()
    }

    /// A new namespace. Only restricted pods may be in it.
    pub(super) async fn namespace(&self) -> String {
        let name = unique("charts");
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
            },
        }))
        .unwrap();
        let api: Api<Namespace> = Api::all(self.client().await);
        api.create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        name
    }

    /// What a person does with a rendered chart.
    pub(super) async fn apply(&self, rendered: &str) {
        self.kubectl(&["apply", "--server-side", "--filename=-"], Some(rendered))
            .await;
    }

    async fn kubectl(&self, arguments: &[&str], input: Option<&str>) {
        let mut running = tokio::process::Command::new(Tools.kubectl().unwrap())
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = running.stdin.take().unwrap();
        let work = async {
            stdin
                .write_all(input.unwrap_or_default().as_bytes())
                .await
                .unwrap();
            drop(stdin);
            running.wait_with_output().await.unwrap()
        };
        let answer = tokio::time::timeout(KUBECTL_LIMIT, work).await.unwrap();
        let said = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "kubectl {arguments:?}: {said}");
    }

    /// A kubeconfig for whoever has `token`.
    pub(super) fn kubeconfig_of(&self, token: &str, dir: &Path) -> PathBuf {
        let admin = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let cluster = admin.clusters[0].cluster.clone().unwrap();
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{ "name": "it", "cluster": cluster }],
            "users": [{ "name": "account", "user": { "token": token } }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "account" } }],
        });
        let path = dir.join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }
}
