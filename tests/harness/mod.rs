//! The world around Parallax for tests and the demo: real Envoys, real Kubernetes API servers, and patience with deadlines.
//!
//! Included by path from `tests/it` and `examples/demo`, so it knows nothing of the library itself. Every process that it
//! starts ends with the value that stands for it. What it needs on disk is put there by `make tools`.
//!
//! Failures are `anyhow` errors that say what was awaited, what was there instead, and the end of the process's log.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each of the programs that include these files uses another part of them"
)]

mod certificates;
mod clusters;
mod dns;
mod envoy;
mod example;
mod faults;
mod grpc;
mod http;
mod interrupt;
mod istio;
mod kubernetes;
mod member;
mod objects;
mod ports;
mod process;
mod relay;
mod tools;
mod wait;
mod watch;

pub use clusters::{Clusters, Host};
pub use dns::{DnsAnswer, DnsServer};
pub use envoy::{Dialect, Envoy, EnvoyOptions, NodeLocality, XdsAddress};
pub use example::example;
pub use faults::Fault;
pub use grpc::{Answers, GrpcBackends, GrpcClient};
pub use http::{Response, get};
pub use interrupt::Interrupt;
pub use istio::{
    IstioKind, PEER_AUTHENTICATION, SERVICE_ENTRY, WORKLOAD_ENTRY, gateway, install_kind, printed_remote_secret,
    remote_secret, remove_kind, system_namespace,
};
pub use kubernetes::Kubernetes;
pub use member::Member;
pub use objects::{account, apply, apply_file, apply_text, delete, kubeconfig_of, report, token};
pub use ports::free_port;
pub use process::{Process, Stop};
pub use relay::Relay;
pub use tools::{KubernetesTools, envoy_binary, envoy_versions, grpc_binary, kubernetes_tools};
pub use wait::eventually;
pub use watch::{Seen, Watch, seconds};
