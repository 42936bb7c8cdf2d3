//! A list of cases in order, run one after another, with progress while they run and cargo's own form of
//! result at the end. A case that later ones build upon fails them too when it fails; nothing is skipped
//! without a word.

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

/// Whether later cases of the group can do without it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Later cases of its group build upon it.
    Foundation,
    /// Nothing builds upon it.
    Single,
}

/// One test.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) weight: Weight,
    run: Box<dyn Fn()>,
}

impl Case {
    /// A case that later ones build upon.
    pub(crate) fn foundation(name: &'static str, run: impl Fn() + 'static) -> Self {
        Self {
            name,
            weight: Weight::Foundation,
            run: Box::new(run),
        }
    }

    /// A case by itself.
    pub(crate) fn single(name: &'static str, run: impl Fn() + 'static) -> Self {
        Self {
            name,
            weight: Weight::Single,
            run: Box::new(run),
        }
    }
}

/// Cases over the same hosts, in order.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) cases: Vec<Case>,
}

/// What the command line asks for.
pub(crate) struct Wanted {
    filter: Option<String>,
    pub(crate) list: bool,
    /// Leaves out the foundations of what is filtered: they are there already.
    pub(crate) on_existing: bool,
}

impl Wanted {
    /// `[FILTER] [--list] [--on-existing]`; other options of cargo's own harness are let pass.
    pub(crate) fn from_args() -> Self {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let has = |name: &str| args.iter().any(|arg| arg == name);
        Self {
            filter: args.iter().find(|arg| !arg.starts_with('-')).cloned(),
            list: has("--list"),
            on_existing: has("--on-existing"),
        }
    }

    fn picks(&self, name: &str) -> bool {
        self.filter
            .as_deref()
            .is_none_or(|part| name.contains(part))
    }
}

static PANIC: Mutex<String> = Mutex::new(String::new());

/// Runs what is wanted; `end` runs after each group, whatever came of it.
pub(crate) fn run(groups: &[Group], wanted: &Wanted, end: impl Fn(&Group)) -> ExitCode {
    let full = |group: &Group, case: &Case| format!("{}::{}", group.name, case.name);
    if wanted.list {
        let names = groups
            .iter()
            .flat_map(|group| group.cases.iter().map(|case| full(group, case)));
        let names: Vec<_> = names.filter(|name| wanted.picks(name)).collect();
        names.iter().for_each(|name| println!("{name}: test"));
        println!("\n{} tests, 0 benchmarks", names.len());
        return ExitCode::SUCCESS;
    }
    keep_panics();
    let began = Instant::now();
    let mut passed = 0;
    let mut failures: Vec<(String, String)> = Vec::new();
    let mut left_out = 0;
    for group in groups {
        let last = group
            .cases
            .iter()
            .rposition(|case| wanted.picks(&full(group, case)));
        let mut broken: Option<&str> = None;
        for (index, case) in group.cases.iter().enumerate() {
            let name = full(group, case);
            let needed = case.weight == Weight::Foundation
                && !wanted.on_existing
                && last.is_some_and(|last| index < last);
            if !wanted.picks(&name) && !needed {
                left_out += 1;
                continue;
            }
            if let Some(broken) = broken {
                println!("test {name} ... FAILED (it builds upon {broken})");
                failures.push((
                    name,
                    format!("not run: it builds upon {broken}, which failed"),
                ));
                continue;
            }
            let started = Instant::now();
            println!("test {name} ...");
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| (case.run)()));
            let took = started.elapsed().as_secs_f64();
            if outcome.is_ok() {
                println!("test {name} ... ok ({took:.1} s)");
                passed += 1;
                continue;
            }
            println!("test {name} ... FAILED ({took:.1} s)");
            let why = std::mem::take(&mut *lock());
            println!("{why}");
            failures.push((name, why));
            if case.weight == Weight::Foundation {
                broken = Some(case.name);
            }
        }
        if last.is_some() {
            end(group);
        }
    }
    conclude(passed, &failures, left_out, began)
}

fn conclude(
    passed: usize,
    failures: &[(String, String)],
    left_out: usize,
    began: Instant,
) -> ExitCode {
    if !failures.is_empty() {
        println!("\nfailures:\n");
        for (name, why) in failures {
            println!("---- {name} ----\n{why}\n");
        }
        println!("failures:");
        failures.iter().for_each(|(name, _)| println!("    {name}"));
    }
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; {left_out} filtered out; \
         finished in {:.2}s\n",
        failures.len(),
        began.elapsed().as_secs_f64()
    );
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What a panic says is kept for the end; threads of a case speak for it.
fn keep_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map_or_else(String::new, ToString::to_string);
        let payload = info.payload();
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no text");
        let mut kept = lock();
        if !kept.is_empty() {
            kept.push('\n');
        }
        *kept += &format!("{place}: {text}");
    }));
}

fn lock() -> std::sync::MutexGuard<'static, String> {
    PANIC
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
