//! Values that are written as text: how they are read, and what to say when they cannot be.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::model::cloud::{AddressRange, Jump, NicSelector};
use crate::model::name::{CloudName, HostName};

/// A value that is written as text.
pub(super) trait Written: Sized {
    /// What it is, for "`x` is not ...".
    const WHAT: &'static str;
    /// How it is written, with an example.
    const HELP: &'static str;
    /// Reads it; the error is what goes beside the marked text.
    fn read(text: &str) -> Result<Self, String>;

    /// Whether what was written could be, or hold, a secret in the wrong place, which must not be shown.
    fn may_be_secret(_text: &str) -> bool {
        false
    }
}

impl Written for CloudName {
    const WHAT: &'static str = "a name for a cloud";
    const HELP: &'static str = "use lower-case letters, digits and hyphens, 63 at most, with a letter among them: `my-cloud`";
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|why: crate::model::name::BadName| why.to_string())
    }
}

impl Written for HostName {
    const WHAT: &'static str = "a host name (RFC 1123)";
    const HELP: &'static str =
        "use lower-case letters, digits and hyphens, 63 at most, without a domain: `compute1`";
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|why: crate::model::name::BadName| why.to_string())
    }
}

impl Written for Ipv4Addr {
    const WHAT: &'static str = "an IPv4 address";
    const HELP: &'static str = "write four numbers up to 255 with dots between them: `10.0.0.100`";
    fn read(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        Err(match text.parse() {
            Ok(IpAddr::V6(_)) => "IPv6 is not supported yet".to_owned(),
            _ if text.contains('/') => {
                "this is a network; leave out the `/` and what follows".to_owned()
            }
            _ => "not an address".to_owned(),
        })
    }
}

impl Written for Ipv4Net {
    const WHAT: &'static str = "a network";
    const HELP: &'static str =
        "write the first address and the length of the prefix: `10.0.0.0/24`";
    fn read(text: &str) -> Result<Self, String> {
        let Ok(net) = text.parse::<Self>() else {
            return Err(match text.split_once('/') {
                None => "the length of the prefix is missing".to_owned(),
                Some((address, _)) if address.contains(':') => {
                    "IPv6 is not supported yet".to_owned()
                }
                Some(_) => "not a network".to_owned(),
            });
        };
        if net.addr() != net.network() {
            return Err(format!(
                "this is a host's address; its network is `{}`",
                net.trunc()
            ));
        }
        if net.prefix_len() > 30 {
            return Err("too small: it has no room for a host and a gateway".to_owned());
        }
        Ok(net)
    }
}

impl Written for AddressRange {
    const WHAT: &'static str = "a range of addresses";
    const HELP: &'static str = "write the first and the last address: `10.0.1.100-10.0.1.199`";
    fn read(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').ok_or("there is no `-` in it")?;
        let read = |part: &str| {
            Ipv4Addr::from_str(part.trim())
                .map_err(|_| format!("`{}` is not an address", part.trim()))
        };
        let (first, last) = (read(first)?, read(last)?);
        if first > last {
            return Err("the first address is above the last".to_owned());
        }
        Ok(Self { first, last })
    }
}

/// A time of at least a second.
pub(super) struct Time(pub(super) Duration);

impl Written for Time {
    const WHAT: &'static str = "a time";
    const HELP: &'static str =
        "write numbers with `s`, `m` or `h` behind them: `90s`, `5m`, `1h30m`";
    fn read(text: &str) -> Result<Self, String> {
        let mut seconds: u64 = 0;
        let mut number = String::new();
        for c in text.chars() {
            let unit = match c {
                '0'..='9' => {
                    number.push(c);
                    continue;
                }
                's' => 1,
                'm' => 60,
                'h' => 3600,
                other => return Err(format!("`{other}` is no unit of time here")),
            };
            let count: u64 = number
                .parse()
                .map_err(|_| format!("there is no number before `{c}`"))?;
            number.clear();
            seconds = count
                .checked_mul(unit)
                .and_then(|part| seconds.checked_add(part))
                .filter(|all| *all <= 7 * 24 * 3600)
                .ok_or("more than a week")?;
        }
        if !number.is_empty() {
            return Err(format!("`{number}` has no unit"));
        }
        if seconds == 0 {
            return Err("must be longer than nothing".to_owned());
        }
        Ok(Self(Duration::from_secs(seconds)))
    }
}

/// An amount of memory, in MiB.
pub(super) struct Memory(pub(super) u64);

impl Written for Memory {
    const WHAT: &'static str = "an amount of memory";
    const HELP: &'static str = "write a whole number with `MiB` or `GiB` behind it: `6GiB`";
    fn read(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "MiB" | "M" => 1,
            "GiB" | "G" => 1024,
            "" => return Err("there is no unit".to_owned()),
            other => return Err(format!("`{other}` is not a unit of memory here")),
        };
        let number: u64 = number
            .parse()
            .map_err(|_| "not a whole number".to_owned())?;
        match number.checked_mul(factor) {
            Some(mib) if mib >= 256 => Ok(Self(mib)),
            Some(_) => Err("no system starts with less than 256 MiB".to_owned()),
            None => Err("more than there is".to_owned()),
        }
    }
}

/// A hardware address, lower case with colons.
pub(super) struct Mac(pub(super) String);

impl Written for Mac {
    const WHAT: &'static str = "a hardware address";
    const HELP: &'static str = "write six pairs of hexadecimal digits: `52:54:00:00:00:01`";
    fn read(text: &str) -> Result<Self, String> {
        let plain = text.to_lowercase().replace('-', ":");
        let pairs: Vec<&str> = plain.split(':').collect();
        if pairs.len() != 6 {
            return Err(format!("it has {} parts instead of 6", pairs.len()));
        }
        match pairs
            .iter()
            .find(|p| p.len() != 2 || !p.chars().all(|c| c.is_ascii_hexdigit()))
        {
            Some(odd) => Err(format!("`{odd}` is not two hexadecimal digits")),
            None => Ok(Self(plain)),
        }
    }
}

/// The name of a NIC.
pub(super) struct NicName(pub(super) String);

impl Written for NicName {
    const WHAT: &'static str = "the name of a NIC";
    const HELP: &'static str = "`ip -brief link` on the host shows the names; \
        or find it by `{ mac = \"52:54:00:00:00:01\" }` or `{ cidr = \"203.0.113.0/24\" }`";
    fn read(text: &str) -> Result<Self, String> {
        if Mac::read(text).is_ok() {
            return Err("this is a hardware address".to_owned());
        }
        if text.is_empty() || text.len() > 15 {
            return Err("a name has 1 to 15 characters".to_owned());
        }
        match text
            .chars()
            .find(|c| c.is_whitespace() || *c == '/' || !c.is_ascii_graphic())
        {
            Some(odd) => Err(format!("{odd:?} cannot be in a name")),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl From<NicName> for NicSelector {
    fn from(name: NicName) -> Self {
        Self::Name(name.0)
    }
}

impl Written for Jump {
    const WHAT: &'static str = "a jump host";
    const HELP: &'static str = "write `host`, `user@host` or `user@host:port`";
    fn read(text: &str) -> Result<Self, String> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        if user.is_some_and(str::is_empty) {
            return Err("there is no user before the `@`".to_owned());
        }
        let host = Destination::read(host)?.0;
        if host.contains(':') {
            return Err(format!("`{host}` is not a host"));
        }
        let user = user.map(Word::read).transpose()?;
        let port = match port.map(u16::from_str) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err("the port is not a number from 1 to 65535".to_owned()),
        };
        Ok(Self {
            user: user.map(|user| user.0),
            host,
            port,
        })
    }
}

/// The name of an environment variable.
pub(super) struct Variable(pub(super) String);

impl Written for Variable {
    const WHAT: &'static str = "the name of an environment variable";
    const HELP: &'static str = "write the name of a variable, never a password: `LAB_PASSWORD`";
    fn may_be_secret(_text: &str) -> bool {
        true
    }
    fn read(text: &str) -> Result<Self, String> {
        let letters = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if letters && text.chars().next().is_some_and(|c| !c.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a name has letters, digits and `_`, and begins with no digit".to_owned())
        }
    }
}

/// A SHA-256, in lower case.
pub(super) struct Sha256(pub(super) String);

impl Written for Sha256 {
    const WHAT: &'static str = "a SHA-256 checksum";
    const HELP: &'static str = "write 64 hexadecimal digits, as `sha256sum FILE` prints them";
    fn read(text: &str) -> Result<Self, String> {
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(format!("`{odd}` is not a hexadecimal digit"));
        }
        if text.len() != 64 {
            return Err(format!("it has {} digits instead of 64", text.len()));
        }
        Ok(Self(text.to_lowercase()))
    }
}

/// An address on the web.
pub(super) struct Url(pub(super) String);

impl Written for Url {
    const WHAT: &'static str = "a web address";
    const HELP: &'static str = "write all of it: `https://mirror.example.org/debian`";
    fn read(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .ok_or("it does not begin with `http://` or `https://`")?;
        let host = rest.split('/').next().unwrap_or_default();
        if host.contains('@') {
            return Err(
                "a user or a password in it would end up in files that others read".to_owned(),
            );
        }
        if host.is_empty() {
            return Err("there is no host in it".to_owned());
        }
        match text
            .chars()
            .find(|c| !c.is_ascii_graphic() || "\"'`\\<>{}|^".contains(*c))
        {
            Some(odd) => Err(format!("{odd:?} cannot be in it")),
            None => Ok(Self(text.to_owned())),
        }
    }
    fn may_be_secret(text: &str) -> bool {
        text.contains('@')
    }
}

/// The address of a person.
pub(super) struct Email(pub(super) String);

impl Written for Email {
    const WHAT: &'static str = "an e-mail address";
    const HELP: &'static str = "write a name, `@` and a host: `operator@example.org`";
    fn read(text: &str) -> Result<Self, String> {
        let plain = text
            .chars()
            .all(|c| c.is_ascii_graphic() && !"\"'`\\<>,;".contains(c));
        match text.split_once('@') {
            _ if !plain => Err("it has a character that cannot be in one".to_owned()),
            Some((name, host)) if !name.is_empty() && !host.is_empty() && !host.contains('@') => {
                Ok(Self(text.to_owned()))
            }
            _ => Err("it is not `name@host`".to_owned()),
        }
    }
}

/// What SSH connects to: an address, a name or an alias. It goes to `ssh -G` as an argument, so it must
/// not look like an option.
pub(super) struct Destination(pub(super) String);

impl Written for Destination {
    const WHAT: &'static str = "something to connect to";
    const HELP: &'static str = "write an address, a name, or an alias of your SSH configuration";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text.starts_with('-') {
            return Err("it begins with a hyphen".to_owned());
        }
        match text
            .chars()
            .find(|c| !c.is_ascii_graphic() || "@,/\"'`\\;|&$<>(){}*?".contains(*c))
        {
            Some(odd) => Err(format!("{odd:?} cannot be in it")),
            None => Ok(Self(text.to_owned())),
        }
    }
}

/// The name of a time zone.
pub(super) struct Zone(pub(super) String);

impl Written for Zone {
    const WHAT: &'static str = "a time zone";
    const HELP: &'static str =
        "write a name that `timedatectl list-timezones` prints: `Europe/Berlin`, `UTC`";
    fn read(text: &str) -> Result<Self, String> {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "/_+-".contains(c));
        if text.is_empty() || text.starts_with('/') || text.contains(odd) {
            return Err("not the name of a zone".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A name that goes into OpenStack, a configuration file or a command: no blanks, nothing odd.
pub(super) struct Word(pub(super) String);

impl Written for Word {
    const WHAT: &'static str = "a name";
    const HELP: &'static str =
        "use letters, digits, `.`, `_` and `-`, 64 at most, with a letter or digit first";
    fn read(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text.len() > 64 {
            return Err("it has more than 64 characters".to_owned());
        }
        if let Some(odd) = text.chars().find(|c| !good(*c)) {
            return Err(format!("{odd:?} cannot be in it"));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err("it begins with neither a letter nor a digit".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}
