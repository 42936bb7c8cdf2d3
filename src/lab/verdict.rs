//! What is left of a host, and what to do with it. Pure: evidence in, verdict out.

/// What can be seen of a host on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The process that looks after the host is alive.
    pub(crate) supervised: bool,
    /// The container's outer process is alive.
    pub(crate) contained: bool,
    /// There are processes in the host's control group.
    pub(crate) populated: bool,
    /// Its cables hang in the lab's bridges.
    pub(crate) plugged: bool,
    /// Its own files are written.
    pub(crate) made: bool,
}

/// What is to be done so that the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: it runs, or is just restarting under its supervisor.
    Runs,
    /// It runs, but nobody would start it again after a reboot: give it a new supervisor.
    Adopt,
    /// It cannot be used as it is: end what is left, then start it. Says why.
    Restart(&'static str),
    /// Start it with the files it has. Says why it is not running, unless it is new.
    Boot(Option<&'static str>),
}

/// Judges a host.
pub(crate) fn judge(evidence: Evidence) -> Verdict {
    let Evidence {
        supervised,
        contained,
        populated,
        plugged,
        made,
    } = evidence;
    if !made && (supervised || populated) {
        return Verdict::Restart("it runs, but its files are gone");
    }
    match (supervised, populated) {
        (true, false) => Verdict::Runs,
        (true, true) if plugged => Verdict::Runs,
        (_, true) if !plugged => Verdict::Restart("its network is gone"),
        (false, true) if contained => Verdict::Adopt,
        (_, true) => Verdict::Restart("its container has lost its outer process"),
        (false, false) if made => Verdict::Boot(Some("it was not running")),
        (false, false) => Verdict::Boot(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: Evidence = Evidence {
        supervised: true,
        contained: true,
        populated: true,
        plugged: true,
        made: true,
    };

    #[test]
    fn a_running_host_is_left_alone() {
        assert_eq!(judge(RUNNING), Verdict::Runs);
    }

    #[test]
    fn a_host_between_two_boots_is_left_to_its_supervisor() {
        let rebooting = Evidence {
            contained: false,
            populated: false,
            plugged: false,
            ..RUNNING
        };
        assert_eq!(judge(rebooting), Verdict::Runs);
    }

    #[test]
    fn a_host_whose_supervisor_died_is_adopted() {
        assert_eq!(
            judge(Evidence {
                supervised: false,
                ..RUNNING
            }),
            Verdict::Adopt
        );
    }

    #[test]
    fn a_container_without_its_outer_process_is_restarted() {
        let orphan = Evidence {
            supervised: false,
            contained: false,
            ..RUNNING
        };
        assert!(matches!(judge(orphan), Verdict::Restart(why) if why.contains("outer process")));
    }

    #[test]
    fn a_host_without_cables_is_restarted() {
        let cut = Evidence {
            plugged: false,
            ..RUNNING
        };
        assert!(matches!(judge(cut), Verdict::Restart(why) if why.contains("network")));
        assert!(matches!(
            judge(Evidence {
                supervised: false,
                ..cut
            }),
            Verdict::Restart(_)
        ));
    }

    #[test]
    fn a_host_without_its_files_is_made_anew() {
        let hollow = Evidence {
            made: false,
            ..RUNNING
        };
        assert!(matches!(judge(hollow), Verdict::Restart(why) if why.contains("files")));
    }

    #[test]
    fn after_a_restart_of_this_machine_the_host_boots_with_its_files() {
        let off = Evidence {
            supervised: false,
            contained: false,
            populated: false,
            plugged: false,
            made: true,
        };
        assert_eq!(judge(off), Verdict::Boot(Some("it was not running")));
        assert_eq!(judge(Evidence { made: false, ..off }), Verdict::Boot(None));
    }
}
