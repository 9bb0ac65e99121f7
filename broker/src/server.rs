//! The server: accepts connections, runs the flusher and retention, and ends them together.
//!
//! Promises: nothing ticks while nothing happens, but for retention's own slow round; when this returns no connection is
//! being served any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection;
use crate::node::Node;

/// More connections than this at a time are refused: each may hold a request in memory.
const MOST_CONNECTIONS: usize = 1_000;

/// Serves until `stop` turns true or the node fails.
pub(crate) async fn serve(node: Arc<Node>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let flushing = {
        let node = node.clone();
        async move {
            let reason = node.flusher.run(node.config.fsync_interval).await;
            node.fail(reason);
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(flushing);
    let retaining = tokio::spawn(retention(node.clone()));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < MOST_CONNECTIONS => {
                    connections.spawn(connection::serve(node.clone(), stream, peer));
                }
                Ok((_, peer)) => tracing::warn!(%peer, "refused: there are {MOST_CONNECTIONS} connections already"),
                Err(e) => {
                    // Out of file descriptors, usually: it passes when somebody leaves.
                    tracing::warn!(error = %e, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut flushing => {}
            () = node.failed.notified() => break,
            _ = stop.wait_for(|s| *s) => break,
        }
    }
    retaining.abort();
    connections.shutdown().await;
}

async fn retention(node: Arc<Node>) {
    loop {
        tokio::time::sleep(node.config.retention_check_interval).await;
        let node = node.clone();
        Node::blocking(move || node.retain()).await;
    }
}
