//! What `--dry-run` prints: manifests that a person reads and then applies or deletes. Nothing is changed. Attach asks nobody;
//! the others ask both clusters what is there.

use serde_json::Value;

use super::super::Failure;
use super::args::{AttachArgs, DetachArgs, DryRun, RotateArgs};
use super::cluster;
use super::detach::{account, at_home, unknown};
use super::home::{self, Attachment};
use super::manifests::{self, DRY_RUN_TOKEN, MemberSecret};
use super::rotate::attached;
use super::sides::{self, Sides};
use super::token;

/// The manifests of an attach.
pub(super) fn attach(args: &AttachArgs, which: DryRun) -> Result<String, Failure> {
    let server = args.server_address.as_deref();
    let address = cluster::address_of(args.member.kubeconfig.as_deref(), &args.context, server)?;
    let secret = MemberSecret {
        name: &args.name,
        namespace: &args.home.namespace,
        network: args.network.as_deref(),
        cluster: None,
        token: DRY_RUN_TOKEN,
    };
    let member = || manifests::dry_run_member(secret.name, secret.namespace);
    let home = || manifests::dry_run_home(&secret, &address);
    Ok(of(which, member, home))
}

fn of(which: DryRun, member: impl FnOnce() -> String, home: impl FnOnce() -> String) -> String {
    match which {
        DryRun::Member => member(),
        DryRun::Home => home(),
        DryRun::All => format!("{}---\n{}", member(), home()),
    }
}

/// What a detach would delete, first at home and then in the member; there only where `--context` says which it is.
pub(super) async fn detach(args: &DetachArgs, which: DryRun) -> Result<String, Failure> {
    let (name, namespace) = (&*args.name, &*args.home.namespace);
    let home = sides::open_home(&args.member, &args.home).await?;
    let sides = match (&args.context, which) {
        (Some(context), _) => Some(Sides::open(&args.member, context, &args.home).await?),
        (None, DryRun::Member) => {
            return Err(Failure::Refused(
                "without --context nothing is removed in the member; say which cluster it is".to_owned(),
            ));
        }
        (None, DryRun::Home | DryRun::All) => None,
    };
    let attachments = home::list(&home, namespace).await?;
    let cluster = sides.as_ref().map(|sides| sides.member_uid.as_str());
    let known = home::ours(&attachments, name, cluster)?;
    if known.is_none() && sides.is_none() {
        return Err(unknown(name, &home, namespace));
    }
    let mut parts = Vec::new();
    if which != DryRun::Member {
        let objects = at_home(&home, namespace, name, known).await?;
        parts.push(deleted("At home", &home.shown, &objects));
    }
    if let (Some(sides), true) = (sides, which != DryRun::Home) {
        let objects = in_member(args, known, &sides).await?;
        let place = format!("In the member {name}, once the control plane has let go of it");
        parts.push(deleted(&place, &sides.member.shown, &objects));
    }
    Ok(parts.join("---\n"))
}

async fn in_member(args: &DetachArgs, known: Option<&Attachment>, sides: &Sides) -> Result<Vec<Value>, Failure> {
    let namespace = &*args.home.namespace;
    let tokens = token::of_home(sides, namespace, known.and_then(Attachment::token)).await?;
    let secrets = tokens
        .ours
        .iter()
        .map(|name| manifests::reference("v1", "Secret", Some(namespace), name));
    let mut objects: Vec<_> = secrets.collect();
    if tokens.others == 0 && !args.keep_account {
        objects.extend(account(&sides.member, namespace).await?);
    }
    Ok(objects)
}

/// Objects to delete, by what names them.
fn deleted(place: &str, shown: &str, objects: &[Value]) -> String {
    if objects.is_empty() {
        return format!("# {place} ({shown}): nothing is left to delete.\n");
    }
    let head = format!("# {place} ({shown}): what is deleted, for `kubectl delete --ignore-not-found -f -`.\n");
    head + &manifests::listed(objects)
}

/// The Secret of a new token in the member, and the Secret at home that names it; then what is to be deleted.
pub(super) async fn rotate(args: &RotateArgs, which: DryRun) -> Result<String, Failure> {
    let (name, namespace) = (&*args.name, &*args.home.namespace);
    let sides = Sides::open(&args.member, &args.context, &args.home).await?;
    let attachments = home::list(&sides.home, namespace).await?;
    let (known, address) = attached(&attachments, name, namespace, &sides)?;
    let before = token::of_home(&sides, namespace, known.token()).await?;
    let token = free_name(&before.all);
    let secret = MemberSecret {
        name,
        namespace,
        network: known.network(),
        cluster: Some(&sides.member_uid),
        token: &token,
    };
    let member = || manifests::dry_run_token(name, namespace, &token, &sides.home_uid);
    let home = || manifests::dry_run_home(&secret, &address);
    let mut text = of(which, member, home);
    if which != DryRun::Home && !before.ours.is_empty() {
        let old = before.ours.join(" ");
        text += &format!(
            "# Afterwards, once the control plane reads with the new token (`parallax get members` says so where not):\n\
             #   kubectl --context {} -n {namespace} delete secret {old}\n",
            args.context
        );
    }
    Ok(text)
}

/// A name for the Secret of a token that none of these has.
fn free_name(taken: &[String]) -> String {
    let names = (2..).map(|number| format!("{DRY_RUN_TOKEN}-{number}"));
    let mut names = std::iter::once(DRY_RUN_TOKEN.to_owned()).chain(names);
    names
        .find(|name| !taken.contains(name))
        .expect("there are more names than Secrets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_new_token_is_free() {
        let taken = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(free_name(&taken(&["parallax-reader-x2c4v"])), "parallax-reader-token");
        let both = taken(&["parallax-reader-token", "parallax-reader-token-2"]);
        assert_eq!(free_name(&both), "parallax-reader-token-3");
    }

    #[test]
    fn what_is_deleted_is_named_and_no_more() {
        let text = deleted(
            "At home",
            "context east",
            &[manifests::reference("v1", "Secret", Some("mesh"), "s")],
        );
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "mesh"}})
        );
        assert!(deleted("At home", "context east", &[]).contains("nothing is left"));
    }
}
