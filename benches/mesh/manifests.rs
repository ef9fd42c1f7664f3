//! Members as folders of manifests, which come and go while the control plane runs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::clock;
use crate::objects::{self, KINDS};
use crate::world::Size;

/// A folder of members.
#[derive(Debug, Clone)]
pub(crate) struct Manifests {
    root: PathBuf,
}

impl Manifests {
    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let root = folder.join("members");
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    fn hidden(&self, member: usize) -> PathBuf {
        self.root.join(format!(".{}", Size::member_name(member)))
    }

    /// A folder that goes would be kept; what is emptied is empty.
    fn place(&self, member: usize) -> PathBuf {
        self.root.join(Size::member_name(member)).join("all")
    }

    /// Writes a member where it is not seen yet.
    pub(crate) fn prepare(&self, size: &Size, member: usize) -> anyhow::Result<()> {
        let folder = self.hidden(member);
        fs::create_dir_all(&folder)?;
        for (kind, name) in KINDS.iter().enumerate() {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects::all(size, member, kind)});
            fs::write(folder.join(format!("{name}.json")), list.to_string())?;
        }
        Ok(fs::create_dir_all(self.root.join(Size::member_name(member)))?)
    }

    /// Puts all that a prepared member has in its place, and returns when.
    pub(crate) fn join(&self, member: usize) -> anyhow::Result<u64> {
        fs::rename(self.hidden(member), self.place(member))?;
        Ok(clock::now())
    }

    /// Takes all of it away, and returns when. It can join again.
    pub(crate) fn leave(&self, member: usize) -> anyhow::Result<u64> {
        fs::rename(self.place(member), self.hidden(member))?;
        Ok(clock::now())
    }
}
