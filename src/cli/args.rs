//! The command line, as it is typed; nothing is resolved here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Turns a few Linux hosts into a working OpenStack cloud, from one answer file, over SSH.
///
/// Without a command it applies: `provision --answer-file answer.toml`.
#[derive(Debug, Parser)]
#[command(
    name = "provision",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The same as `apply`.
    #[command(flatten)]
    pub apply: ApplyArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a filled and commented answer file
    Init(InitArgs),
    /// Check an answer file, without touching the network
    Validate(ValidateArgs),
    /// Look whether the hosts can become this cloud, without changing them
    Preflight(CloudArgs),
    /// Show what would change on each host, without changing anything
    Plan(PlanArgs),
    /// Make it so: the default command
    Apply(ApplyArgs),
    /// Ask every service how it is
    Status(CloudArgs),
    /// Ask every service how it is, and boot an instance to prove it
    Verify(VerifyArgs),
    /// Make, list, enter or remove the hosts of a lab
    #[command(subcommand)]
    Lab(LabCommand),
    /// Make the report of a run again, or say where it is
    Report(ReportArgs),
    /// Show a recorded run again
    Replay(ReplayArgs),
    /// Print the JSON schema of answer files
    Schema,
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Which cloud, and how to talk about it.
#[derive(Debug, Clone, Args)]
pub struct CloudArgs {
    /// The answer file
    #[arg(short, long, value_name = "FILE", env = "PROVISION_ANSWER_FILE")]
    pub answer_file: Option<PathBuf>,
    /// Trust the host keys of hosts that are not known yet, and keep them
    #[arg(long)]
    pub accept_new_host_keys: bool,
    /// How to show what happens
    #[command(flatten)]
    pub output: OutputArgs,
    /// Take playbooks, platforms and templates from this folder
    #[arg(long, value_name = "DIR", env = "PROVISION_LIBRARY")]
    pub library: Option<PathBuf>,
}

/// How to show what happens.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// How to show what happens
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    pub format: Format,
    /// Say more: why steps were in sync; twice: all that the hosts write
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// How to show what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A live view on a terminal, lines elsewhere
    Auto,
    /// Plain lines
    Lines,
    /// One event a line, as JSON
    Json,
}

/// Which part of the plan.
#[derive(Debug, Clone, Default, Args)]
pub struct SelectArgs {
    /// Work on these hosts only (can be repeated)
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub limit: Vec<String>,
    /// Work on these playbooks or steps only (can be repeated)
    #[arg(long, value_name = "PLAYBOOK[/STEP]", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Leave these playbooks or steps out (can be repeated)
    #[arg(long, value_name = "PLAYBOOK[/STEP]", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Stop after this playbook or step
    #[arg(long, value_name = "PLAYBOOK[/STEP]")]
    pub until: Option<String>,
}

/// `apply`
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// Which cloud.
    #[command(flatten)]
    pub cloud: CloudArgs,
    /// Which part of the plan.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Print the steps and stop
    #[arg(long)]
    pub list_steps: bool,
    /// Leave out the health checks and the proof at the end
    #[arg(long)]
    pub no_verify: bool,
}

/// `plan`
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Which cloud.
    #[command(flatten)]
    pub cloud: CloudArgs,
    /// Which part of the plan.
    #[command(flatten)]
    pub select: SelectArgs,
    /// End with 10 instead of 0 when something would change
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `verify`
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Which cloud.
    #[command(flatten)]
    pub cloud: CloudArgs,
    /// Give services more time: the hosts have just come back
    #[arg(long)]
    pub after_reboot: bool,
    /// Leave the instance of the proof running
    #[arg(long)]
    pub keep: bool,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// `validate`
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// The answer file
    #[arg(short, long, value_name = "FILE", env = "PROVISION_ANSWER_FILE")]
    pub answer_file: PathBuf,
    /// Print diagnostics as JSON
    #[arg(long)]
    pub json: bool,
    /// Take playbooks, platforms and templates from this folder
    #[arg(long, value_name = "DIR", env = "PROVISION_LIBRARY")]
    pub library: Option<PathBuf>,
}

/// `init`
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Which preset; without one, the presets are listed
    pub preset: Option<String>,
    /// Where to write it; standard output when absent. An existing file is never overwritten
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `lab`
#[derive(Debug, Clone, Subcommand)]
pub enum LabCommand {
    /// Make the hosts of an answer file's lab, or take up what is there
    Up(CloudArgs),
    /// Remove a lab and everything in it
    Down {
        /// Its name: the cloud's
        name: String,
    },
    /// List labs and their hosts
    List,
    /// Log in to a host of a lab, or run a command there
    Ssh {
        /// The lab's name: the cloud's
        name: String,
        /// The host
        host: String,
        /// A command to run there
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Keep one host of a lab running (started by `lab up`)
    #[command(hide = true)]
    Supervise {
        /// The lab's folder
        folder: PathBuf,
        /// The host
        host: String,
    },
}

/// `report`
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The cloud's name
    pub cloud: String,
    /// The run's id, or `latest`
    #[arg(default_value = "latest")]
    pub run: String,
    /// List the cloud's runs instead
    #[arg(long, conflicts_with = "open")]
    pub list: bool,
    /// Open it in the desktop's browser
    #[arg(long)]
    pub open: bool,
}

/// `replay`
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// The cloud's name
    pub cloud: String,
    /// The run's id, or `latest`
    #[arg(default_value = "latest")]
    pub run: String,
    /// Take the time that it took, this many times as fast (by default: none)
    #[arg(long, value_name = "TIMES", value_parser = speed)]
    pub speed: Option<f64>,
    /// How to show what happened.
    #[command(flatten)]
    pub output: OutputArgs,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text
        .parse()
        .ok()
        .filter(|speed| (0.01..=10_000.0).contains(speed));
    speed.ok_or_else(|| "between 0.01 and 10000".to_owned())
}
