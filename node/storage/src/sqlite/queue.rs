//! Between tasks and database threads: a bounded queue that gives a thread everything that has arrived.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::StorageError;

/// Work for one or more threads. Full is [`StorageError::Busy`]: nobody waits in front of a queue.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    capacity: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                closed: false,
            }),
            ready: Condvar::new(),
            capacity,
        })
    }

    pub(super) fn push(&self, item: T) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(StorageError::Closed);
        }
        if state.waiting.len() >= self.capacity {
            return Err(StorageError::Busy);
        }
        state.waiting.push_back(item);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// How much waits.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// How much may.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits for work and takes what there is, up to `most`, without waiting for more. `None`: closed and empty.
    pub(super) fn take(&self, most: usize, into: &mut Vec<T>) -> Option<()> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            self.ready.wait(&mut state);
        }
        let count = state.waiting.len().min(most);
        into.extend(state.waiting.drain(..count));
        Some(())
    }

    /// The same, but comes back empty-handed when nothing arrives within `patience`.
    pub(super) fn take_within(
        &self,
        patience: Duration,
        most: usize,
        into: &mut Vec<T>,
    ) -> Option<()> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && !state.closed {
            self.ready.wait_for(&mut state, patience);
        }
        if state.waiting.is_empty() && state.closed {
            return None;
        }
        let count = state.waiting.len().min(most);
        into.extend(state.waiting.drain(..count));
        Some(())
    }

    /// No more work; what waits is still done.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_all();
    }

    /// No more work, and what waits is dropped: its callers see [`StorageError::Closed`].
    fn abandon(&self) {
        let dropped = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        drop(dropped);
    }
}

/// Starts a named thread that serves a queue. If it ends in any way, nobody waits for it in vain.
pub(super) fn serve<T: Send + 'static>(
    name: String,
    queue: Arc<Queue<T>>,
    work: impl FnOnce(&Queue<T>) + Send + 'static,
) -> Result<JoinHandle<()>, StorageError> {
    struct Ended<T>(Arc<Queue<T>>);
    impl<T> Drop for Ended<T> {
        fn drop(&mut self) {
            self.0.abandon();
        }
    }
    std::thread::Builder::new()
        .name(name)
        .stack_size(1 << 20)
        .spawn(move || {
            let ended = Ended(queue);
            work(&ended.0);
        })
        .map_err(|error| StorageError::Broken(format!("can't start a thread: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_says_so_at_once() {
        let queue = Queue::new(1);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Err(StorageError::Busy));
    }

    #[test]
    fn a_closed_queue_gives_out_what_waits_and_takes_no_more() {
        let queue = Queue::new(4);
        queue.push(1).unwrap();
        queue.close();
        assert_eq!(queue.push(2), Err(StorageError::Closed));
        let mut taken = Vec::new();
        assert!(queue.take(8, &mut taken).is_some());
        assert!(queue.take(8, &mut taken).is_none());
        assert_eq!(taken, [1]);
    }

    #[test]
    fn whoever_waits_for_a_thread_that_died_is_told() {
        let queue = Queue::<tokio::sync::oneshot::Sender<()>>::new(4);
        let (reply, answer) = tokio::sync::oneshot::channel();
        queue.push(reply).unwrap();
        let thread = serve("dies".to_owned(), queue.clone(), |_| {}).unwrap();
        thread.join().unwrap();
        assert!(answer.blocking_recv().is_err());
        assert!(queue.push(tokio::sync::oneshot::channel().0).is_err());
    }
}
