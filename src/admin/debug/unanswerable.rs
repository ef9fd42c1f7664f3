//! Questions that have no answer, with what to ask instead.

use tonic::Status;

use crate::model::{InvalidId, ServiceKey};

/// Why a question can't be answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswerable {
    #[error("{0:?} names no service; write name.namespace or name.namespace:port")]
    NotAService(String),
    #[error("no member has a service {service}{}", did_you_mean(.similar))]
    NoSuchService { service: ServiceKey, similar: Vec<String> },
    #[error("service {service} has no port {port}; {}", ports(.known))]
    NoSuchPort {
        service: ServiceKey,
        port: u16,
        known: Vec<String>,
    },
    #[error("service {0} has no TCP ports")]
    NoPorts(ServiceKey),
    #[error("service {service} has several ports, name one: {}", .known.join(", "))]
    WhichPort { service: ServiceKey, known: Vec<String> },
    #[error("who looks? Name a connected proxy, or a network, or a member")]
    NoViewer,
    #[error("a proxy says itself where it stands; leave out network, member and families")]
    TwoViewers,
    #[error("{0:?} is none of the address families v4, v6, dual and any")]
    NotFamilies(String),
    #[error(transparent)]
    NotAnId(#[from] InvalidId),
    #[error("there is no member {name}; {}", members(.known))]
    NoSuchMember { name: String, known: Vec<String> },
    #[error("no connected proxy is {name:?}; {}", proxies(.connected, *.more))]
    NoSuchProxy {
        name: String,
        connected: Vec<String>,
        more: usize,
    },
    #[error("{name:?} may be any of {} proxies, write more of one: {}", .matching.len() + .more, list(.matching, *.more))]
    WhichProxy {
        name: String,
        matching: Vec<String>,
        more: usize,
    },
}

fn did_you_mean(similar: &[String]) -> String {
    if similar.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", similar.join(", "))
    }
}

fn ports(known: &[String]) -> String {
    if known.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", known.join(", "))
    }
}

fn members(known: &[String]) -> String {
    if known.is_empty() {
        "none has joined yet".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    }
}

fn proxies(connected: &[String], more: usize) -> String {
    match connected {
        [] => "none is connected".to_owned(),
        names => format!("connected are {}", list(names, more)),
    }
}

fn list(names: &[String], more: usize) -> String {
    let names = names.join(", ");
    if more == 0 {
        names
    } else {
        format!("{names} and {more} more")
    }
}

impl From<Unanswerable> for Status {
    fn from(error: Unanswerable) -> Self {
        let message = error.to_string();
        match error {
            Unanswerable::NoSuchService { .. }
            | Unanswerable::NoSuchPort { .. }
            | Unanswerable::NoSuchMember { .. }
            | Unanswerable::NoSuchProxy { .. } => Self::not_found(message),
            Unanswerable::NoPorts(_) => Self::failed_precondition(message),
            Unanswerable::NotAService(_)
            | Unanswerable::WhichPort { .. }
            | Unanswerable::WhichProxy { .. }
            | Unanswerable::NoViewer
            | Unanswerable::TwoViewers
            | Unanswerable::NotFamilies(_)
            | Unanswerable::NotAnId(_) => Self::invalid_argument(message),
        }
    }
}
