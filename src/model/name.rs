//! Names that people give to things: checked once, where they enter, and trusted ever after.
//!
//! A name type has no constructor that skips its check. What a name *refers to* is not looked at here.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not a name; reads on after "`x` is not a host name: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// More than 63 characters, the longest label that DNS carries.
    #[error("it has more than 63 characters")]
    Long,
    /// A character that RFC 1123 does not allow in a label.
    #[error("`{0}` is not a lower-case letter, a digit or a hyphen")]
    Character(char),
    /// A hyphen at either end.
    #[error("it begins or ends with a hyphen")]
    Hyphen,
    /// Only digits: many programs take such a name for a number or an address.
    #[error("it has digits only, which programs take for an address")]
    Digits,
}

/// Checks an RFC 1123 label: 1 to 63 of `a-z`, `0-9` and `-`, no hyphen at the ends, not digits only.
fn check_label(text: &str) -> Result<(), BadName> {
    if text.is_empty() {
        return Err(BadName::Empty);
    }
    if let Some(odd) = text
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        return Err(BadName::Character(odd));
    }
    if text.len() > 63 {
        return Err(BadName::Long);
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(BadName::Hyphen);
    }
    if text.chars().all(|c| c.is_ascii_digit()) {
        return Err(BadName::Digits);
    }
    Ok(())
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                check_label(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                check_label(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

label! {
    /// A host's short name: its hostname, its line in `/etc/hosts`, its name in every message.
    HostName
}

label! {
    /// A cloud's name: also the name of its state directory and of its lab.
    CloudName
}

/// What a host is for. A host may have several roles.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Database, message queue, the APIs and the dashboard. Exactly one host has it.
    Controller,
    /// Routers, DHCP and floating addresses. The controller takes it where nobody has it.
    Network,
    /// Runs instances.
    Compute,
    /// Keeps volumes and objects.
    Storage,
}

impl Role {
    /// All roles, in the order in which they are shown.
    pub const ALL: [Self; 4] = [
        Self::Controller,
        Self::Network,
        Self::Compute,
        Self::Storage,
    ];

    /// The role as it is written in an answer file and in a playbook.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Network => "network",
            Self::Compute => "compute",
            Self::Storage => "storage",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_rfc_1123() {
        for good in ["controller", "compute1", "c-1", "7up"] {
            assert!(good.parse::<HostName>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for (bad, why) in [
            ("", BadName::Empty),
            ("Controller", BadName::Character('C')),
            ("node_1", BadName::Character('_')),
            ("a.b", BadName::Character('.')),
            ("-a", BadName::Hyphen),
            ("a-", BadName::Hyphen),
            ("100", BadName::Digits),
            (long.as_str(), BadName::Long),
        ] {
            assert_eq!(bad.parse::<HostName>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_does_not_come_in_by_serde() {
        assert!(serde_json::from_str::<CloudName>("\"my cloud\"").is_err());
    }
}
