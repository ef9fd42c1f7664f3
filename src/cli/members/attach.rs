//! `parallax members attach`.

use std::io::Write;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::super::Failure;
use super::super::client::Server;
use super::super::run::Printer;
use super::args::AttachArgs;
use super::cluster::{Change, Cluster};
use super::dry_run;
use super::home::{self, Attachment};
use super::manifests::{self, MemberSecret, NETWORK};
use super::progress::Progress;
use super::resource::{MemberObject, MemberObjects};
use super::sides::Sides;
use super::token::{self, Origin, Token};
use super::wait::{self, Place};
use crate::admin::proto as v1;

/// Attaches a member, or prints what that would apply.
pub(super) async fn attach(
    args: AttachArgs,
    printer: &Printer<'_>,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    if let Some(which) = args.dry_run {
        return Ok(out.write_all(dry_run::attach(&args, which)?.as_bytes())?);
    }
    let progress = Progress;
    // Whoever can't be asked in the end is asked first: nothing was done then.
    let server = match args.no_wait {
        true => None,
        false => Some(printer.connect().await?),
    };
    let before = match &server {
        None => None,
        Some(server) => namesake(server, &args.name).await?,
    };
    let sides = Sides::open(&args.member, &args.context, &args.home).await?;
    let address = sides.member.address(args.server_address.as_deref())?;
    let (namespace, version) = (&*args.home.namespace, sides.member.version().await?);
    progress.begin(format!(
        "Member {}: {}, Kubernetes {version}, at {}",
        args.name, sides.member.shown, address.server
    ));
    let attachments = home::list(&sides.home, namespace).await?;
    let known = home::ours(&attachments, &args.name, Some(&sides.member_uid))?;
    let objects = MemberObjects::of(&sides.home, namespace).await?;
    let object = match &objects {
        Some(objects) => Some(objects.ours(&args.name).await?),
        None => None,
    };

    let (token, account) = prepare(&args, &sides, known, &progress).await?;
    let kubeconfig = manifests::kubeconfig(&args.name, &address, &token.text);
    progress.begin(format!("Home: {}", sides.home.shown));
    let listing = list_at_home(&args, &sides, known, object, &token, &kubeconfig, &progress).await?;
    let Some(server) = server else {
        let name = &args.name;
        return Ok(writeln!(out, "{name} is attached; the control plane was not asked.")?);
    };

    progress.begin(format!("Control plane: {}", printer.global.server));
    let begun = Instant::now();
    let credential = wait::credential(&kubeconfig);
    let place = Place::new(namespace, &args.name);
    let judge = |answer: &v1::ListMembersResponse| wait::synced(answer, &args.name, &credential, &place);
    let joined = wait::members(&server, args.patience.timeout, &progress, judge).await;
    let joined = joined.map_err(|failure| late(failure, &args))?;
    let after = begun.elapsed().as_secs_f64();
    let earlier = known.and_then(Attachment::token);
    for name in token::revoke(&sides, namespace, earlier, Some(&token.secret)).await? {
        progress.done(format!("earlier token of the Secret {namespace}/{name}"), "revoked");
    }
    printer.print(out, &joined, |joined| {
        let was_synced = before.is_some_and(|before| before.complete);
        let how = match account.or(listing) {
            Change::Unchanged => "was attached already; nothing changed".to_owned(),
            _ if was_synced => "was attached already; what had changed is as it should be".to_owned(),
            _ => format!("joined: synced after {after:.1} s"),
        };
        format!("{} {how}; {}\n", joined.name, holds(joined))
    })
}

/// What is done in the member: the account of the reader, and a token that works.
async fn prepare(
    args: &AttachArgs,
    sides: &Sides,
    known: Option<&Attachment>,
    progress: &Progress,
) -> Result<(Token, Change), Failure> {
    let namespace = &*args.home.namespace;
    let mut change = make_account(&sides.member, namespace, progress).await?;
    note_network(&sides.member, args, progress).await?;
    let token = match kept(&sides.member, &args.name, known).await? {
        Some(token) => {
            progress.done("token", "there already, and valid");
            token
        }
        None => {
            change = change.or(Change::Changed);
            let token = token::take(sides, namespace, args.expires_in).await?;
            progress.done("token", taken(&token, namespace));
            token::try_out(&sides.member, &token.text, Origin::New).await?;
            token
        }
    };
    progress.done("reads namespaces, nodes, services, endpointslices, pods", "yes");
    Ok((token, change))
}

/// What is done at home: the `Member` object where there can be one (`object`), and the Secret.
async fn list_at_home(
    args: &AttachArgs,
    sides: &Sides,
    known: Option<&Attachment>,
    object: Option<Option<MemberObject>>,
    token: &Token,
    kubeconfig: &str,
    progress: &Progress,
) -> Result<Change, Failure> {
    let (name, namespace) = (&*args.name, &*args.home.namespace);
    let mut change = make_namespace(&sides.home, namespace, progress).await?;
    let known_network = object.as_ref().and_then(|object| object.as_ref()?.network.as_deref());
    let known_network = known_network.or_else(|| known.and_then(Attachment::network));
    let network = args.network.as_deref().or(known_network);
    if let Some(before) = &object {
        // Before its Secret, so that the member joins once, and as it says.
        let applied = sides
            .home
            .apply(&manifests::member_object(name, namespace, network))
            .await?;
        progress.done(format!("Member {namespace}/{name}"), applied);
        change = change.or(applied);
        if before.as_ref().and_then(|before| before.weight) == Some(0) {
            progress.note("its spec.weight is 0: it is drained and gets no traffic; remove that to change it");
        }
    }
    let secret = MemberSecret {
        name,
        namespace,
        network,
        cluster: Some(&sides.member_uid),
        token: &token.secret,
    };
    let applied = sides.home.apply(&manifests::member_secret(&secret, kubeconfig)).await?;
    progress.done(format!("Secret {namespace}/{}", manifests::secret_name(name)), applied);
    Ok(change.or(applied))
}

/// What came in with a member, in words.
pub(super) fn holds(member: &v1::Member) -> String {
    let services = member.counts.get("Service").copied().unwrap_or(0);
    let (s, e) = (plural(services), plural(member.endpoints));
    format!(
        "{services} service{s}, {} endpoint{e}, network {}",
        member.endpoints, member.network
    )
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The member of this name that the control plane has already.
///
/// # Errors
/// When it comes from the settings or a folder: it would win over the Secret.
async fn namesake(server: &Server, name: &str) -> Result<Option<v1::Member>, Failure> {
    let answer = server
        .answer(server.debug.clone().list_members(v1::ListMembersRequest {}))
        .await?;
    let namesake = answer.members.into_iter().find(|member| member.name == name);
    match namesake {
        Some(member) if !member.source.to_lowercase().starts_with("secret ") => Err(Failure::Refused(format!(
            "the control plane has a member {name} already, from {}; choose another name, or take that one out",
            member.source
        ))),
        namesake => Ok(namesake),
    }
}

/// Makes the account of the reader; tells whether anything had to be done.
async fn make_account(member: &Cluster, namespace: &str, progress: &Progress) -> Result<Change, Failure> {
    let mut changed = make_namespace(member, namespace, progress).await?;
    for object in manifests::reader(namespace) {
        let object = json!(object);
        let change = member.apply(&object).await?;
        changed = changed.or(change);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        progress.done(format!("{kind} {name}"), change);
    }
    Ok(changed)
}

/// Makes the namespace where there is none. One that is there has labels that may place the member, and stays as it is.
async fn make_namespace(cluster: &Cluster, namespace: &str, progress: &Progress) -> Result<Change, Failure> {
    let change = cluster.ensure(&manifests::namespace(namespace)).await?;
    progress.done(format!("Namespace {namespace}"), change);
    Ok(change)
}

/// Says where the member's own word wins over `--network`.
async fn note_network(member: &Cluster, args: &AttachArgs, progress: &Progress) -> Result<(), Failure> {
    let Some(asked) = &args.network else { return Ok(()) };
    let namespaces: Api<Namespace> = Api::all(member.client.clone());
    let name = &args.home.namespace;
    let found = namespaces.get(name).await;
    let found = found.map_err(|error| member.failure(&format!("get the namespace {name}"), &error))?;
    match found.labels().get(NETWORK) {
        Some(label) if label != asked => progress.note(format!(
            "the label {NETWORK}={label} on the member's namespace {name} wins over --network {asked}"
        )),
        _ => {}
    }
    Ok(())
}

/// The token of an earlier attach, if it still works.
async fn kept(member: &Cluster, name: &str, known: Option<&Attachment>) -> Result<Option<Token>, Failure> {
    let Some((text, secret)) = known.and_then(|known| Some((known.bearer(name)?, known.token()?))) else {
        return Ok(None);
    };
    match token::try_out(member, &text, Origin::Earlier).await? {
        true => Ok(Some(Token {
            text,
            secret: secret.to_owned(),
            ends: None,
        })),
        false => Ok(None),
    }
}

/// How a token came about.
pub(super) fn taken(token: &Token, namespace: &str) -> String {
    match &token.ends {
        None => format!(
            "taken, valid as long as the Secret {namespace}/{} is there",
            token.secret
        ),
        Some(ends) => format!(
            "taken, valid until {ends}, or until the Secret {namespace}/{} goes",
            token.secret
        ),
    }
}

fn late(failure: Failure, args: &AttachArgs) -> Failure {
    match failure {
        Failure::NotInTime(why) => Failure::NotInTime(format!(
            "{} is attached, but was not synced within {} s: {why}\nThe control plane goes on trying; `parallax members \
             status {}` tells how it fares. If it can't reach the API server, attach again with --server-address.",
            args.name,
            args.patience.timeout.as_secs(),
            args.name
        )),
        other => other,
    }
}
