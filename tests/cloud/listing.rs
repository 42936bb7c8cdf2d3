//! A host's whole file system as a list, so that two moments can be compared.

use std::collections::BTreeMap;

use crate::cloud::Cloud;

/// What changes on any host while somebody only looks at it, each with the reason. The kernel's own file systems and
/// what is mounted as temporary (`/run`, `/dev`, `/tmp`) are left out by asking for one file system only.
const OF_ITSELF: [(&str, &str); 6] = [
    ("/var/log/journal", "systemd writes down who logs in"),
    ("/var/log/wtmp", "so does login"),
    ("/var/log/btmp", "and failed logins"),
    ("/var/log/lastlog", "and the last login of each"),
    ("/var/lib/wtmpdb", "and so does login on newer systems"),
    (
        "/var/lib/systemd/timers",
        "timers of the system run by themselves",
    ),
];

/// Type, mode, owner, size, time of change and of the inode's change, target of links; by path.
pub(crate) type Listing = BTreeMap<String, String>;

/// Every file of a host.
pub(crate) fn of(cloud: &Cloud, host: &str) -> Listing {
    let question = r"find / -xdev -printf '%y %m %U:%G %s %T@ %C@ %l\t%p\n'";
    let listed = cloud.ask(host, question);
    let files = listed.lines().filter_map(|line| {
        let (what, path) = line.split_once('\t')?;
        Some((path.to_owned(), what.to_owned()))
    });
    let of_itself = |path: &str| {
        OF_ITSELF.iter().any(|(start, _)| {
            path.strip_prefix(start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    files.filter(|(path, _)| !of_itself(path)).collect()
}

/// What is different, one line each.
pub(crate) fn difference(before: &Listing, after: &Listing) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, what) in before {
        match after.get(path) {
            None => lines.push(format!("gone: {path}")),
            Some(now) if now != what => lines.push(format!("{path}: {what} became {now}")),
            Some(_) => {}
        }
    }
    let new = after.keys().filter(|path| !before.contains_key(*path));
    lines.extend(new.map(|path| format!("new: {path}")));
    lines
}
