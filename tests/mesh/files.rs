//! Certificates that something else makes and puts beside the Envoys: they rotate under load, in both forms that files have.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::certificates::{Authority, Credentials};
use super::held::Held;
use super::pod::FOLDER;
use super::space::need_namespaces;
use super::world::{WEB_IN_EAST, World, spiffe_id, workload};

/// How often each of both certificates changes.
const ROTATIONS: usize = 5;

/// As a file of SDS that is replaced as a whole.
fn replace(certificates: &Path, credentials: &Credentials) {
    let [(name, own), _] = credentials.files();
    fs::write(certificates.join("next"), own).expect("it can be written");
    fs::rename(certificates.join("next"), certificates.join(name)).expect("it can be moved");
}

/// As a Secret, or a volume of a CSI driver, is mounted: the files are links into a folder that is swapped as a whole. The file of SDS
/// names them and stays as it is.
fn mount(certificates: &Path, credentials: &Credentials, generation: usize) {
    let mounted = certificates.join("mounted");
    let folder = mounted.join(format!("..{generation}"));
    fs::create_dir_all(&folder).expect("it can be made");
    let Credentials { chain, key, roots } = credentials;
    for (name, text) in [("tls.crt", chain), ("tls.key", key), ("ca.crt", roots)] {
        fs::write(folder.join(name), text).expect("it can be written");
        let link = mounted.join(name);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(name), link).expect("it can be linked");
        }
    }
    symlink(format!("..{generation}"), mounted.join("..data_tmp")).expect("it can be linked");
    fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).expect("it can be moved");
}

fn name_mounted_files(certificates: &Path) {
    let mounted = format!("{FOLDER}/certificates/mounted");
    let url = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    let watched = json!({ "path": mounted });
    let own = json!({ "@type": url, "name": "default", "tls_certificate": {
        "certificate_chain": { "filename": format!("{mounted}/tls.crt") },
        "private_key": { "filename": format!("{mounted}/tls.key") },
        "watched_directory": watched,
    } });
    let roots = json!({ "@type": url, "name": "ROOTCA", "validation_context": {
        "trusted_ca": { "filename": format!("{mounted}/ca.crt") },
        "watched_directory": watched,
    } });
    for (name, secret) in [("default.yaml", own), ("ROOTCA.yaml", roots)] {
        let text = json!({ "resources": [secret] }).to_string();
        fs::write(certificates.join("next"), text).expect("it can be written");
        fs::rename(certificates.join("next"), certificates.join(name)).expect("it can be moved");
    }
}

/// The serial numbers of the certificates that an Envoy has.
fn serials(world: &World, pod: &str) -> BTreeSet<String> {
    Held::by(&world.pods[pod].space).serials
}

/// Waits until an Envoy has other certificates only.
async fn rotated(world: &World, pod: &str, before: &BTreeSet<String>) {
    let look = async || match serials(world, pod) {
        now if !now.is_empty() && now.is_disjoint(before) => Ok(()),
        now => Err(format!("{pod} has {now:?}")),
    };
    world.until("other certificates", look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_from_files_rotate_under_load() {
    need_namespaces();
    let mut world = World::new("  mtls: strict\n").await;
    let web = world.web();
    world.say_web(&web[..1]);
    world.add(workload("client-1", "east", "10.1.0.10"), "0.0.0.0").await;
    world.add(web[0].clone(), "0.0.0.0").await;
    world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-1").await;

    let folder = |pod: &str| world.path(pod).join("certificates");
    // Each from a new intermediate of the same root.
    let issue = |pod: &'static str| issue(&world.root, pod);
    let (ended, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let rotations = async || {
        for generation in 0..ROTATIONS {
            let before = serials(&world, "client-1");
            replace(&folder("client-1"), &issue("client-1"));
            rotated(&world, "client-1", &before).await;

            let before = serials(&world, "web-1");
            mount(&folder("web-1"), &issue("web-1"), generation);
            if generation == 0 {
                name_mounted_files(&folder("web-1"));
            }
            rotated(&world, "web-1", &before).await;
        }
    };
    let handle = tokio::runtime::Handle::current();
    let failed = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut failed = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    match world.get("client-1", (WEB_IN_EAST, 80), "web") {
                        Ok(answer) if answer.status == 200 => {}
                        other => failed.push(format!("{other:?}")),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failed
            });
            handle.block_on(rotations());
            ended.store(true, Ordering::Relaxed);
            load.join().expect("it doesn't panic")
        })
    });
    let asked = asked.into_inner();
    assert!(asked > ROTATIONS, "{asked} requests are no load");
    assert_eq!(failed, Vec::<String>::new(), "of {asked}");
    // The client's connections are new ones each, so the last certificates were used.
    let answers = world.count("client-1", (WEB_IN_EAST, 80), 5);
    assert_eq!(answers, [("web-1".to_owned(), 5)].into());
    world.nobody_refused_anything();
}

fn issue(root: &Authority, pod: &'static str) -> Credentials {
    root.intermediate("another").workload(&spiffe_id(pod))
}
