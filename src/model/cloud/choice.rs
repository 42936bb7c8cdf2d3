//! The closed sets that an answer file chooses from.
//!
//! The comments on the variants are what editors show, by way of the JSON schema.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// The choice as it is written in an answer file.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice! {
    /// What makes the hosts of a lab.
    Backend {
        /// Containers with a real systemd, on this machine.
        Nspawn = "nspawn",
    }
}

choice! {
    /// How to become root after logging in.
    Sudo {
        /// Nothing for root, sudo for anybody else; whether it wants a password is tried.
        Auto = "auto",
        /// Never: the user is root, or as good.
        None = "none",
        /// With sudo, which asks for nothing.
        Passwordless = "passwordless",
        /// With sudo and the password in `sudo_password_env` (else `password_env`).
        Password = "password",
    }
}

choice! {
    /// What is done about a host key that nobody knows yet. A changed key always stops the run.
    HostKeys {
        /// Refused: keys are in the cloud's `known_hosts` or the user's before the first run.
        Pinned = "pinned",
        /// Accepted once, at first contact, and pinned from then on.
        PinFirst = "pin-first",
    }
}

choice! {
    /// The encapsulation of project networks.
    TunnelType {
        /// Understood by every kernel and switch.
        Vxlan = "vxlan",
        /// What OVN speaks.
        Geneve = "geneve",
    }
}

choice! {
    /// Whether a service of the host stays.
    KeepOrOff {
        /// Stopped and disabled, where there is one.
        Off = "off",
        /// Left running, and told what OpenStack needs.
        Keep = "keep",
    }
}

choice! {
    /// SELinux, where the host has it.
    Selinux {
        /// As it is.
        Keep = "keep",
        /// It only warns.
        Permissive = "permissive",
        /// It forbids.
        Enforcing = "enforcing",
    }
}

choice! {
    /// Whether a host may be restarted.
    Reboot {
        /// When a new kernel or a changed boot setting asks for it.
        WhenNeeded = "when-needed",
        /// Never; a pending restart is reported.
        Never = "never",
    }
}

choice! {
    /// How an image's disk is laid out.
    ImageFormat {
        /// QEMU's own, which grows as it is filled.
        Qcow2 = "qcow2",
        /// Byte for byte.
        Raw = "raw",
    }
}

choice! {
    /// What is done where there is no image, or its address does not answer.
    ImageFallback {
        /// A small guest is built from the distribution's kernel and busybox.
        BuildGuest = "build-guest",
        /// The run stops.
        None = "none",
    }
}
