//! Why an API server can't be read, in words that lead to a fix. What is secret never gets into them.

use std::collections::BTreeSet;
use std::error::Error;

use kube::config::KubeconfigError;

/// Why an API server can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub(in super::super) enum Failure {
    #[error("there is no usable kubeconfig: {0}")]
    Config(String),
    #[error("the API server can't be reached: {0}; check its address, and that it runs")]
    Unreachable(String),
    #[error("the API server does not answer a request for {0} in time")]
    TimedOut(&'static str),
    #[error("the API server does not take our credentials: {0}; renew the token or certificate")]
    Unauthorized(String),
    #[error("{}", forbidden(&[.resource], .message))]
    Forbidden { resource: String, message: String },
    #[error("the API server answers a request for {resource} with {code}: {message}")]
    Refused {
        resource: String,
        code: u16,
        message: String,
    },
    #[error("the API server's answer for {0} can't be read: {1}")]
    Malformed(String, String),
    /// The version to go on from is too old; nothing is wrong.
    #[error("the version that a watch began at is gone")]
    Expired,
    /// The connection broke; nothing is wrong unless it can't be made again.
    #[error("the connection broke off: {0}")]
    Cut(String),
}

impl Failure {
    /// What kube's client says of a request for a kind.
    pub(super) fn of(resource: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(resource, status),
            kube::Error::SerdeError(error) => Self::Malformed(resource.to_owned(), error.to_string()),
            kube::Error::ReadEvents(error) => Self::Cut(chain(error)),
            // The client's name for this says nothing to anybody.
            kube::Error::Service(error) => Self::Unreachable(chain(&**error)),
            other => Self::Unreachable(chain(other)),
        }
    }

    /// What an API server says of a request for a kind.
    pub(super) fn of_status(resource: &str, status: &kube::core::Status) -> Self {
        let resource = resource.to_owned();
        let message = status.message.clone();
        match status.code {
            401 => Self::Unauthorized(message),
            403 => Self::Forbidden { resource, message },
            410 => Self::Expired,
            // The client takes whatever it can't read for a status with nothing in it.
            0 => Self::Malformed(resource, "it is none that an API server gives".to_owned()),
            code => Self::Refused {
                resource,
                code,
                message,
            },
        }
    }

    /// Several failures in one sentence each, and what is forbidden in one: it is one mistake.
    pub(super) fn summary<'a>(failures: impl Iterator<Item = &'a Self>) -> String {
        let mut sentences = BTreeSet::new();
        let mut resources = Vec::new();
        let mut first = None;
        for failure in failures {
            match failure {
                Self::Forbidden { resource, message } => {
                    resources.push(resource);
                    first.get_or_insert(message);
                }
                other => {
                    sentences.insert(other.to_string());
                }
            }
        }
        sentences.extend(first.map(|message| forbidden(&resources, message)));
        Vec::from_iter(sentences).join("; ")
    }

    /// Whether an API server says so that doesn't know how to list by a watch.
    pub(super) fn refuses_streaming(&self) -> bool {
        matches!(self, Self::Refused { code: 400..=428, .. })
    }
}

fn forbidden(resources: &[&String], message: &str) -> String {
    let resources = resources.iter().map(|resource| resource.as_str());
    let resources = Vec::from_iter(resources).join(", ");
    format!(
        "the API server forbids us to read {resources}: {message}; allow this account the verbs list and watch on them in \
         all namespaces"
    )
}

impl From<KubeconfigError> for Failure {
    fn from(error: KubeconfigError) -> Self {
        Self::Config(match &error {
            // The parser's message shows the lines around the mistake, and these may hold a token.
            KubeconfigError::Parse(error) => match error.location() {
                Some(location) => format!("it is not valid at line {}", location.line()),
                None => "it is not valid".to_owned(),
            },
            other => chain(other),
        })
    }
}

/// An error with its causes: the outermost alone often says no more than that there was one.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        if !text.contains(message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(message);
        }
        next = error.source();
    }
    text
}
