//! Guards that show a life and a message in hand for as long as they are held, also through a panic.

use super::instance::Instance;
use super::meter::Meter;
use std::sync::Arc;
use tokio::time::Instant;

/// Counts an actor alive for as long as it is held; in an actor's state it also ends with a panic.
pub struct Alive {
    instance: Arc<Instance>,
    began: u64,
}

impl Alive {
    /// An actor that is none of ours, such as a factory's worker: a row of its own for as long as it lives.
    pub fn new(meter: &Arc<Meter>) -> Self {
        Self::of(&Instance::new(meter, None, None), &["message"])
    }

    pub(crate) fn of(instance: &Arc<Instance>, messages: &'static [&'static str]) -> Self {
        instance.named(messages);
        Self { instance: instance.clone(), began: instance.started() }
    }

    /// It takes up a message.
    pub fn busy(&self) -> Busy {
        Busy::new(&self.instance, 0)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.instance.ended(self.began);
    }
}

/// A message in hand, until this is dropped.
pub struct Busy {
    instance: Arc<Instance>,
    begun: Instant,
}

impl Busy {
    pub(crate) fn new(instance: &Arc<Instance>, message: usize) -> Self {
        Self::at(instance, Some(message))
    }

    pub(crate) fn fault(instance: &Arc<Instance>) -> Self {
        Self::at(instance, None)
    }

    fn at(instance: &Arc<Instance>, message: Option<usize>) -> Self {
        instance.takes_up(message);
        Self { instance: instance.clone(), begun: Instant::now() }
    }

    /// It is handled.
    pub fn done(self) {
        self.instance.handled(self.begun.elapsed());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.instance.puts_down();
    }
}
