//! Logging in: agent, key files, certificates, password, and an honest list of what was tried.
//!
//! Order: keys of the agent that are also named as identities, then the identity files, then the
//! agent's other keys, then the password. Hosts hang up after a few wrong keys (`MaxAuthTries`, usually
//! six), so what the user named goes first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Reply};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{
    Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, load_openssh_certificate,
    load_public_key, load_secret_key,
};
use russh::{AgentAuthError, MethodKind, MethodSet, Signer};
use tokio::net::UnixStream;

use super::ssh::Watcher;
use super::{Login, Secret};

/// Logs in, or tells what was tried.
pub(super) async fn log_in(
    handle: &mut Handle<Watcher>,
    user: &str,
    login: &Login,
) -> Result<(), Vec<String>> {
    let mut attempt = Attempt {
        handle,
        user,
        rsa: None,
        tried: Vec::new(),
        methods: None,
    };
    if attempt.all(login).await {
        Ok(())
    } else {
        Err(attempt.tried)
    }
}

struct Attempt<'a> {
    handle: &'a mut Handle<Watcher>,
    user: &'a str,
    rsa: Option<Option<HashAlg>>,
    tried: Vec<String>,
    methods: Option<MethodSet>,
}

impl Attempt<'_> {
    async fn all(&mut self, login: &Login) -> bool {
        let mut agent = match &login.agent {
            Some(socket) => self.open_agent(socket).await,
            None => None,
        };
        let named: Vec<PublicKey> = login
            .identities
            .iter()
            .filter_map(|file| public(file))
            .collect();
        if let Some((agent, keys)) = &mut agent {
            let (first, rest) = keys.drain(..).partition(|key| {
                named
                    .iter()
                    .any(|it| it.key_data() == key.public_key().key_data())
            });
            *keys = rest;
            if self.agent_keys(agent, first).await {
                return true;
            }
        }
        for file in &login.identities {
            if self.identity(file).await {
                return true;
            }
        }
        if let Some((agent, keys)) = &mut agent {
            let keys = std::mem::take(keys);
            if self.agent_keys(agent, keys).await {
                return true;
            }
        }
        match &login.password {
            Some(password) => self.password(password).await,
            None => false,
        }
    }

    async fn open_agent(&mut self, socket: &Path) -> Option<Agent> {
        let opened = async {
            let mut agent = AgentClient::connect_uds(socket).await?;
            // Keys may be bound to destinations; agents that know no such thing refuse, which is fine.
            if let Some(binding) = self.handle.agent_session_binding() {
                let _ = agent.bind_session(binding, false).await;
            }
            let keys = agent.request_identities().await?;
            Ok::<_, russh::keys::Error>((agent, keys))
        };
        match opened.await {
            Ok((agent, keys)) => {
                self.tried.push(match keys.len() {
                    1 => "agent (1 key)".to_owned(),
                    n => format!("agent ({n} keys)"),
                });
                Some((agent, keys))
            }
            Err(error) => {
                self.tried
                    .push(format!("agent {} ({error})", socket.display()));
                None
            }
        }
    }

    async fn agent_keys(
        &mut self,
        agent: &mut AgentClient<UnixStream>,
        keys: Vec<AgentIdentity>,
    ) -> bool {
        for key in keys {
            if !self.open_to(MethodKind::PublicKey) {
                return false;
            }
            let rsa = self.hash_for(&key.public_key()).await;
            let user = self.user;
            let result = match key {
                AgentIdentity::PublicKey { key, .. } => {
                    self.handle
                        .authenticate_publickey_with(user, key, rsa, agent)
                        .await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    self.handle
                        .authenticate_certificate_with(user, certificate, rsa, agent)
                        .await
                }
            };
            if result.is_ok_and(|result| self.note(result)) {
                return true;
            }
        }
        false
    }

    async fn identity(&mut self, file: &Path) -> bool {
        if !self.open_to(MethodKind::PublicKey) {
            return false;
        }
        let shown = file.display();
        let key = match load_secret_key(file, None) {
            Ok(key) => Arc::new(key),
            Err(error) => {
                self.tried.push(format!("{shown} ({})", unreadable(&error)));
                return false;
            }
        };
        let certificate = with_suffix(file, "-cert.pub");
        if certificate.exists() {
            let shown = certificate.display();
            match load_openssh_certificate(&certificate) {
                Ok(certificate) => {
                    self.tried.push(shown.to_string());
                    if self.certificate(key.clone(), certificate).await {
                        return true;
                    }
                }
                Err(error) => self.tried.push(format!("{shown} ({error})")),
            }
        }
        self.tried.push(shown.to_string());
        let hash = self.hash_for(key.public_key()).await;
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let result = self.handle.authenticate_publickey(self.user, key).await;
        result.is_ok_and(|result| self.note(result))
    }

    async fn certificate(&mut self, key: Arc<PrivateKey>, certificate: Certificate) -> bool {
        let hash = self.hash_for(key.public_key()).await;
        let signer = &mut FileSigner(key);
        let result = self
            .handle
            .authenticate_certificate_with(self.user, certificate, hash, signer)
            .await;
        result.is_ok_and(|result| self.note(result))
    }

    async fn password(&mut self, password: &Secret) -> bool {
        if self.open_to(MethodKind::Password) {
            self.tried.push("password".to_owned());
            let result = self
                .handle
                .authenticate_password(self.user, password.reveal())
                .await;
            if result.is_ok_and(|result| self.note(result)) {
                return true;
            }
        }
        if !self.open_to(MethodKind::KeyboardInteractive) {
            return false;
        }
        self.tried
            .push("password (keyboard-interactive)".to_owned());
        let start = self
            .handle
            .authenticate_keyboard_interactive_start(self.user, None);
        let mut reply = start.await;
        // One question for the password, and perhaps rounds without any question.
        for _ in 0..4 {
            let Ok(Reply::InfoRequest { prompts, .. }) = &reply else {
                break;
            };
            let answers = prompts
                .iter()
                .map(|_| password.reveal().to_owned())
                .collect();
            reply = self
                .handle
                .authenticate_keyboard_interactive_respond(answers)
                .await;
        }
        matches!(reply, Ok(Reply::Success))
    }

    /// Whether it makes sense to try: the host still listens and has not ruled the method out.
    fn open_to(&self, method: MethodKind) -> bool {
        let ruled_out = self
            .methods
            .as_ref()
            .is_some_and(|methods| !methods.contains(&method));
        !self.handle.is_closed() && !ruled_out
    }

    fn note(&mut self, result: AuthResult) -> bool {
        match result {
            AuthResult::Success => true,
            AuthResult::Failure {
                remaining_methods,
                partial_success,
            } => {
                if partial_success {
                    self.tried
                        .push("accepted, but the host wants a second factor".to_owned());
                }
                if self.handle.is_closed() {
                    self.tried.push("then the host hung up".to_owned());
                } else {
                    self.methods = Some(remaining_methods);
                }
                false
            }
        }
    }

    /// RSA keys sign with what the host can verify; asked once.
    async fn hash_for(&mut self, key: &PublicKey) -> Option<HashAlg> {
        if !key.algorithm().is_rsa() {
            return None;
        }
        if self.rsa.is_none() {
            let best = self.handle.best_supported_rsa_hash().await.ok().flatten();
            self.rsa = Some(best.unwrap_or(Some(HashAlg::Sha256)));
        }
        self.rsa.flatten()
    }
}

/// Signs for a certificate. The library's own way knows SHA-1 only where the key is RSA, and hosts
/// refuse that.
struct FileSigner(Arc<PrivateKey>);

impl Signer for FileSigner {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let signature = match self.0.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&data),
            _ => self.0.try_sign(&data),
        };
        let signature: Signature = signature.map_err(key_error)?;
        let mut blob = Vec::new();
        signature.encode(&mut blob).map_err(key_error)?;
        blob.encode(&mut data).map_err(key_error)?;
        Ok(data)
    }
}

fn key_error(error: impl Into<russh::keys::ssh_key::Error>) -> AgentAuthError {
    AgentAuthError::Key(error.into().into())
}

type Agent = (AgentClient<UnixStream>, Vec<AgentIdentity>);

fn public(file: &Path) -> Option<PublicKey> {
    load_public_key(with_suffix(file, ".pub")).ok()
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn unreadable(error: &russh::keys::Error) -> String {
    match error {
        russh::keys::Error::KeyIsEncrypted => "needs a passphrase: add it to an agent".to_owned(),
        russh::keys::Error::IO(error) if error.kind() == std::io::ErrorKind::NotFound => {
            "not there".to_owned()
        }
        error => error.to_string(),
    }
}
