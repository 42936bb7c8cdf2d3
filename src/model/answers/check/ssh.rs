//! `[ssh]` and `[hosts.<name>.ssh]`: how to log in.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::model::answers::findings::Findings;
use crate::model::answers::schema::{OneOrMany, SshTable};
use crate::model::answers::written::{Destination, Time, Variable, Word};
use crate::model::at::At;
use crate::model::cloud::choice::{HostKeys, Sudo};
use crate::model::cloud::{Jump, Ssh};
use crate::model::diagnostic::Diagnostic;

/// What one table says; nothing where it says nothing.
#[derive(Debug, Default)]
pub(super) struct SshPart {
    host: Option<String>,
    user: Option<String>,
    port: Option<u16>,
    identity: Option<Vec<String>>,
    agent: Option<bool>,
    jump: Option<Vec<At<Jump>>>,
    sudo: Option<Sudo>,
    password_env: Option<String>,
    sudo_password_env: Option<String>,
    host_keys: Option<HostKeys>,
    connect_timeout: Option<Duration>,
    use_ssh_config: Option<bool>,
}

/// Reads one table.
pub(super) fn read(path: &str, table: Option<&SshTable>, findings: &mut Findings<'_>) -> SshPart {
    let Some(table) = table else {
        return SshPart::default();
    };
    let key = |key: &str| format!("{path}.{key}");
    let user: Option<Word> = findings.read_opt(&key("user"), table.user.as_ref());
    let host: Option<Destination> = findings.read_opt(&key("host"), table.host.as_ref());
    let password: Option<Variable> =
        findings.read_opt(&key("password_env"), table.password_env.as_ref());
    let sudo: Option<Variable> =
        findings.read_opt(&key("sudo_password_env"), table.sudo_password_env.as_ref());
    let timeout: Option<Time> =
        findings.read_opt(&key("connect_timeout"), table.connect_timeout.as_ref());
    SshPart {
        host: host.map(|host| host.0),
        user: user.map(|user| user.0),
        port: table.port,
        identity: table
            .identity
            .as_ref()
            .map(|files| files.iter().map(|file| file.get().clone()).collect()),
        agent: table.agent,
        jump: table
            .jump
            .as_ref()
            .map(|jump| read_jump(&key("jump"), jump, findings)),
        sudo: table.sudo,
        password_env: password.map(|name| name.0),
        sudo_password_env: sudo.map(|name| name.0),
        host_keys: table.host_keys,
        connect_timeout: timeout.map(|time| time.0),
        use_ssh_config: table.use_ssh_config,
    }
}

fn read_jump(key: &str, written: &At<OneOrMany>, findings: &mut Findings<'_>) -> Vec<At<Jump>> {
    match written.get() {
        OneOrMany::One(text) => findings
            .read_at(key, &written.with(text.clone()))
            .into_iter()
            .collect(),
        OneOrMany::Many(texts) => texts
            .iter()
            .filter_map(|text| findings.read_at(key, text))
            .collect(),
    }
}

impl SshPart {
    /// Fills in from what is common to all hosts, then the defaults.
    pub(super) fn over(self, common: &Self) -> Ssh {
        let password_env = self.password_env.or_else(|| common.password_env.clone());
        Ssh {
            host: self.host,
            user: self.user.or_else(|| common.user.clone()),
            port: self.port.or(common.port),
            identity: self
                .identity
                .or_else(|| common.identity.clone())
                .unwrap_or_default(),
            agent: self.agent.or(common.agent).unwrap_or(true),
            jump: self
                .jump
                .or_else(|| common.jump.clone())
                .map(|hops| hops.into_iter().map(At::into_inner).collect()),
            sudo: self.sudo.or(common.sudo).unwrap_or(Sudo::Auto),
            sudo_password_env: self
                .sudo_password_env
                .or_else(|| common.sudo_password_env.clone())
                .or_else(|| password_env.clone()),
            password_env,
            host_keys: self
                .host_keys
                .or(common.host_keys)
                .unwrap_or(HostKeys::Pinned),
            connect_timeout: self
                .connect_timeout
                .or(common.connect_timeout)
                .unwrap_or(Duration::from_secs(15)),
            use_ssh_config: self
                .use_ssh_config
                .or(common.use_ssh_config)
                .unwrap_or(true),
        }
    }
}

/// A host that is reached through itself is not reached.
pub(super) fn check_jump(
    name: &At<String>,
    address: Option<&At<Ipv4Addr>>,
    own: &SshPart,
    common: &SshPart,
    findings: &mut Findings<'_>,
) {
    let address = address.map(|address| address.get().to_string());
    let port = own.port.or(common.port).unwrap_or(22);
    let jumps = own.jump.as_ref().or(common.jump.as_ref());
    for jump in jumps.into_iter().flatten() {
        let to = &jump.get().host;
        let same =
            to == name.get() || Some(to) == address.as_ref() || Some(to) == own.host.as_ref();
        if same && jump.get().port.unwrap_or(22) == port {
            let host = name.get();
            findings.add(
                Diagnostic::error(
                    "ssh::jump-to-self",
                    format!("`{host}` would be reached through itself"),
                )
                .at(findings.label(jump.span(), format!("this is `{host}`")))
                .help(format!(
                    "write `jump = []` in `[hosts.{host}.ssh]`, if it can be reached directly"
                )),
            );
        }
    }
}
