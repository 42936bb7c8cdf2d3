//! Ending early, when somebody asks for it.

use tokio::signal::unix::{SignalKind, signal};

/// Labs outlive the process that made them, so Ctrl-C has to clean up.
pub(crate) fn when_asked(clean_up: impl FnOnce() + Send + 'static) {
    let wait = async {
        let mut interrupt = signal(SignalKind::interrupt()).unwrap();
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    std::thread::spawn(move || {
        runtime.block_on(wait);
        println!("stopped: removing what there is");
        crate::program::end_all();
        clean_up();
        std::process::exit(130);
    });
}
