//! Holds the code to ARCHITECTURE.md: which module may name which other and which crates, which files are pure, where the
//! doors are, how long a file may be. The checker itself is proven on small wrong trees (`architecture/wrong_trees.rs`).
//!
//! It reads text, not types: an edge made inside of a macro slips through.

use std::path::Path;

#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tree.rs"]
mod tree;
#[path = "architecture/wrong_trees.rs"]
mod wrong_trees;

use rules::Purity::{Pure, Shell};
use rules::{Architecture, Layer};

/// In the order data flows, the table of ARCHITECTURE.md. An edge that is missing here is missing on purpose.
const PARALLAX: Architecture = Architecture {
    layers: &[
        Layer {
            name: "model",
            purity: Pure,
            may_use: &[],
            without: &[
                "arc_swap",
                "axum",
                "clap",
                "dashmap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "notify",
                "prost",
                "tokio",
                "tonic",
            ],
        },
        Layer {
            name: "control",
            purity: Shell,
            may_use: &["model", "table", "crd", "registry", "lifecycle"],
            without: &["axum", "clap", "envoy_types", "notify", "prost", "tonic"],
        },
        Layer {
            name: "crd",
            purity: Pure,
            may_use: &[],
            without: &[
                "axum",
                "clap",
                "dashmap",
                "envoy_types",
                "k8s_openapi",
                "kube",
                "notify",
                "prost",
                "tokio",
                "tonic",
            ],
        },
        Layer {
            name: "registry",
            purity: Shell,
            may_use: &["model", "table", "crd", "lifecycle"],
            without: &["axum", "clap", "envoy_types", "prost", "tonic"],
        },
        Layer {
            name: "table",
            purity: Shell,
            may_use: &["model", "lifecycle"],
            without: &[
                "axum",
                "clap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "notify",
                "prost",
                "tokio",
                "tonic",
            ],
        },
        Layer {
            name: "store",
            purity: Shell,
            may_use: &["model", "table", "lifecycle"],
            without: &[
                "axum",
                "clap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "notify",
                "tonic",
            ],
        },
        Layer {
            name: "view",
            purity: Pure,
            may_use: &["model", "table"],
            without: &[
                "axum",
                "clap",
                "dashmap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "notify",
                "prost",
                "tokio",
                "tonic",
            ],
        },
        Layer {
            name: "resources",
            purity: Pure,
            may_use: &["model", "view"],
            without: &[
                "axum",
                "clap",
                "dashmap",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "notify",
                "tokio",
                "tonic",
            ],
        },
        Layer {
            name: "cache",
            purity: Shell,
            may_use: &["model", "resources", "lifecycle"],
            without: &[
                "axum",
                "clap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "notify",
                "tonic",
            ],
        },
        Layer {
            name: "push",
            purity: Shell,
            may_use: &["model", "table", "view", "resources", "cache", "lifecycle"],
            without: &[
                "axum",
                "clap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "notify",
                "tonic",
            ],
        },
        Layer {
            name: "identity",
            purity: Shell,
            may_use: &["model", "lifecycle"],
            without: &[
                "axum",
                "clap",
                "envoy_types",
                "k8s_openapi",
                "kube",
                "notify",
                "prost",
                "tonic",
            ],
        },
        Layer {
            name: "xds",
            purity: Shell,
            may_use: &["model", "resources", "cache", "identity", "tls", "lifecycle"],
            without: &["clap", "hickory_resolver", "k8s_openapi", "kube", "notify"],
        },
        Layer {
            name: "admin",
            purity: Shell,
            may_use: &[
                "model",
                "table",
                "view",
                "resources",
                "cache",
                "push",
                "registry",
                "identity",
                "xds",
                "config",
                "telemetry",
                "tls",
                "lifecycle",
            ],
            without: &["clap", "hickory_resolver", "k8s_openapi", "kube", "notify"],
        },
        Layer {
            name: "cli",
            purity: Shell,
            may_use: &["model", "identity", "config", "crd", "admin::proto", "lifecycle"],
            without: &["axum", "dashmap", "envoy_types", "hickory_resolver", "notify"],
        },
        Layer {
            name: "config",
            purity: Shell,
            may_use: &["lifecycle"],
            without: &[
                "axum",
                "dashmap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "tokio",
                "tonic",
            ],
        },
        Layer {
            name: "lifecycle",
            purity: Shell,
            may_use: &[],
            without: &[
                "axum",
                "clap",
                "dashmap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "tonic",
            ],
        },
        Layer {
            name: "telemetry",
            purity: Shell,
            may_use: &["lifecycle"],
            without: &[
                "axum",
                "dashmap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
                "tonic",
            ],
        },
        Layer {
            name: "tls",
            purity: Shell,
            may_use: &["lifecycle"],
            without: &[
                "axum",
                "clap",
                "dashmap",
                "envoy_types",
                "hickory_resolver",
                "k8s_openapi",
                "kube",
            ],
        },
        Layer {
            name: "app",
            purity: Shell,
            may_use: &[
                "model",
                "control",
                "crd",
                "registry",
                "store",
                "table",
                "view",
                "resources",
                "cache",
                "push",
                "identity",
                "xds",
                "admin",
                "cli",
                "config",
                "lifecycle",
                "telemetry",
                "tls",
            ],
            without: &[],
        },
    ],
    pure_parts: &[
        "src/identity/authority.rs",
        "src/identity/certificate.rs",
        "src/identity/making.rs",
        "src/identity/proof.rs",
        "src/identity/spiffe.rs",
        "src/identity/token.rs",
        "src/registry/convert/",
        "src/xds/node/",
        "src/xds/session/",
    ],
    open_parts: &["admin::proto"],
};

#[test]
fn the_code_keeps_to_its_architecture() {
    let violations = PARALLAX.violations(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(violations.is_empty(), "see ARCHITECTURE.md:\n{}", violations.join("\n"));
}
