//! `parallax members list` and `status`: what the control plane says of its members.

use std::io::Write;
use std::time::SystemTime;

use super::super::Failure;
use super::super::render;
use super::super::run::Printer;
use crate::admin::proto as v1;

/// All members, a line each.
pub(super) async fn list(printer: &Printer<'_>, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let answer = ask(printer).await?;
    printer.print(out, &answer, |answer| {
        render::member_list(answer, SystemTime::now(), printer.paint)
    })
}

/// All about one member or all of them; fails where one is not synced.
pub(super) async fn status(
    name: Option<&str>,
    printer: &Printer<'_>,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let mut answer = ask(printer).await?;
    if let Some(name) = name {
        answer.members.retain(|member| member.name == name);
        if answer.members.is_empty() {
            return Err(Failure::Missing(match answer.problems.is_empty() {
                true => format!("there is no member {name}; `parallax members list` tells which there are"),
                false => format!(
                    "there is no member {name}; what is wrong at home: {}",
                    answer.problems.join("; ")
                ),
            }));
        }
    }
    printer.print(out, &answer, |answer| {
        render::member_status(answer, SystemTime::now(), printer.paint)
    })?;
    match unsynced(&answer).as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::NotInTime(format!("{one} is not synced"))),
        more => Err(Failure::NotInTime(format!("{} are not synced", more.join(", ")))),
    }
}

async fn ask(printer: &Printer<'_>) -> Result<v1::ListMembersResponse, Failure> {
    let server = printer.connect().await?;
    let mut debug = server.debug.clone();
    server.answer(debug.list_members(v1::ListMembersRequest {})).await
}

fn unsynced(answer: &v1::ListMembersResponse) -> Vec<&str> {
    let unsynced = answer.members.iter().filter(|member| member.state != "Synced");
    unsynced.map(|member| member.name.as_str()).collect()
}
