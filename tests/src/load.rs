//! Callers that keep asking while a test breaks something, and keep every receipt they were given.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;
use vrx_proto::v1::Receipt;

use crate::demo::{Demo, FUJISAWA, YOKOHAMA};
use crate::exchange::{query, request, told, unknown_numbers};

const WORKERS: usize = 24;
/// How long a caller that was refused waits before it asks again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long answers may take to come back after something broke.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a caller does when a question fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenRefused {
    /// It goes away.
    Leave,
    /// It asks again, until the load is stopped.
    AskAgain,
}

/// Workers that ask Fujisawa for found and unknown numbers in turn.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: watch::Receiver<usize>,
    workers: JoinSet<anyhow::Result<Got>>,
}

/// What they got.
#[derive(Default)]
pub struct Got {
    /// One for each complete answer.
    pub receipts: Vec<Receipt>,
    /// Failed questions: their code, and whether they were told when to come back.
    pub failures: Vec<(Code, bool)>,
    /// How many answers each address gave.
    pub answers: HashMap<String, usize>,
}

impl Load {
    /// Begins to ask the processes at these addresses, each caller one of them.
    ///
    /// # Errors
    /// If the demo has no certificate to call with.
    pub fn start(demo: &Demo, addresses: &[&str], then: WhenRefused) -> anyhow::Result<Self> {
        ensure!(!addresses.is_empty(), "nobody to ask");
        let stop = Arc::new(AtomicBool::new(false));
        let (counter, answered) = watch::channel(0);
        let found = demo.numbers("provided");
        let persons = &demo.description.persons;
        let taken: Vec<String> = persons
            .iter()
            .map(|person| person.individual_number.clone())
            .collect();
        let unknown = unknown_numbers(200, &taken);
        let mut workers = JoinSet::new();
        for (worker, address) in (0..WORKERS).zip(addresses.iter().cycle()) {
            let caller = Caller {
                channel: demo.channel_at(address, FUJISAWA, YOKOHAMA, "exchange")?,
                address: (*address).to_owned(),
                numbers: if (worker / addresses.len()).is_multiple_of(2) {
                    found.clone()
                } else {
                    unknown.clone()
                },
                first: worker * 13,
                then,
                stop: Arc::clone(&stop),
                counter: counter.clone(),
            };
            workers.spawn(caller.ask());
        }
        Ok(Self {
            stop,
            answered,
            workers,
        })
    }

    /// How many complete answers there are by now.
    pub fn answers(&self) -> usize {
        *self.answered.borrow()
    }

    /// Waits until there are so many.
    ///
    /// # Errors
    /// If there aren't within a minute.
    pub async fn wait_for(&self, answers: usize) -> anyhow::Result<()> {
        let mut answered = self.answered.clone();
        let enough = answered.wait_for(|count| *count >= answers);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .with_context(|| format!("{} answers, not {answers}, in {PATIENCE:?}", self.answers()))?
            .context("nobody asks any more")?;
        Ok(())
    }

    /// Lets every caller finish its question.
    ///
    /// # Errors
    /// If a caller got an answer without a receipt.
    pub async fn stop(mut self) -> anyhow::Result<Got> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Got::default();
        while let Some(done) = self.workers.join_next().await {
            let got = done??;
            all.receipts.extend(got.receipts);
            all.failures.extend(got.failures);
            for (address, count) in got.answers {
                *all.answers.entry(address).or_default() += count;
            }
        }
        Ok(all)
    }
}

struct Caller {
    channel: Channel,
    address: String,
    numbers: Vec<String>,
    first: usize,
    then: WhenRefused,
    stop: Arc<AtomicBool>,
    counter: watch::Sender<usize>,
}

impl Caller {
    async fn ask(self) -> anyhow::Result<Got> {
        let mut got = Got::default();
        for number in self.numbers.iter().cycle().skip(self.first) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            match query(&self.channel, request(number)).await {
                Ok(response) => {
                    // An answer is complete or it is failed; half a nothing must not be counted.
                    if let Ok(complete) = told(response) {
                        got.receipts.push(complete.receipt()?);
                        self.counter.send_modify(|count| *count += 1);
                    }
                }
                Err(status) => {
                    let retry = status.get_details_retry_info().is_some();
                    got.failures.push((status.code(), retry));
                    if self.then == WhenRefused::Leave {
                        break;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        got.answers.insert(self.address, got.receipts.len());
        Ok(got)
    }
}
