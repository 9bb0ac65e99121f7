//! One connection: requests come in frames, answers go out in the same order.
//!
//! May assume nothing about the bytes. Promises: a produce request that waits for its fsync does not hold up the next one
//! (that is what makes one fsync serve many), every other request is answered before the next is read; what cannot be
//! understood closes this connection with a log line; memory per connection is one request, one answer and a bounded row
//! of waiting produce requests.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::api::{self, Answer, Pending};
use crate::node::Node;

/// Produce requests of one connection that may wait for their fsync.
const WAITING: usize = 256;

/// Why a connection ends, other than that the client left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Close {
    #[error("a request of {0} bytes; at most {1} are taken")]
    TooLarge(i64, usize),
    #[error("cannot read the request: {0}")]
    Malformed(String),
    #[error("cannot write the answer: {0}")]
    Unanswerable(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Something for the writer.
enum Outgoing {
    /// A finished answer, and whom to tell that it has been written.
    Ready(BytesMut, oneshot::Sender<()>),
    /// An answer that is waiting for the disk.
    Pending(Pending),
}

/// Serves a client until it leaves.
pub(crate) async fn serve(node: Arc<Node>, stream: TcpStream, peer: SocketAddr) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(%peer, error = %e, "no TCP_NODELAY");
    }
    let (reader, writer) = stream.into_split();
    let (send, receive) = mpsc::channel(WAITING);
    let ended = tokio::select! {
        r = read_requests(&node, reader, peer, send) => r,
        r = write_answers(writer, receive) => r,
    };
    match ended {
        Ok(()) => {}
        Err(Close::Io(e)) => tracing::debug!(%peer, error = %e, "connection ended"),
        Err(e) => tracing::warn!(%peer, reason = %e, "connection closed"),
    }
}

async fn read_requests(
    node: &Arc<Node>,
    mut reader: OwnedReadHalf,
    peer: SocketAddr,
    answers: mpsc::Sender<Outgoing>,
) -> Result<(), Close> {
    while let Some(frame) = read_frame(&mut reader, node.config.max_request_bytes).await? {
        let sent = match api::answer(node, frame, peer).await? {
            Answer::None => Ok(()),
            Answer::Pending(pending) => answers.send(Outgoing::Pending(pending)).await,
            Answer::Ready(bytes) => {
                let (written, is_written) = oneshot::channel();
                let sent = answers.send(Outgoing::Ready(bytes, written)).await;
                let _ = is_written.await;
                sent
            }
        };
        if sent.is_err() {
            return Ok(());
        }
    }
    // What still waits for the disk is in the log all the same; there is nobody left to tell.
    Ok(())
}

/// Reads one frame; `None` when the client closed between two of them.
async fn read_frame(reader: &mut OwnedReadHalf, most: usize) -> Result<Option<Bytes>, Close> {
    let mut length = [0u8; 4];
    if reader.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut length[1..]).await?;
    let length = i32::from_be_bytes(length);
    let size = usize::try_from(length).ok().filter(|n| *n <= most);
    let size = size.ok_or(Close::TooLarge(i64::from(length), most))?;
    // The room grows with what arrives, so that a large number alone reserves nothing.
    let mut frame = BytesMut::with_capacity(size.min(1 << 20));
    let mut rest = reader.take(size as u64);
    while frame.len() < size {
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some(frame.freeze()))
}

async fn write_answers(mut writer: OwnedWriteHalf, mut answers: mpsc::Receiver<Outgoing>) -> Result<(), Close> {
    while let Some(answer) = answers.recv().await {
        match answer {
            Outgoing::Ready(bytes, written) => {
                writer.write_all(&bytes).await?;
                let _ = written.send(());
            }
            Outgoing::Pending(pending) => writer.write_all(&pending.await?).await?,
        }
    }
    Ok(())
}
