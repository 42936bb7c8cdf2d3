//! The `provision` command.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;

use provision::lab::{self, Happening, LabError, LabHost, LabNet, LabSpec, Places};

const USAGE: &str = "usage: provision lab up NAME [debian13|debian12] [NETWORK: 10.0.0.0] [HOST...]
       provision lab down|reset|harvest NAME
       provision lab list
       provision lab ssh NAME HOST [COMMAND...]";

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                say(&format!("error: {error}"));
                cause = error.source();
            }
            say(&format!("help: {}", error.help()));
            std::process::ExitCode::from(5)
        }
    }
}

async fn run(words: &[&str]) -> Result<(), LabError> {
    let places = Places::from_env()?;
    let progress = |what: Happening| say(&format!("{what:?}"));
    match words {
        ["lab", "up", name, rest @ ..] => {
            let hosts = lab::up(&spec(name, rest), &places, &progress).await?;
            for host in hosts.hosts {
                say(&format!(
                    "{} {} {:?}",
                    host.name, host.address, host.booted_in
                ));
            }
        }
        ["lab", "down", name] => lab::down(name, &places, &progress).await?,
        ["lab", "reset", name] => lab::reset(name, &places, &progress).await.map(drop)?,
        ["lab", "harvest", name] => lab::harvest(name, &places, &progress).await?,
        ["lab", "supervise", directory, host] => lab::supervise(directory.as_ref(), host).await?,
        ["lab", "guest", rest @ ..] => {
            let recipe = lab::guest::GuestRecipe {
                offload: rest.contains(&"offload"),
            };
            let image = lab::guest::build(&places.cache, recipe, &progress).await?;
            say(&format!("{image:?}"));
        }
        ["lab", "list"] => {
            for lab in lab::list(&places)? {
                for host in lab.hosts {
                    say(&format!(
                        "{} {} {} {:?}",
                        lab.name, host.name, host.address, host.state
                    ));
                }
            }
        }
        ["lab", "ssh", name, host, command @ ..] => {
            let ssh = lab::ssh_command(name, host, &places)?;
            let error = std::process::Command::new(&ssh[0])
                .args(&ssh[1..])
                .args(command)
                .exec();
            say(&format!("cannot start ssh: {error}"));
        }
        _ => say(USAGE),
    }
    Ok(())
}

/// NETWORK is the first of two neighbouring /24: management, then provider.
fn spec(name: &str, rest: &[&str]) -> LabSpec {
    let distro = rest.first().and_then(|name| lab::Distro::from_name(name));
    let [a, b, c, _] = rest
        .get(1)
        .and_then(|it| it.parse::<Ipv4Addr>().ok())
        .unwrap_or([10, 0, 0, 0].into())
        .octets();
    let net = |c: u8| LabNet {
        network: ipnet::Ipv4Net::new_assert([a, b, c, 0].into(), 24),
        gateway: [a, b, c, 1].into(),
    };
    let names = if rest.len() > 2 {
        &rest[2..]
    } else {
        &["controller", "compute1"]
    };
    let hosts = names.iter().zip(100..).map(|(name, number)| LabHost {
        name: (*name).to_owned(),
        address: [a, b, c, number].into(),
        cpus: None,
        memory: None,
    });
    LabSpec {
        name: name.to_owned(),
        backend: lab::Backend::Nspawn,
        distro: distro.unwrap_or(lab::Distro::Debian13),
        hosts: hosts.collect(),
        management: net(c),
        provider: net(c + 1),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a stand-in for the command line to come"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
