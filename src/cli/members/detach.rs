//! `parallax members detach`.

use std::io::Write;

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::super::Failure;
use super::super::client::Server;
use super::super::run::Printer;
use super::args::DetachArgs;
use super::cluster::Cluster;
use super::dry_run;
use super::home::{self, Attachment};
use super::manifests::{self, READER_NAME, READER_SELECTOR};
use super::progress::Progress;
use super::resource::MemberObjects;
use super::sides::{self, Sides};
use super::{token, wait};
use crate::admin::proto as v1;

/// Detaches a member: first at home, so that the control plane lets go of it before its credentials end.
pub(super) async fn detach(
    args: DetachArgs,
    printer: &Printer<'_>,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    if let Some(which) = args.dry_run {
        return Ok(out.write_all(dry_run::detach(&args, which).await?.as_bytes())?);
    }
    let progress = Progress;
    let server = match args.no_wait {
        true => None,
        false => Some(printer.connect().await?),
    };
    let home = sides::open_home(&args.member, &args.home).await?;
    let namespace = &*args.home.namespace;
    let attachments = home::list(&home, namespace).await?;
    // A member that can't be reached may leave all the same; any other mistake is told before anything is done.
    let sides = match &args.context {
        None => Err(None),
        Some(context) => match Sides::open(&args.member, context, &args.home).await {
            Ok(sides) => Ok(sides),
            Err(unreachable @ Failure::ClusterUnreachable(_)) => Err(Some(unreachable)),
            Err(failure) => return Err(failure),
        },
    };
    let cluster = sides.as_ref().ok().map(|sides| sides.member_uid.as_str());
    let known = home::ours(&attachments, &args.name, cluster)?;
    match (known, &sides) {
        (Some(known), _) => leave(&args, known, &home, server.as_ref(), &progress).await?,
        // Nothing is left at home, but the rest may be there.
        (None, Ok(_)) => {}
        (None, Err(_)) => return Err(unknown(&args.name, &home, namespace)),
    }
    let rest = match sides {
        Ok(sides) => clear(&args, known, &sides, &progress)
            .await
            .map_err(|failure| partly(failure, &args.name))?,
        Err(Some(unreachable)) => return Err(partly(unreachable, &args.name)),
        Err(None) => "its account and token were left in it, as no --context was given",
    };
    Ok(writeln!(out, "{} is detached; {rest}.", args.name)?)
}

/// Nobody made a member of this name.
pub(super) fn unknown(name: &str, home: &Cluster, namespace: &str) -> Failure {
    Failure::Missing(format!(
        "there is no member {name} at home ({}, namespace {namespace}); `parallax members list` tells which there are",
        home.shown
    ))
}

/// What is deleted at home: the Secret, and the `Member` object where there is one.
///
/// # Errors
/// Where somebody else made that object.
pub(super) async fn at_home(
    home: &Cluster,
    namespace: &str,
    name: &str,
    known: Option<&Attachment>,
) -> Result<Vec<Value>, Failure> {
    let Some(known) = known else { return Ok(Vec::new()) };
    let mut objects = vec![manifests::reference("v1", "Secret", Some(namespace), &known.secret)];
    if let Some(members) = MemberObjects::of(home, namespace).await?
        && members.ours(name).await?.is_some()
    {
        objects.push(named(&manifests::member_object(name, namespace, None)));
    }
    Ok(objects)
}

/// The account of the reader in a member, in the order in which it is deleted: its role only where nobody else is bound to it.
pub(super) async fn account(member: &Cluster, namespace: &str) -> Result<Vec<Value>, Failure> {
    let bindings: Api<ClusterRoleBinding> = Api::all(member.client.clone());
    let bindings = bindings
        .list_metadata(&ListParams::default().labels(READER_SELECTOR))
        .await;
    let bindings = bindings.map_err(|error| member.failure("list ClusterRoleBindings", &error))?;
    let own = manifests::binding_name(namespace);
    let others = bindings.items.iter().any(|binding| binding.name_any() != own);
    let objects = manifests::reader(namespace).into_iter().rev();
    let objects = objects.map(|object| named(&serde_json::json!(object)));
    Ok(objects
        .filter(|object| !(others && object["kind"] == "ClusterRole"))
        .collect())
}

/// What names an object.
fn named(object: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    manifests::reference(
        &text(&object["apiVersion"]),
        &text(&object["kind"]),
        metadata["namespace"].as_str(),
        &text(&metadata["name"]),
    )
}

/// Takes the member's Secret away and waits until the control plane has let go of it.
async fn leave(
    args: &DetachArgs,
    known: &Attachment,
    home: &Cluster,
    server: Option<&Server>,
    progress: &Progress,
) -> Result<(), Failure> {
    let namespace = &*args.home.namespace;
    progress.begin(format!("Home: {}", home.shown));
    let objects = MemberObjects::of(home, namespace).await?;
    if let Some(objects) = &objects {
        objects.ours(&args.name).await?;
    }
    if let (true, Some(server)) = (args.drain, server) {
        drain(args, known, home, objects.as_ref(), server, progress).await?;
    }
    home::delete(home, namespace, &known.secret).await?;
    progress.done(format!("Secret {namespace}/{}", known.secret), "deleted");
    if let Some(objects) = objects
        && objects.delete(&args.name).await?
    {
        progress.done(format!("Member {namespace}/{}", args.name), "deleted");
    }
    let Some(server) = server else { return Ok(()) };
    let judge = |answer: &v1::ListMembersResponse| wait::gone(answer, &args.name);
    let gone = wait::members(server, args.patience.timeout, progress, judge).await;
    gone.map_err(|failure| match failure {
        Failure::NotInTime(why) => Failure::NotInTime(format!(
            "the Secret is deleted, but after {} s {why}; if it has it from somewhere else too, take it out there",
            args.patience.timeout.as_secs()
        )),
        other => other,
    })?;
    progress.done("control plane", "has let go of it");
    Ok(())
}

/// Takes the traffic off the member, and waits until every proxy has accepted that.
async fn drain(
    args: &DetachArgs,
    known: &Attachment,
    home: &Cluster,
    objects: Option<&MemberObjects<'_>>,
    server: &Server,
    progress: &Progress,
) -> Result<(), Failure> {
    let Some(objects) = objects else {
        return Err(Failure::Refused(format!(
            "to drain a member its weight is set in a Member object, and {} does not have that kind: kubectl apply -f \
             config/kubernetes/crds.yaml there, or detach without --drain",
            home.shown
        )));
    };
    let (name, namespace) = (&*args.name, &*args.home.namespace);
    if objects.ours(name).await?.is_none() {
        // It was attached before the kind was there.
        home.apply(&manifests::member_object(name, namespace, known.network()))
            .await?;
    }
    objects.drain(name).await?;
    progress.done(format!("weight of the Member {namespace}/{name}"), "0");
    let judge = |answer: &v1::ListMembersResponse| wait::drained(answer, name);
    let drained = wait::members(server, args.patience.timeout, progress, judge).await;
    drained.map_err(|failure| undrained(failure, args))?;
    let told = wait::proxies(server, args.patience.timeout, progress).await;
    let told = told.map_err(|failure| undrained(failure, args))?;
    progress.done("proxies that have accepted to send it nothing", told);
    Ok(())
}

fn undrained(failure: Failure, args: &DetachArgs) -> Failure {
    match failure {
        Failure::NotInTime(why) => Failure::NotInTime(format!(
            "{name} is not drained after {} s, and was not removed: {why}\nDetach it again, with a longer --timeout or \
             without --drain; or let it stay: kubectl -n {} patch member {name} --type=merge -p '{{\"spec\":{{\"weight\":100}}}}'",
            args.patience.timeout.as_secs(),
            args.home.namespace,
            name = args.name,
        )),
        other => other,
    }
}

/// Revokes the tokens and removes the account, unless somebody else uses it; tells in words what was done.
async fn clear(
    args: &DetachArgs,
    known: Option<&Attachment>,
    sides: &Sides,
    progress: &Progress,
) -> Result<&'static str, Failure> {
    let (member, namespace) = (&sides.member, &*args.home.namespace);
    progress.begin(format!("Member: {}", member.shown));
    for name in token::revoke(sides, namespace, known.and_then(Attachment::token), None).await? {
        progress.done(format!("token of the Secret {namespace}/{name}"), "revoked");
    }
    if args.keep_account {
        return Ok("its token is revoked, the account of the reader stays");
    }
    if !token::secrets(member, namespace).await?.is_empty() {
        return Ok("its token is revoked, the account of the reader stays, as there are other tokens of it");
    }
    for object in account(member, namespace).await? {
        member.delete(&object).await?;
    }
    progress.done(format!("ServiceAccount {READER_NAME}, its role and binding"), "deleted");
    Ok("its token is revoked and the account of the reader removed")
}

/// The member has left already when something goes wrong in it.
fn partly(failure: Failure, name: &str) -> Failure {
    let more = |text: String| {
        format!(
            "{name} has left the mesh, but its account and token are still in it: {text}\nDetach it again to remove them."
        )
    };
    match failure {
        Failure::ClusterUnreachable(text) => Failure::ClusterUnreachable(more(text)),
        Failure::Forbidden(text) => Failure::Forbidden(more(text)),
        Failure::Missing(text) => Failure::Missing(more(text)),
        Failure::Refused(text) => Failure::Refused(more(text)),
        other => other,
    }
}
