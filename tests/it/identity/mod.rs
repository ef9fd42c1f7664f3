//! Workloads that get their certificates from the control plane, and proxies that prove who they are.

mod authorities;
mod bootstraps;
mod proxies;
mod roots;
mod thieves;
mod tokens;
