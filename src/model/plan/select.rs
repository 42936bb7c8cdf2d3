//! Taking a part of a plan: some hosts, some playbooks, up to some step.

use super::{Plan, Step};

/// What the user asked for; empty lists take everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Hosts to work on.
    pub limit: Vec<String>,
    /// Playbooks, or `playbook/step`, to work on.
    pub only: Vec<String>,
    /// Playbooks, or `playbook/step`, to leave out.
    pub skip: Vec<String>,
    /// The last `playbook` or `playbook/step` to work on.
    pub until: Option<String>,
}

/// A word in the selection that names nothing in the plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{flag} {word}` matches nothing{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct SelectionError {
    /// The flag.
    pub flag: &'static str,
    /// Its value.
    pub word: String,
    /// The known name nearest to it.
    pub nearest: Option<String>,
}

impl Selection {
    /// The selected part of `plan`. Needs of steps that were left out are taken as met.
    pub fn apply(&self, plan: Plan) -> Result<Plan, SelectionError> {
        self.check(&plan)?;
        let last = self
            .until
            .as_ref()
            .and_then(|word| plan.steps.iter().rposition(|step| matches(step, word)));
        let keep: Vec<bool> = plan
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| self.takes(step) && last.is_none_or(|last| index <= last))
            .collect();
        let mut place = vec![None; keep.len()];
        let mut steps: Vec<Step> = Vec::new();
        // What a left-out step needed is still needed by those that needed it.
        let mut through: Vec<Vec<usize>> = Vec::with_capacity(keep.len());
        for (index, mut step) in plan.steps.into_iter().enumerate() {
            let mut needs: Vec<usize> = Vec::new();
            for need in &step.needs {
                match place[*need] {
                    Some(new) => needs.push(new),
                    None => needs.extend(&through[*need]),
                }
            }
            needs.sort_unstable();
            needs.dedup();
            through.push(needs.clone());
            if keep[index] {
                place[index] = Some(steps.len());
                step.needs = needs;
                steps.push(step);
            }
        }
        let mut plan = Plan { steps };
        plan.number();
        Ok(plan)
    }

    fn takes(&self, step: &Step) -> bool {
        let among = |words: &[String]| words.iter().any(|word| matches(step, word));
        (self.limit.is_empty() || self.limit.iter().any(|host| host == step.host()))
            && (self.only.is_empty() || among(&self.only))
            && !among(&self.skip)
    }

    fn check(&self, plan: &Plan) -> Result<(), SelectionError> {
        let hosts: Vec<&str> = plan.steps.iter().map(Step::host).collect();
        for word in &self.limit {
            if !hosts.contains(&word.as_str()) {
                return Err(unknown(
                    "--limit",
                    word,
                    hosts.iter().map(|h| (*h).to_owned()),
                ));
            }
        }
        let flags = [("--only", &self.only), ("--skip", &self.skip)];
        let until = self.until.iter().map(|word| ("--until", word));
        let words = flags
            .into_iter()
            .flat_map(|(flag, words)| words.iter().map(move |w| (flag, w)));
        for (flag, word) in words.chain(until) {
            if !plan.steps.iter().any(|step| matches(step, word)) {
                let names = plan
                    .steps
                    .iter()
                    .flat_map(|step| [step.shown.playbook.clone(), without_host(step).to_owned()]);
                return Err(unknown(flag, word, names));
            }
        }
        Ok(())
    }
}

fn without_host(step: &Step) -> &str {
    let id = step.shown.id.as_str();
    id.split_once(['@', '[']).map_or(id, |(name, _)| name)
}

fn matches(step: &Step, word: &str) -> bool {
    step.shown.playbook == word || without_host(step) == word || step.id().as_str() == word
}

fn unknown(flag: &'static str, word: &str, names: impl Iterator<Item = String>) -> SelectionError {
    let nearest = names
        .map(|name| (strsim::jaro_winkler(&name, word), name))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name);
    SelectionError {
        flag,
        word: word.to_owned(),
        nearest,
    }
}
