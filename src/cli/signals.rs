//! The signals of a running agent.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::service_manager::ServiceManager;
use crate::audit::Trail;

/// SIGTERM, SIGINT and SIGQUIT stop cleanly; a second one does not wait. SIGHUP reads the configuration again.
pub(super) async fn wait(
    shutdown: CancellationToken,
    reload: mpsc::Sender<()>,
    audit: Option<Trail>,
    manager: ServiceManager,
) {
    let open = |kind| signal(kind).inspect_err(|error| tracing::warn!(%error, "signals cannot be caught"));
    let (Ok(mut term), Ok(mut int), Ok(mut quit), Ok(mut hup)) = (
        open(SignalKind::terminate()),
        open(SignalKind::interrupt()),
        open(SignalKind::quit()),
        open(SignalKind::hangup()),
    ) else {
        return;
    };
    let mut asked = false;
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = quit.recv() => {}
            _ = hup.recv() => {
                audit.iter().for_each(Trail::reopen);
                manager.reloading();
                // One that is waiting already serves for this one as well.
                let _waiting = reload.try_send(());
                continue;
            }
        }
        if asked {
            tracing::warn!("second signal: stopping at once; the guardian ends what runs");
            std::process::exit(i32::from(Exit::Shutdown as u8));
        }
        asked = true;
        tracing::info!("signal received to initiate graceful shutdown");
        manager.stopping();
        shutdown.cancel();
    }
}
