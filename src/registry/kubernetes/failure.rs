//! Why an API server can't be read, in words that lead to a fix. What is secret never gets into them.

use std::collections::BTreeSet;
use std::error::Error;

use kube::client::AuthError;
use kube::config::KubeconfigError;

use super::resource::plural;
use crate::table::Kind;

/// Why an API server can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub(in super::super) enum Failure {
    #[error("there is no usable kubeconfig: {0}")]
    Config(String),
    #[error("the API server can't be reached: {0}; check its address, and that it runs")]
    Unreachable(String),
    #[error("{}", untrusted(.0))]
    Untrusted(String),
    #[error("the API server does not answer a request for {0} in time")]
    TimedOut(&'static str),
    #[error("the API server's watch of {0} is silent, though it owes a sign of life; check the network between")]
    Silent(String),
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
    #[error("its objects can't be listed: {0}")]
    Listing(String),
    #[error(
        "it has {0}, which is over its budget; what was known of it is kept. Raise budget in its settings, or read fewer of its \
         namespaces"
    )]
    OverBudget(String),
    /// The version to go on from is too old; nothing is wrong.
    #[error("the version that a watch began at is gone")]
    Expired,
    /// The connection broke; nothing is wrong unless it can't be made again.
    #[error("the connection broke off: {0}")]
    Cut(String),
}

impl Failure {
    /// What kube's client says of a request for a kind.
    pub(in super::super) fn of(resource: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(resource, status.code, status.message.clone()),
            kube::Error::Service(error) => match error.downcast_ref::<Self>() {
                Some(failure) => failure.clone(),
                // The client's name for this says nothing to anybody.
                None => Self::of_connection(chain(&**error)),
            },
            other => Self::of_connection(chain(other)),
        }
    }

    fn of_connection(words: String) -> Self {
        // The libraries in between wrap it in errors that can't be taken apart.
        if words.contains("invalid peer certificate") {
            Self::Untrusted(words)
        } else {
            Self::Unreachable(words)
        }
    }

    /// What an API server says of a request for a kind.
    pub(super) fn of_status(resource: &str, code: u16, message: String) -> Self {
        let resource = resource.to_owned();
        match code {
            401 => Self::Unauthorized(message),
            403 => Self::Forbidden { resource, message },
            410 => Self::Expired,
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

    /// Whether it is about the way to the API server, and not about what that says.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Untrusted(_) | Self::TimedOut(_) | Self::Silent(_)
        )
    }

    /// Whether nothing can be expected of another attempt soon: there is no way to the API server, or it shuts us out.
    pub(super) fn is_lasting(&self) -> bool {
        self.is_of_connection() || matches!(self, Self::Config(_) | Self::Unauthorized(_) | Self::Forbidden { .. })
    }

    /// Whether an API server says so that doesn't know how to list by a watch.
    pub(super) fn refuses_streaming(&self) -> bool {
        matches!(self, Self::Refused { code: 400..=428, .. }) && !self.is_unknown()
    }

    /// Whether an API server says so that doesn't know the kind.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether an API server doesn't let us read the kind.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }

    /// What an API server says that doesn't know the kind.
    pub(super) fn unknown(kind: Kind) -> Self {
        Self::of_status(plural(kind), 404, "it is not installed".to_owned())
    }
}

/// What is said of a certificate that is not trusted, by the words of whoever looked at it.
fn untrusted(words: &str) -> String {
    let remedy = if words.contains("certificate expired") {
        "renew it at the API server; no kubeconfig helps"
    } else if words.contains("not valid yet") {
        "set the clocks here and there"
    } else {
        "correct certificate-authority and server in the kubeconfig"
    };
    format!("the API server's certificate is not trusted: {words}; {remedy}")
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
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    if let Some(words) = causes.clone().find_map(of_program) {
        return words;
    }
    let mut text = String::new();
    for error in causes {
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        if !text.contains(message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(message);
        }
    }
    text
}

/// What is to be told of a program for credentials that failed: the client's own words show its environment and all that it
/// printed, which may be the credentials.
fn of_program(error: &(dyn Error + 'static)) -> Option<String> {
    let why = match error.downcast_ref()? {
        AuthError::AuthExecRun { out, .. } => format!("ended with {}", out.status),
        AuthError::AuthExecParse(_) => "printed no ExecCredential".to_owned(),
        _ => return None,
    };
    Some(format!("its program for credentials {why}; run it by hand to see why"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_for_credentials_printed_is_not_told() {
        let output = std::process::Command::new("sh")
            .args(["-c", "echo printed; echo said >&2; exit 3"])
            .output()
            .unwrap();
        let failed = || AuthError::AuthExecRun {
            cmd: "TOKEN=\"in the environment\" aws".to_owned(),
            out: Box::new(output.clone()),
        };
        for error in [kube::Error::Auth(failed()), kube::Error::Service(Box::new(failed()))] {
            let said = Failure::of("pods", &error).to_string();
            assert!(said.contains("exit status: 3"), "{said}");
            for secret in ["printed", "said", "environment"] {
                assert!(!said.contains(secret), "{said}");
            }
        }
    }

    #[test]
    fn a_certificate_that_is_not_trusted_leads_to_the_kubeconfig() {
        let error = std::io::Error::other("invalid peer certificate: UnknownIssuer");
        let said = Failure::of("pods", &kube::Error::Service(Box::new(error))).to_string();
        assert!(
            said.contains("UnknownIssuer") && said.contains("certificate-authority"),
            "{said}"
        );
    }
}
