//! The file: an embedded database with one row for each object.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableHandle};

use super::hosts::{self, HOSTS, RememberedHost};
use super::pending::{OfMember, Pending};
use super::row;
use crate::model::{ClusterId, HostName, MemberWeight, NetworkId, ObjectName};
use crate::table::{Kept, Kind, Record};

/// Raised whenever rows change their form. A file of another schema is set aside, and a new one begun.
const SCHEMA: u64 = 9;

/// Member, kind, namespace and name, to the record.
const OBJECTS: TableDefinition<(&str, u8, &str, &str), &[u8]> = TableDefinition::new("objects");
/// Member, to the time when it was last written: seconds since the epoch.
const WRITTEN: TableDefinition<&str, u64> = TableDefinition::new("written");
/// Member, to its network in the settings (empty where it has none) and its weight in percent: how it is treated until the
/// list of members is read again.
const TREATED: TableDefinition<&str, (&str, u16)> = TableDefinition::new("treated");
/// `schema`, to its number.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Why the file can't be opened or written. The message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{0} is in use by another process; give each replica a file of its own")]
    InUse(PathBuf),
    /// Neither it nor a new one in its place can be opened.
    #[error("{path} can't be opened: {problem}; make its folder writable, or leave out `store.path`")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system or the database says.
        problem: String,
    },
    /// It was as it should be, and is not any more. A new one in its place would hold only what came since.
    #[error("{path} was damaged or taken away while it was in use: {problem}; start again, which begins a new one")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It can't be written at present.
    #[error("{path} can't be written: {problem}; free some space")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system or the database says.
        problem: String,
    },
}

/// What the file knows of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its objects, with all kinds.
    pub records: BTreeMap<Kind, Vec<Record>>,
    /// When the last of it was written.
    pub at: SystemTime,
    /// The network of what nothing in it places, by the word of whoever listed it.
    pub network: Option<NetworkId>,
    /// What its endpoints count, by the same word.
    pub weight: MemberWeight,
    /// How many rows could not be read; they were removed.
    pub unreadable: usize,
}

/// How a file is opened, or made.
pub(super) type Create = fn(&Path) -> Result<redb::Database, redb::DatabaseError>;

/// The open file.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    create: Create,
    /// None after a failure to write: the library wants it closed, and opened again.
    file: Mutex<Option<redb::Database>>,
}

impl Database {
    /// Opens the file, or makes it. One that is damaged or of another schema is moved aside, to `PATH.unreadable-N`, and a new
    /// one begun; the message says so.
    ///
    /// # Errors
    /// When another process has it, or its folder can't be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_by(path, |path| redb::Database::create(path))
    }

    /// The same, by other means than the file system.
    pub(super) fn open_by(path: &Path, create: Create) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            create,
            file: Mutex::new(Some(open_file(path, create)?)),
        })
    }

    /// Everything that is known, by member. Rows that can't be read are left out and counted.
    ///
    /// # Errors
    /// When the file can't be read at all.
    pub fn load(&self) -> Result<BTreeMap<ClusterId, Remembered>, StoreError> {
        self.read().map_err(|error| self.unreadable(&error))
    }

    /// What host names led to. Rows that can't be read are left out.
    ///
    /// # Errors
    /// When the file can't be read at all.
    pub fn load_hosts(&self) -> Result<BTreeMap<HostName, RememberedHost>, StoreError> {
        let read = self.begin_read().and_then(|read| hosts::read(&read));
        read.map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &redb::Error) -> StoreError {
        StoreError::Open {
            path: self.path.clone(),
            problem: error.to_string(),
        }
    }

    fn begin_read(&self) -> Result<redb::ReadTransaction, redb::Error> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_ref().ok_or(redb::Error::PreviousIo)?;
        Ok(file.begin_read()?)
    }

    fn read(&self) -> Result<BTreeMap<ClusterId, Remembered>, redb::Error> {
        let read = self.begin_read()?;
        let mut members = BTreeMap::new();
        for entry in read.open_table(WRITTEN)?.iter()? {
            let (member, seconds) = entry?;
            let Ok(member) = ClusterId::new(member.value()) else {
                continue;
            };
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.value());
            let records = Kind::ALL.into_iter().map(|kind| (kind, Vec::new())).collect();
            members.insert(
                member,
                Remembered {
                    records,
                    at,
                    network: None,
                    weight: MemberWeight::FULL,
                    unreadable: 0,
                },
            );
        }
        for entry in read.open_table(TREATED)?.iter()? {
            let (member, treated) = entry?;
            let member = ClusterId::new(member.value());
            if let Some(remembered) = member.ok().and_then(|member| members.get_mut(&member)) {
                let (network, weight) = treated.value();
                remembered.network = NetworkId::new(network).ok();
                remembered.weight = MemberWeight::new(weight).unwrap_or_default();
            }
        }
        for entry in read.open_table(OBJECTS)?.iter()? {
            let (key, bytes) = entry?;
            let (member, ..) = key.value();
            let Some(remembered) = ClusterId::new(member).ok().and_then(|member| members.get_mut(&member)) else {
                continue;
            };
            match row::decode(bytes.value()) {
                Ok(record) => remembered.records.entry(record.kind()).or_default().push(record),
                Err(_) => remembered.unreadable += 1,
            }
        }
        Ok(members)
    }

    /// Writes a batch as one step: after a crash there is all of it or none.
    pub(super) fn write(&self, batch: &Pending) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match file.take() {
            Some(open) => open,
            None => open_again(&self.path, self.create)?,
        };
        match Self::try_write(&open, batch) {
            Ok(()) => {
                *file = Some(open);
                Ok(())
            }
            Err(error) => Err(StoreError::Write {
                path: self.path.clone(),
                problem: error.to_string(),
            }),
        }
    }

    fn try_write(file: &redb::Database, batch: &Pending) -> Result<(), redb::Error> {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let write = file.begin_write()?;
        {
            let mut objects = write.open_table(OBJECTS)?;
            let mut written = write.open_table(WRITTEN)?;
            let mut treated = write.open_table(TREATED)?;
            for (member, words) in &batch.members {
                let member = member.as_str();
                if words.left {
                    objects.retain_in((member, 0, "", "")..=(member, u8::MAX, "", ""), |_, _| false)?;
                    written.remove(member)?;
                    treated.remove(member)?;
                }
                treat(&mut treated, member, words)?;
                for (kind, words) in &words.kinds {
                    let kind = row::number(*kind);
                    if words.replaces {
                        objects.retain_in(
                            (member, kind, "", "")..(member, kind + 1, "", ""),
                            |(.., namespace, name), _| {
                                words.spared != Kept::default() && words.spared.keeps(&ObjectName::new(namespace, name))
                            },
                        )?;
                    }
                    for (name, bytes) in &words.objects {
                        let key = (member, kind, &*name.namespace, &*name.name);
                        match bytes {
                            Some(bytes) => objects.insert(key, &**bytes)?,
                            None => objects.remove(key)?,
                        };
                    }
                    written.insert(member, now)?;
                }
            }
        }
        if !batch.hosts.is_empty() {
            hosts::write(&write, &batch.hosts)?;
        }
        write.commit()?;
        Ok(())
    }
}

/// Notes how a member is treated, as far as that was said.
fn treat(treated: &mut redb::Table<'_, &str, (&str, u16)>, member: &str, words: &OfMember) -> Result<(), redb::Error> {
    if words.network.is_none() && words.weight.is_none() {
        return Ok(());
    }
    let (mut network, mut weight) = match treated.get(member)? {
        Some(known) => (known.value().0.to_owned(), known.value().1),
        None => (String::new(), MemberWeight::FULL.percent()),
    };
    if let Some(said) = &words.network {
        network = said.as_ref().map(ToString::to_string).unwrap_or_default();
    }
    if let Some(said) = words.weight {
        weight = said.percent();
    }
    treated.insert(member, (&*network, weight))?;
    Ok(())
}

/// Opens the file again that was open before, after a failure to write.
fn open_again(path: &Path, create: Create) -> Result<redb::Database, StoreError> {
    let damaged = |problem: String| StoreError::Damaged {
        path: path.to_owned(),
        problem,
    };
    if !path.exists() {
        return Err(damaged("it is gone".to_owned()));
    }
    let opened = create(path).map_err(Trouble::of_opening).and_then(|file| {
        let complete = is_complete(&file).map_err(Trouble::of_use)?;
        complete
            .then_some(file)
            .ok_or_else(|| Trouble::Damaged("its tables are gone".to_owned()))
    });
    opened.map_err(|trouble| match trouble {
        Trouble::InUse => StoreError::InUse(path.to_owned()),
        Trouble::Damaged(problem) => damaged(problem),
        Trouble::Fatal(problem) => StoreError::Write {
            path: path.to_owned(),
            problem,
        },
    })
}

/// Opens the file, or makes it; sets one aside that is damaged.
fn open_file(path: &Path, create: Create) -> Result<redb::Database, StoreError> {
    match try_open(path, create) {
        Ok(file) => Ok(file),
        Err(Trouble::InUse) => Err(StoreError::InUse(path.to_owned())),
        Err(Trouble::Fatal(problem)) => Err(StoreError::Open {
            path: path.to_owned(),
            problem,
        }),
        Err(Trouble::Damaged(problem)) => {
            let aside = free_name(path);
            std::fs::rename(path, &aside).map_err(|error| StoreError::Open {
                path: path.to_owned(),
                problem: format!("{problem}; and it can't be moved aside: {error}"),
            })?;
            tracing::error!(
                file = %path.display(), aside = %aside.display(), problem,
                "the last known good can't be read; it was set aside, and a new file begun"
            );
            try_open(path, create).map_err(|trouble| StoreError::Open {
                path: path.to_owned(),
                problem: trouble.to_string(),
            })
        }
    }
}

/// Nothing is written to a file that is as it should be: the disk may be full.
fn try_open(path: &Path, create: Create) -> Result<redb::Database, Trouble> {
    let file = create(path).map_err(Trouble::of_opening)?;
    if !is_complete(&file).map_err(Trouble::of_use)? {
        begin(&file).map_err(Trouble::of_use)?;
    }
    Ok(file)
}

/// Whether the file has all tables already.
fn is_complete(file: &redb::Database) -> Result<bool, redb::Error> {
    let read = file.begin_read()?;
    let tables = read.list_tables()?.map(|table| table.name().to_owned());
    let tables: BTreeSet<String> = tables.collect();
    let all = [
        META.name(),
        OBJECTS.name(),
        WRITTEN.name(),
        TREATED.name(),
        HOSTS.name(),
    ];
    if !all.iter().all(|name| tables.contains(*name)) {
        return Ok(false);
    }
    Ok(read.open_table(META)?.get("schema")?.map(|number| number.value()) == Some(SCHEMA))
}

/// Makes the tables.
fn begin(file: &redb::Database) -> Result<(), redb::Error> {
    let write = file.begin_write()?;
    {
        let mut meta = write.open_table(META)?;
        let schema = meta.get("schema")?.map(|number| number.value());
        match schema {
            Some(SCHEMA) => {}
            None => {
                meta.insert("schema", SCHEMA)?;
            }
            Some(other) => return Err(redb::Error::Corrupted(format!("it is of schema {other}, not {SCHEMA}"))),
        }
        write.open_table(OBJECTS)?;
        write.open_table(WRITTEN)?;
        write.open_table(TREATED)?;
        write.open_table(HOSTS)?;
    }
    write.commit()?;
    Ok(())
}

/// What keeps the file from being opened.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("another process has it open")]
    InUse,
    #[error("{0}")]
    Damaged(String),
    #[error("{0}")]
    Fatal(String),
}

impl Trouble {
    /// What the system refuses says nothing of what is in the file.
    fn of_use(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => Self::Fatal(error.to_string()),
            redb::Error::PreviousIo => Self::Fatal(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }

    fn of_opening(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            redb::DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() != io::ErrorKind::InvalidData =>
            {
                Self::Fatal(error.to_string())
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// A name beside the file that is not taken.
fn free_name(path: &Path) -> PathBuf {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".unreadable-{number}"));
        let name = PathBuf::from(name);
        if !name.exists() {
            return name;
        }
        number += 1;
    }
}
