//! A message to an actor and its answer: `cargo bench -p actor-runtime`. Not part of `cargo test`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot begin has nothing better to do")]

use actor_runtime::{Actor, Admission, Context, Failure, Handle, Meter, Reply, start_linked};
use divan::Bencher;
use ractor::{ActorProcessingErr, ActorRef};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

fn main() {
    divan::main();
}

/// Answers at once.
struct Echo;

impl Actor for Echo {
    type Message = Reply<()>;
    type State = ();

    async fn start(&self, _: &Context<Reply<()>>) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(
        &self,
        _: &Context<Reply<()>>,
        reply: Reply<()>,
        _: Option<Admission>,
        _: &mut (),
    ) -> Result<(), Failure> {
        let _ = reply.send(());
        Ok(())
    }
}

/// Somebody has to be the supervisor.
struct Parent;

impl ractor::Actor for Parent {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

fn echo(runtime: &Runtime) -> Handle<Reply<()>> {
    let handle = Handle::new(Meter::new("echo", Some(1_024)));
    runtime.block_on(async {
        let (parent, _) = ractor::Actor::spawn(None, Parent, ()).await.unwrap();
        start_linked(Echo, &handle, parent.get_cell()).unwrap();
    });
    handle
}

async fn calls(handle: Handle<Reply<()>>, count: u32) {
    for _ in 0..count {
        handle.call(Instant::now() + Duration::from_secs(2), |reply| reply).await.unwrap();
    }
}

/// One caller, who waits for each answer.
#[divan::bench]
fn round_trip(bencher: Bencher) {
    let runtime = Runtime::new().unwrap();
    let handle = echo(&runtime);
    bencher.bench_local(|| runtime.block_on(calls(handle.clone(), 1)));
}

/// So many callers at once, 1,024 round trips in all.
#[divan::bench(args = [8, 64, 256])]
fn round_trips(bencher: Bencher, callers: u32) {
    let runtime = Runtime::new().unwrap();
    let handle = echo(&runtime);
    bencher.counter(1_024_u32).bench_local(|| {
        runtime.block_on(async {
            let mut all = JoinSet::new();
            for _ in 0..callers {
                all.spawn(calls(handle.clone(), 1_024 / callers));
            }
            all.join_all().await;
        });
    });
}
