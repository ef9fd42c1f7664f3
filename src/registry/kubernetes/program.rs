//! Programs that tell credentials (`exec` of a kubeconfig). One that hangs is killed, with all that it began, and there is never
//! more than one at a time for a client.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use jiff::{SignedDuration, Timestamp};
use kube::config::{AuthInfo, ExecConfig};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tower::BoxError;
use tower::filter::AsyncPredicate;

use super::failure::Failure;

/// How long a program may take. Some ask a cloud's servers, over a proxy.
const ANSWER: Duration = Duration::from_secs(15);
/// How much it may print. One that prints more is killed.
const MOST_OUTPUT: usize = 1 << 20;
/// A token is replaced this long before it expires.
const AHEAD: SignedDuration = SignedDuration::from_secs(60);

/// What a program prints.
#[derive(Deserialize)]
struct Printed {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// A program, and the token that it told last. Clones share them.
#[derive(Clone)]
pub(super) struct Program(Arc<Mutex<Told>>);

struct Told {
    exec: ExecConfig,
    header: Option<HeaderValue>,
    until: Option<Timestamp>,
}

impl Program {
    /// Takes the program out of what a kubeconfig says of a user, where it says nothing that counts before it, and asks it. A
    /// certificate goes into its place; for tokens there is a program to ask again.
    pub(super) async fn run(user: &mut AuthInfo) -> Result<Option<Self>, Failure> {
        let Some(exec) = user.exec.take() else { return Ok(None) };
        let has_password = user.username.is_some() && user.password.is_some();
        if has_password || user.token.is_some() || user.token_file.is_some() || user.auth_provider.is_some() {
            return Ok(None);
        }
        let mut told = Told {
            exec,
            header: None,
            until: None,
        };
        let status = told.ask().await?;
        if let (Some(certificate), Some(key)) = (status.client_certificate_data, status.client_key_data) {
            user.client_certificate_data = Some(base64(&certificate));
            user.client_key_data = Some(base64(&key).into());
        }
        Ok(told.header.is_some().then(|| Self(Arc::new(Mutex::new(told)))))
    }

    async fn header(self) -> Result<Option<HeaderValue>, Failure> {
        let mut told = Arc::clone(&self.0).lock_owned().await;
        if !told.is_old() {
            return Ok(told.header.clone());
        }
        // A request that is given up must not end what the next one waits for too.
        let asking = tokio::spawn(async move { told.ask().await.map(|_| told.header.clone()) });
        asking
            .await
            .unwrap_or_else(|error| Err(Failure::Config(error.to_string())))
    }
}

impl<B: Send + 'static> AsyncPredicate<Request<B>> for Program {
    type Future = BoxFuture<'static, Result<Request<B>, BoxError>>;
    type Request = Request<B>;

    fn check(&mut self, mut request: Request<B>) -> Self::Future {
        let program = self.clone();
        Box::pin(async move {
            if let Some(header) = program.header().await? {
                request.headers_mut().insert(AUTHORIZATION, header);
            }
            Ok(request)
        })
    }
}

impl Told {
    fn is_old(&self) -> bool {
        self.until.is_some_and(|until| Timestamp::now() + AHEAD >= until)
    }

    async fn ask(&mut self) -> Result<Status, Failure> {
        let printed = output(&self.exec, ANSWER).await?;
        let printed: Option<Printed> = serde_saphyr::from_slice(&printed).ok();
        let status = printed.and_then(|printed| printed.status);
        let status = status.ok_or_else(|| failed("printed no ExecCredential"))?;
        let until = status.expiration_timestamp.as_deref().map(str::parse).transpose();
        let until = until.map_err(|_| failed("printed an expirationTimestamp that is none"))?;
        let header = status.token.as_ref().map(|token| {
            let mut header = HeaderValue::try_from(format!("Bearer {}", token))?;
            header.set_sensitive(true);
            Ok(header)
        });
        let header = header.transpose();
        let header = header.map_err(|_: http::header::InvalidHeaderValue| failed("printed a token that is none"))?;
        // Whoever once had a token would go on without any, and never be asked again.
        if header.is_none() && self.header.is_some() {
            return Err(failed("printed no token"));
        }
        (self.header, self.until) = (header, until);
        Ok(status)
    }
}

/// What it prints, where it ends well and in time. Neither that nor its environment is ever told: both may be secret.
async fn output(exec: &ExecConfig, limit: Duration) -> Result<Vec<u8>, Failure> {
    let name = exec.command.as_ref().ok_or_else(|| failed("is not named"))?;
    let mut command = Command::new(name);
    command.args(exec.args.iter().flatten());
    for variable in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let cluster = exec.cluster.as_ref().filter(|_| exec.provide_cluster_info);
    let mut spec = serde_json::json!({"interactive": false});
    if let Some(cluster) = cluster {
        spec["cluster"] = serde_json::to_value(cluster).map_err(|_| failed("can't be told of its cluster"))?;
    }
    let info = serde_json::json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec});
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.process_group(0).kill_on_drop(true).spawn();
    let child = child
        .as_mut()
        .map_err(|error| failed(&format!("can't be run: {error}")))?;
    let mut group = Group::of(child);
    let mut stdout = child.stdout.take().expect("it is piped").take(MOST_OUTPUT as u64 + 1);
    let ends = async {
        let mut printed = Vec::new();
        if stdout.read_to_end(&mut printed).await? > MOST_OUTPUT {
            return Err(std::io::Error::other("it prints more than 1 MiB"));
        }
        Ok::<(Vec<u8>, ExitStatus), std::io::Error>((printed, child.wait().await?))
    };
    let ended = timeout(limit, ends).await;
    if matches!(ended, Ok(Ok(_))) {
        // What it left running on purpose may stay, and its number may soon be another's.
        group.0 = None;
    }
    match ended {
        Ok(Ok((printed, status))) if status.success() => Ok(printed),
        Ok(Ok((_, status))) => Err(failed(&format!("ended with {status}"))),
        Ok(Err(error)) => Err(failed(&format!("can't be read: {error}"))),
        Err(_) => Err(failed(&format!(
            "did not end within {} s and was killed",
            limit.as_secs()
        ))),
    }
}

fn failed(why: &str) -> Failure {
    Failure::Config(format!("its program for credentials {why}; run it by hand to see why"))
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A program that has not ended, and those that it began.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An error means that nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn script(text: &str, folder: &Path) -> AuthInfo {
        let exec = serde_json::json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": ["-c", text], "env": [{"name": "FOLDER", "value": folder}]});
        AuthInfo {
            exec: Some(serde_json::from_value(exec).unwrap()),
            ..AuthInfo::default()
        }
    }

    async fn token(program: &Program) -> String {
        let header = program.clone().header().await.unwrap().unwrap();
        header.to_str().unwrap().to_owned()
    }

    async fn until(condition: impl Fn() -> bool) {
        let met = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), met).await.expect("took too long");
    }

    #[tokio::test]
    async fn a_token_is_asked_for_again_when_it_expires_though_nobody_waits_to_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"echo >> "$FOLDER/runs"; n=$(wc -l < "$FOLDER/runs"); [ $n = 1 ] && at=2020 || at=2120
            while [ $n = 2 ] && [ ! -e "$FOLDER/go" ]; do sleep 0.01; done
            echo "$KUBERNETES_EXEC_INFO" | grep -q '"interactive":false' || exit 1
            echo "status: {token: t$n, expirationTimestamp: '$at-01-01T00:00:00Z'}""#;
        let program = Program::run(&mut script(text, folder.path())).await.unwrap().unwrap();
        let runs = || std::fs::read_to_string(folder.path().join("runs")).unwrap().len();
        let given_up = tokio::spawn(program.clone().header());
        until(|| runs() == 2).await;
        given_up.abort();
        std::fs::write(folder.path().join("go"), "").unwrap();
        assert_eq!(token(&program).await, "Bearer t2");
        assert_eq!(token(&program).await, "Bearer t2");
        assert_eq!(runs(), 2);
    }

    #[tokio::test]
    async fn one_that_tells_no_token_any_more_is_asked_again_and_nobody_goes_without() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"echo >> "$FOLDER/runs"; n=$(wc -l < "$FOLDER/runs"); ok="token: t$n, expirationTimestamp:"
            case $n in
                1) echo "status: {$ok '2020-01-01T00:00:00Z'}";;
                2) echo "status: {}";;
                3) echo "status: {clientCertificateData: c, clientKeyData: k}";;
                4) echo "status: {token: \"\\u0001\", expirationTimestamp: '2120-01-01T00:00:00Z'}";;
                *) echo "status: {$ok '2120-01-01T00:00:00Z'}";;
            esac"#;
        let program = Program::run(&mut script(text, folder.path())).await.unwrap().unwrap();
        for expected in ["no token", "no token", "a token that is none"] {
            let said = program.clone().header().await.unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
        assert_eq!(token(&program).await, "Bearer t5");
    }

    #[tokio::test]
    async fn one_that_prints_without_end_is_killed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let user = script(r#"echo $$ > "$FOLDER/pid"; exec yes"#, folder.path());
        let said = output(&user.exec.unwrap(), Duration::from_secs(20)).await.unwrap_err();
        assert!(said.to_string().contains("more than 1 MiB"), "{said}");
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let command = format!("/proc/{}/cmdline", pid.trim());
        until(|| std::fs::read(&command).map_or(true, |text| text.is_empty())).await;
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_with_what_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let user = script(r#"sleep 1000 & echo $! > "$FOLDER/pid"; wait"#, folder.path());
        let said = output(&user.exec.unwrap(), Duration::from_secs(2)).await.unwrap_err();
        assert!(said.to_string().contains("did not end within 2 s"), "{said}");
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let command = format!("/proc/{}/cmdline", pid.trim());
        // Empty is one that ended, and that nobody asked for yet.
        until(|| std::fs::read(&command).map_or(true, |text| text.is_empty())).await;
    }

    #[tokio::test]
    async fn a_certificate_is_shown_and_what_is_wrong_tells_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let text = "echo '{\"status\": {\"clientCertificateData\": \"c\", \"clientKeyData\": \"k\"}}'";
        let mut user = script(text, folder.path());
        assert!(Program::run(&mut user).await.unwrap().is_none());
        assert_eq!(user.client_certificate_data.as_deref(), Some("Yw=="));
        assert!(user.client_key_data.is_some() && user.exec.is_none());
        for (text, expected) in [
            ("echo s3cret; exit 3", "exit status: 3"),
            ("echo s3cret", "no ExecCredential"),
            ("echo 'status: {token: \"s3cret\\u0001\"}'", "a token that is none"),
            (
                "echo 'status: {token: a, expirationTimestamp: s3cret}'",
                "expirationTimestamp",
            ),
        ] {
            let Err(failure) = Program::run(&mut script(text, folder.path())).await else {
                panic!("{text}")
            };
            let error = kube::Error::Service(Box::new(failure));
            let said = Failure::of("pods", &error).to_string();
            assert!(said.contains(expected) && !said.contains("s3cret"), "{said}");
            assert!(said.starts_with("there is no usable kubeconfig"), "{said}");
        }
    }
}
