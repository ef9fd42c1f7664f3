//! How a command ends when it does not succeed, and with which exit code.

use std::process::ExitCode;

use tonic::{Code, Status};

use crate::config::ConfigErrors;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings are wrong: all mistakes, one a line.
    #[error("{0}")]
    BadSettings(#[from] ConfigErrors),
    /// No admin endpoint answers.
    #[error(
        "no answer from {server}: {cause}\nIs `parallax serve` running there? Name its admin address with --server or PARALLAX_SERVER."
    )]
    Unreachable {
        /// The address that was tried.
        server: String,
        /// What went wrong.
        cause: String,
    },
    /// The server answered that it can't.
    #[error("{0}")]
    Refused(String),
    /// What was looked for was found, and is wrong.
    #[error("{0}")]
    Found(String),
    /// What the command line names is not there: a context, a member.
    #[error("{0}")]
    Missing(String),
    /// An API server can't be reached.
    #[error("{0}")]
    ClusterUnreachable(String),
    /// It was asked for, and is not so yet.
    #[error("{0}")]
    NotInTime(String),
    /// An API server does not let us.
    #[error("{0}")]
    Forbidden(String),
    /// The output can't be written.
    #[error("the output can't be written: {0}")]
    Output(#[from] std::io::Error),
    /// The output can't be put into the form asked for.
    #[error("the answer can't be printed: {0}")]
    Format(String),
}

impl Failure {
    /// The exit code, as `--help` lists them.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::BadSettings(_) => 64,
            Self::Missing(_) => 66,
            Self::Unreachable { .. } | Self::ClusterUnreachable(_) => 69,
            Self::NotInTime(_) => 75,
            Self::Forbidden(_) => 77,
            Self::Refused(_) | Self::Found(_) | Self::Output(_) | Self::Format(_) => 1,
        }
    }

    /// The same for the end of `main`.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// A server's error as a sentence.
    pub(super) fn of_status(server: &str, status: &Status) -> Self {
        let unreachable = |cause: String| Self::Unreachable {
            server: server.to_owned(),
            cause,
        };
        match status.code() {
            Code::Unavailable => unreachable(root_cause(status)),
            Code::DeadlineExceeded => unreachable("it took too long".to_owned()),
            Code::Unimplemented => Self::Refused(format!(
                "{server} does not know this question. Is it the admin address (15080 by default), and as new as this command?"
            )),
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => {
                Self::Refused(status.message().to_owned())
            }
            code => Self::Refused(format!("{server} failed ({code:?}): {}", root_cause(status))),
        }
    }
}

/// The innermost error; those around it only say that something is wrong.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => innermost.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_error_becomes_a_sentence_and_an_exit_code() {
        for (status, code, says) in [
            (
                Status::not_found("no member has a service a.b"),
                1,
                "no member has a service a.b",
            ),
            (Status::unavailable("connection closed"), 69, "parallax serve"),
            (Status::deadline_exceeded(""), 69, "too long"),
            (Status::unimplemented(""), 1, "15080"),
            (Status::internal("broken"), 1, "broken"),
        ] {
            let failure = Failure::of_status("127.0.0.1:1", &status);
            assert_eq!(failure.code(), code, "{status}");
            assert!(failure.to_string().contains(says), "{failure}");
            assert!(!failure.to_string().contains("status:"), "{failure}");
        }
    }

    #[test]
    fn exit_codes_are_those_that_the_help_lists() {
        let text = String::new;
        for (failure, code) in [
            (Failure::Refused(text()), 1),
            (Failure::Missing(text()), 66),
            (Failure::ClusterUnreachable(text()), 69),
            (Failure::NotInTime(text()), 75),
            (Failure::Forbidden(text()), 77),
        ] {
            assert_eq!(failure.code(), code, "{failure:?}");
        }
    }
}
