//! An image is read back the way a registry and a container runtime do: every digest is checked, the layers are unpacked,
//! and the program runs from them, with nothing else.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use ticket_testkit::image::{self, Image, ImageOptions};
use ticket_testkit::{Binary, Home};

/// Seconds since 1970 that the images here are made at.
const CREATED_S: i64 = 1_700_000_000;

type Files = BTreeMap<String, Vec<u8>>;

fn made(out: &Path) -> Image {
    image::write(&ImageOptions {
        program: Binary::Runtime.path().unwrap(),
        version: "1.2.3".to_owned(),
        created_s: CREATED_S,
        out: out.to_path_buf(),
    })
    .unwrap()
}

fn unpacked(tar_ball: &Path) -> Files {
    let mut tar = tar::Archive::new(std::fs::File::open(tar_ball).unwrap());
    let mut files = Files::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert!(files.insert(path, bytes).is_none());
    }
    files
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// What a descriptor stands for, after checking that it is that.
fn blob<'a>(files: &'a Files, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))];
    assert_eq!(sha256(bytes), digest);
    assert_eq!(descriptor["size"].as_u64(), Some(bytes.len() as u64));
    bytes
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Runs the program with `root` as its whole world, or where that is not allowed with the loader and the libraries of
/// `root` alone.
fn run(root: &Path, entrypoint: &str) -> Output {
    let inside = Command::new("chroot")
        .arg(root)
        .args([entrypoint, "--version"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    // 125: chroot itself could not.
    if inside.status.code() != Some(125) {
        return inside;
    }
    let inner = |path: &str| root.join(path.trim_start_matches('/'));
    let loader = ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"].map(inner);
    let loader = loader.iter().find(|path| path.is_file()).unwrap();
    let machine = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let libraries = [machine.as_str(), "lib64", "lib"].map(|dir| inner(dir).display().to_string());
    Command::new(loader)
        .args(["--inhibit-cache", "--library-path", &libraries.join(":")])
        .arg(inner(entrypoint))
        .arg("--version")
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn an_image_holds_what_its_digests_say_is_the_same_each_time_and_its_program_runs() {
    let home = Home::own("image").unwrap();
    let (first, second) = (made(&home.dir().join("a")), made(&home.dir().join("b")));
    assert_eq!(first.name, "ticket-runtime:1.2.3");
    let bytes = std::fs::read(&first.path).unwrap();
    assert_eq!(first.bytes, bytes.len() as u64);
    assert!(
        bytes == std::fs::read(&second.path).unwrap(),
        "two images of one program differ"
    );

    let files = unpacked(&first.path);
    assert_eq!(json(&files["oci-layout"])["imageLayoutVersion"], "1.0.0");
    let index = json(&files["index.json"]);
    assert_eq!(index["manifests"][0]["digest"], first.digest.as_str());
    let manifest = json(blob(&files, &index["manifests"][0]));
    let config = json(blob(&files, &manifest["config"]));
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["config"]["User"], "65532:65532");

    let root = home.dir().join("root");
    let layers = manifest["layers"].as_array().unwrap();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    assert_eq!(layers.len(), diff_ids.len());
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        let mut plain = Vec::new();
        let mut packed = flate2::read::GzDecoder::new(blob(&files, layer));
        packed.read_to_end(&mut plain).unwrap();
        assert_eq!(diff_id.as_str(), Some(sha256(&plain).as_str()));
        let mut tar = tar::Archive::new(plain.as_slice());
        for entry in tar.entries().unwrap() {
            let header = entry.unwrap().header().clone();
            let owner = (header.uid().unwrap(), header.gid().unwrap());
            assert_eq!(owner, (0, 0));
            assert_eq!(header.mtime().unwrap(), CREATED_S.unsigned_abs());
        }
        let mut tar = tar::Archive::new(plain.as_slice());
        tar.set_preserve_ownerships(false);
        tar.unpack(&root).unwrap();
    }
    // Docker's list names the same blobs, and nothing is in the tar ball that nobody names.
    let of_docker = json(&files["manifest.json"]);
    assert_eq!(
        of_docker[0]["Layers"].as_array().unwrap().len(),
        layers.len()
    );
    assert_eq!(files.len(), 3 + 2 + layers.len());

    let passwd = std::fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(passwd.contains(":65532:65532:"), "{passwd}");
    assert!(root.join("etc/ssl/certs/ca-certificates.crt").is_file());
    assert!(!root.join("bin").exists(), "there is no shell");
    let entrypoint = config["config"]["Entrypoint"][0].as_str().unwrap();
    let ran = run(&root, entrypoint);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.starts_with("ticket-runtime "),
        "{ran:?}"
    );
}
