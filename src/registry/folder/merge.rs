//! The files of a folder together: every object once. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::super::problem::Problem;
use super::parse::Content;
use crate::model::ObjectName;
use crate::table::{Kind, Record};

/// Complete lists of all kinds, in order.
pub(super) type Lists = BTreeMap<Kind, Vec<Record>>;

/// Puts the files together, given in the order of their names. Of an object that is there twice the first one counts.
pub(super) fn merge<'a>(files: impl Iterator<Item = (&'a str, &'a Content)>) -> (Lists, Vec<Problem>) {
    let mut objects: BTreeMap<(Kind, ObjectName), (&str, u64, &Record)> = BTreeMap::new();
    let mut problems = Vec::new();
    for (file, content) in files {
        problems.extend(content.problems.iter().cloned());
        for (line, record) in &content.records {
            match objects.entry((record.kind(), record.name())) {
                Entry::Vacant(vacant) => {
                    vacant.insert((file, *line, record));
                }
                Entry::Occupied(first) => {
                    let (first_file, first_line, _) = first.get();
                    problems.push(Problem::new(
                        format!("{} {} ({file}:{line})", record.kind(), record.name()),
                        format!("it is already in {first_file}:{first_line}, which counts"),
                        "remove one of them",
                    ));
                }
            }
        }
    }
    let mut lists: Lists = Kind::ALL.map(|kind| (kind, Vec::new())).into();
    for ((kind, _), (_, _, record)) in objects {
        lists.entry(kind).or_default().push(record.clone());
    }
    problems.sort();
    (lists, problems)
}
