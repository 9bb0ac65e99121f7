//! Stand-ins for the rooms around the one under test: they keep what they are sent, in order.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};

use actix::{Actor, Addr, Context, Handler, Message};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tributary_actors::kafka_consumer::Control;
use tributary_actors::messages::{Cause, Drain, Durable, EventBatch, Fence, WindowBatch};
use tributary_actors::room::{Event, Reports};
use tributary_core::span::{Leg, Span};

/// Keeps messages of one kind.
pub struct Probe<M: Message + Send + Unpin + 'static>(Arc<Mutex<Vec<M>>>);

/// What a probe has kept.
pub struct Kept<M>(Arc<Mutex<Vec<M>>>);

impl<M> Clone for Kept<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Kept<M> {
    pub fn all(&self) -> MutexGuard<'_, Vec<M>> {
        self.0.lock().unwrap()
    }

    pub fn len(&self) -> usize {
        self.all().len()
    }
}

impl<M: Message + Send + Unpin + 'static> Probe<M> {
    pub fn open() -> (Addr<Self>, Kept<M>) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let probe = Self(Arc::clone(&kept));
        let addr = Self::create(|ctx| {
            ctx.set_mailbox_capacity(1000);
            probe
        });
        (addr, Kept(kept))
    }
}

impl<M: Message + Send + Unpin + 'static> Actor for Probe<M> {
    type Context = Context<Self>;
}

macro_rules! keeps {
    ($($message:ty),*) => {$(
        impl Handler<$message> for Probe<$message> {
            type Result = ();

            fn handle(&mut self, message: $message, _: &mut Self::Context) {
                self.0.lock().unwrap().push(message);
            }
        }
    )*};
}
keeps!(EventBatch, WindowBatch, Durable, Fence, Drain);

/// What a room tells the supervisor and the consumer.
pub struct Ears {
    pub events: UnboundedReceiver<Event>,
    pub control: Receiver<Control>,
}

/// What a room of generation 7 is given to speak with, and where one hears it.
pub fn ears() -> (Reports, Sender<Control>, Ears) {
    let (outbox, events) = unbounded_channel();
    let (control, ear) = channel();
    (Reports::new(7, outbox), control, Ears { events, control: ear })
}

impl Ears {
    /// The next trouble; waits for it.
    pub async fn trouble(&mut self) -> (&'static str, Cause) {
        let heard = tokio::time::timeout(super::PATIENCE, self.events.recv()).await;
        match heard.expect("no trouble was reported").expect("the room is gone") {
            Event::Trouble(trouble) => (trouble.room, trouble.cause),
            other => panic!("not a trouble: {other:?}"),
        }
    }

    /// Asserts that nobody complained.
    pub fn quiet(&mut self) {
        if let Ok(event) = self.events.try_recv() {
            panic!("unexpected: {event:?}");
        }
    }

    /// The partitions of the next order to read again; waits for it.
    pub async fn reread(&mut self) -> Vec<i32> {
        let end = std::time::Instant::now() + super::PATIENCE;
        loop {
            match self.control.try_recv() {
                Ok(Control::Reread(partitions)) => return partitions,
                Ok(other) => panic!("not a reread: {other:?}"),
                Err(_) => assert!(std::time::Instant::now() < end, "no reread was asked for"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

/// A span of epoch 1 whose legs have nothing below `floor`.
pub fn span(partition: i32, from: i64, to: i64, floor: i64) -> Span {
    Span { partition, epoch: 1, from, to, floor: [floor, floor] }
}

/// The spans that became durable, as text, in order.
pub fn durable(kept: &Kept<Durable>) -> Vec<String> {
    kept.all().iter().flat_map(|d| d.spans.iter().map(ToString::to_string)).collect()
}

/// Waits for an answer to a fence or a drain, without blocking the system's thread.
pub async fn answer(answers: &Receiver<Leg>) -> Leg {
    let end = std::time::Instant::now() + super::PATIENCE;
    loop {
        match answers.try_recv() {
            Ok(leg) => return leg,
            Err(std::sync::mpsc::TryRecvError::Disconnected) => panic!("the room let go of the answer"),
            Err(_) => assert!(std::time::Instant::now() < end, "no answer"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
