//! `parallax members rotate`.

use std::io::Write;

use super::super::Failure;
use super::super::run::Printer;
use super::args::RotateArgs;
use super::attach::{holds, taken};
use super::home;
use super::manifests::{self, MemberSecret};
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
    let progress = Progress;
    let server = printer.connect().await?;
    let sides = Sides::open(&args.member, &args.context, &args.home).await?;
    let namespace = &*args.home.namespace;
    let attachments = home::list(&sides.home, namespace).await?;
    let Some(known) = home::ours(&attachments, &args.name, Some(&sides.member_uid))? else {
        return Err(Failure::Missing(format!(
            "there is no member {} at home ({}, namespace {namespace}); `parallax members list` tells which there are",
            args.name, sides.home.shown
        )));
    };
    let Some(before) = known.kubeconfig(&args.name) else {
        return Err(Failure::Refused(format!(
            "the Secret {namespace}/{} has no key {}; attach the member again",
            known.secret, args.name
        )));
    };

    let token = token::take(&sides, namespace, args.expires_in).await?;
    progress.done("token", taken(&token, namespace));
    token::try_out(&sides.member, &token.text, Origin::New).await?;
    let address = manifests::address_in(before).ok_or_else(|| {
        Failure::Refused(format!(
            "the kubeconfig in the Secret {namespace}/{} can't be read; attach the member again",
            known.secret
        ))
    })?;
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
