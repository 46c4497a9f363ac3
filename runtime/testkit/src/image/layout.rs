//! The image itself: layers, a configuration, a manifest and an index, each named by the digest of its bytes.
//! Source: OCI Image Format Specification 1.1.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::rootfs::{self, AUTHORITIES, USER};
use crate::error::{Result, TestkitError};
use crate::files;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Something that is named by its digest.
struct Blob {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: sha256(&bytes),
            bytes,
        }
    }

    /// Hashed in one form only: no spaces, keys in the order of `serde_json`.
    fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }

    fn place(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }
}

/// An image under construction.
pub(super) struct Layout {
    name: String,
    version: String,
    created: Timestamp,
    layers: Vec<Blob>,
    /// Digests of the layers before they are compressed.
    diff_ids: Vec<String>,
    history: Vec<Value>,
}

impl Layout {
    pub(super) fn new(name: &str, version: &str, created: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            created,
            layers: Vec::new(),
            diff_ids: Vec::new(),
            history: Vec::new(),
        }
    }

    /// Adds a tar as the next layer.
    pub(super) fn layer(&mut self, what: &str, tar: &[u8]) -> Result<()> {
        let layer = Path::new("layer.tar.gz");
        // No time and no name of a file go into the header.
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packed
            .write_all(tar)
            .and_then(|()| packed.finish())
            .map_err(files::failed("pack", layer))?;
        self.diff_ids.push(format!("sha256:{}", sha256(tar)));
        self.layers.push(Blob::new(LAYER, packed));
        let created = self.created.to_string();
        self.history
            .push(json!({ "created": created, "created_by": what }));
        Ok(())
    }

    /// Writes the tar ball. Answers with the manifest's digest and the tar ball's size.
    pub(super) fn write(self, path: &Path) -> Result<(String, u64)> {
        let config = Blob::json(CONFIG, &self.config()?);
        let layers: Vec<Value> = self.layers.iter().map(Blob::descriptor).collect();
        let manifest = Blob::json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": layers,
            }),
        );
        let reference = format!("{}:{}", self.name, self.version);
        let mut entry = manifest.descriptor();
        entry["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/library/{reference}"),
            "org.opencontainers.image.ref.name": self.version,
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        let of_docker = json!([{
            "Config": config.place(),
            "RepoTags": [reference],
            "Layers": self.layers.iter().map(Blob::place).collect::<Vec<_>>(),
        }]);

        let mut parts = vec![
            (
                "oci-layout".to_owned(),
                json!({ "imageLayoutVersion": "1.0.0" })
                    .to_string()
                    .into_bytes(),
            ),
            ("index.json".to_owned(), index.to_string().into_bytes()),
            (
                "manifest.json".to_owned(),
                of_docker.to_string().into_bytes(),
            ),
        ];
        let digest = format!("sha256:{}", manifest.digest);
        for blob in [manifest, config].into_iter().chain(self.layers) {
            parts.push((blob.place(), blob.bytes));
        }
        let tar = packed(&parts, self.created).map_err(files::failed("pack", path))?;
        files::write_bytes(path, &tar)?;
        Ok((digest, u64::try_from(tar.len()).unwrap_or(u64::MAX)))
    }

    fn config(&self) -> Result<Value> {
        Ok(json!({
            "created": self.created.to_string(),
            "architecture": architecture()?,
            "os": "linux",
            "config": {
                "User": format!("{USER}:{USER}"),
                // OpenSSL looks where its own package keeps certificates, which is not here.
                "Env": ["PATH=/usr/bin", format!("SSL_CERT_FILE=/{AUTHORITIES}")],
                "Entrypoint": [format!("/usr/bin/{}", self.name)],
                "WorkingDir": "/",
                "Labels": {
                    "org.opencontainers.image.licenses": "Apache-2.0",
                    "org.opencontainers.image.title": self.name,
                    "org.opencontainers.image.version": self.version,
                },
            },
            "rootfs": { "type": "layers", "diff_ids": self.diff_ids },
            "history": self.history,
        }))
    }
}

/// The machine that the program was built for, in the words of Go.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(TestkitError::Setting {
            name: "the machine",
            reason: format!("images are made for x86_64 and aarch64, not for {other}"),
        }),
    }
}

fn packed(parts: &[(String, Vec<u8>)], created: Timestamp) -> std::io::Result<Vec<u8>> {
    let time_s = u64::try_from(created.as_second()).unwrap_or_default();
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in parts {
        let mut header = rootfs::header(tar::EntryType::Regular, 0o644, bytes.len(), time_s);
        tar.append_data(&mut header, path, bytes.as_slice())?;
    }
    tar.into_inner()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
