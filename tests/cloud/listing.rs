//! A host's whole file system as a list, so that two moments can be compared.

use std::collections::BTreeMap;

use crate::cloud::Cloud;

/// What changes on any host while somebody only looks at it, each with the reason. `find` stays on one file system, so
/// what is mounted below is not looked at, only the place it is mounted on.
const OF_ITSELF: [(&str, &str); 11] = [
    ("/proc", "the kernel's own"),
    ("/sys", "the kernel's own"),
    ("/dev", "made at every boot"),
    ("/run", "made at every boot; sessions come and go in it"),
    ("/tmp", "made at every boot"),
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
    let question = r"find / -xdev -printf '%n\t%y %m %U:%G %s %T@ %l\t%C@\t%p\n'";
    let listed = cloud.ask(host, question);
    let files = listed.lines().filter_map(|line| {
        let mut parts = line.splitn(4, '\t');
        let (links, what, inode, path) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // The hosts of all labs share downloaded packages: whoever links one changes the inode for all.
        let shared = links != "1" && what.starts_with('f');
        let inode = if shared { "-" } else { inode };
        Some((path.to_owned(), format!("{what} {inode}")))
    });
    let of_itself = |path: &str| {
        let below = |start: &str| {
            path.strip_prefix(start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        OF_ITSELF.iter().any(|(start, _)| below(start))
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
