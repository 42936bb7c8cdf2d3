//! Who owns a path and who may use it: shared by files and directories.

use crate::model::edit::Edit;
use crate::model::facts::PathFact;
use crate::model::quote::word;

/// Wanted owner, group and permission bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access<'a> {
    pub(super) owner: &'a str,
    pub(super) group: &'a str,
    pub(super) mode: u32,
}

impl<'a> Access<'a> {
    /// Takes the mode from its octal spelling.
    pub(super) fn new(owner: &'a str, group: &'a str, mode: &str) -> Result<Self, String> {
        match u32::from_str_radix(mode, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self { owner, group, mode }),
            _ => Err(format!(
                "`{mode}` is no mode: write it in octal, like `0640`"
            )),
        }
    }

    /// `owner:group`, as chown takes it.
    pub(super) fn owners(&self) -> String {
        format!("{}:{}", self.owner, self.group)
    }

    /// The mode as chmod takes it. Five digits: with four, chmod would keep a directory's set-group
    /// bit.
    pub(super) fn bits(&self) -> String {
        format!("{:05o}", self.mode)
    }

    /// What differs from `found`; for a new path, what differs from root's usual.
    pub(super) fn edits(&self, found: Option<&PathFact>, usual: u32) -> Vec<Edit> {
        let before = |text: &dyn Fn(&PathFact) -> String| found.map(text);
        let octal = |mode: u32| format!("{mode:04o}");
        let rows = [
            (
                "owner",
                before(&|f| f.owner.clone()),
                self.owner.to_owned(),
                "root".into(),
            ),
            (
                "group",
                before(&|f| f.group.clone()),
                self.group.to_owned(),
                "root".into(),
            ),
            (
                "mode",
                before(&|f| octal(f.mode)),
                octal(self.mode),
                octal(usual),
            ),
        ];
        rows.into_iter()
            .filter(|(_, before, after, usual)| before.as_ref().unwrap_or(usual) != after)
            .map(|(what, before, after, _)| Edit::attribute(what, before, Some(after)))
            .collect()
    }

    /// Sets owner, group and mode of what is at `path`, links followed. Changes the time of change.
    pub(super) fn script(&self, path: &str) -> String {
        let path = word(path);
        let owners = word(&self.owners());
        // In this order, because chown clears the set-user bit.
        format!(
            "chown -- {owners} {path} && chmod -- {} {path}\n",
            self.bits()
        )
    }
}
