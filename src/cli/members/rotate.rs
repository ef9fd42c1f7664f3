//! `parallax members rotate`.

use std::io::Write;

use super::super::Failure;
use super::super::run::Printer;
use super::args::RotateArgs;
use super::attach::{holds, taken};
use super::detach::unknown;
use super::dry_run;
use super::home::{self, Attachment};
use super::manifests::{self, Address, MemberSecret};
use super::progress::Progress;
use super::sides::Sides;
use super::token::{self, Origin};
use super::wait::{self, Place};
use crate::admin::proto as v1;

/// Gives a member a new token.
///
/// The old one is revoked only when the control plane reads with the new one. What a rotation that was interrupted left
/// behind is revoked by the next one.
pub(super) async fn rotate(
    args: RotateArgs,
    printer: &Printer<'_>,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    if let Some(which) = args.dry_run {
        return Ok(out.write_all(dry_run::rotate(&args, which).await?.as_bytes())?);
    }
    let progress = Progress;
    let server = printer.connect().await?;
    let sides = Sides::open(&args.member, &args.context, &args.home).await?;
    let namespace = &*args.home.namespace;
    let attachments = home::list(&sides.home, namespace).await?;
    let (known, address) = attached(&attachments, &args.name, namespace, &sides)?;

    let token = token::take(&sides, namespace, args.expires_in).await?;
    progress.done("token", taken(&token, namespace));
    token::try_out(&sides.member, &token.text, Origin::New).await?;
    let kubeconfig = manifests::kubeconfig(&args.name, &address, &token.text);
    let secret = MemberSecret {
        name: &args.name,
        namespace,
        network: known.network(),
        cluster: Some(&sides.member_uid),
        token: &token.secret,
    };
    let change = sides
        .home
        .apply(&manifests::member_secret(&secret, &kubeconfig))
        .await?;
    progress.done(format!("Secret {namespace}/{}", known.secret), change);

    progress.begin(format!("Control plane: {}", printer.global.server));
    let credential = wait::credential(&kubeconfig);
    let place = Place::new(namespace, &args.name);
    let judge = |answer: &v1::ListMembersResponse| wait::synced(answer, &args.name, &credential, &place);
    let synced = wait::members(&server, args.patience.timeout, &progress, judge).await;
    let synced = synced.map_err(|failure| late(failure, &args))?;
    for name in token::revoke(&sides, namespace, known.token(), Some(&token.secret)).await? {
        progress.done(format!("token of the Secret {namespace}/{name}"), "revoked");
    }
    printer.print(out, &synced, |synced| {
        format!("{} is read with its new token; {}\n", synced.name, holds(synced))
    })
}

/// The Secret of a member that is attached, and how the control plane reaches it.
///
/// # Errors
/// Where it is not attached, or its Secret does not say that.
pub(super) fn attached<'a>(
    attachments: &'a [Attachment],
    name: &str,
    namespace: &str,
    sides: &Sides,
) -> Result<(&'a Attachment, Address), Failure> {
    let Some(known) = home::ours(attachments, name, Some(&sides.member_uid))? else {
        return Err(unknown(name, &sides.home, namespace));
    };
    let refused = |what: String| Failure::Refused(format!("{what}; attach the member again"));
    let secret = &known.secret;
    let kubeconfig = known
        .kubeconfig(name)
        .ok_or_else(|| refused(format!("the Secret {namespace}/{secret} has no key {name}")))?;
    let address = manifests::address_in(kubeconfig).ok_or_else(|| {
        refused(format!(
            "the kubeconfig in the Secret {namespace}/{secret} can't be read"
        ))
    })?;
    Ok((known, address))
}

fn late(failure: Failure, args: &RotateArgs) -> Failure {
    match failure {
        Failure::NotInTime(why) => Failure::NotInTime(format!(
            "the control plane did not go on with the new token within {} s: {why}\nThe old token stays valid. Once the \
             cause is gone, rotate again: that revokes what is left over.",
            args.patience.timeout.as_secs()
        )),
        other => other,
    }
}
