//! The rules of the protocol that need the whole program, or a real Envoy.

mod away;
mod client;
mod content;
mod lab;
mod served;
mod warming;

pub(crate) use client::{Answer, CDS, Client, EDS, hosts};
