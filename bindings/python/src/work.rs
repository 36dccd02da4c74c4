//! Long computations without the interpreter: on separate threads, while watching for Ctrl-C.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use embq_core::progress::Progress;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::exception;

/// How often signals are checked.
const GLANCE: Duration = Duration::from_millis(50);

/// How long an interrupted computation may take to end before it is abandoned; its memory is freed when it ends.
const GRACE: Duration = Duration::from_millis(400);

/// A thread pool and the process that it belongs to.
struct Pool {
    process: u32,
    threads: usize,
    pool: Arc<ThreadPool>,
}

/// Only locked by threads that hold the interpreter lock, and never while waiting, so that no fork can happen
/// meanwhile.
static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// The pool of this process. The threads of a pool do not survive a fork, so a child process creates its own.
fn pool(_held: Python<'_>, threads: usize) -> PyResult<Arc<ThreadPool>> {
    let mut known = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = process::id();
    if let Some(pool) = known.as_ref()
        && (pool.process, pool.threads) == (process, threads)
    {
        return Ok(Arc::clone(&pool.pool));
    }
    let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(|number| format!("embq-{number}"));
    let pool = builder.build().map_err(|error| PyRuntimeError::new_err(format!("cannot start threads: {error}")))?;
    let pool = Arc::new(pool);
    let before = known.replace(Pool { process, threads, pool: Arc::clone(&pool) });
    if let Some(before) = before.filter(|before| before.process != process) {
        // Its threads belong to the parent: dropping the pool would wait for them forever.
        std::mem::forget(before);
    }
    Ok(pool)
}

/// The number of threads that `n_jobs` means: all cores unless it or `EMBQ_THREADS` is set; negative numbers count from
/// the number of cores, as in scikit-learn.
fn threads(n_jobs: Option<i64>) -> PyResult<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = match n_jobs {
        Some(number) => number,
        None => match std::env::var("EMBQ_THREADS") {
            Ok(text) => match text.trim().parse::<i64>() {
                Ok(number) if number > 0 => number,
                _ => return Err(PyValueError::new_err(format!("EMBQ_THREADS is a number of threads, not {text:?}"))),
            },
            Err(_) => -1,
        },
    };
    match usize::try_from(wanted) {
        Ok(0) => Err(PyValueError::new_err("n_jobs is a number of threads, or -1 for all cores; it cannot be 0")),
        Ok(number) => Ok(number.min(4096)),
        Err(_) => Ok(cores.saturating_sub(wanted.unsigned_abs() as usize - 1).max(1)),
    }
}

/// The progress of a running computation.
#[derive(Default)]
pub(crate) struct Watch {
    stage: Mutex<(String, u64)>,
    done: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress for Watch {
    fn begin(&self, stage: &str, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = (stage.to_owned(), total);
    }

    fn advance(&self, steps: u64) {
        self.done.fetch_add(steps, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn end(&self) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }
}

/// How to run: the number of threads, and a callback for progress.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Manner {
    n_jobs: Option<i64>,
    /// Called with the stage, the number of steps done, and the total.
    progress: Option<Py<PyAny>>,
}

type Outcome<T> = std::thread::Result<embq_core::Result<T>>;

/// Runs `work` in the pool of this process while other Python threads continue. `KeyboardInterrupt`, or any exception
/// from a signal handler or the progress callback, ends the wait.
///
/// # Errors
/// Errors of `work`, and exceptions from signal handlers and the callback.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    manner: &Manner,
    work: impl FnOnce(&Watch) -> embq_core::Result<T> + Send + 'static,
) -> PyResult<T> {
    let pool = pool(py, threads(manner.n_jobs)?)?;
    let watch = Arc::new(Watch::default());
    let (sender, receiver) = mpsc::channel();
    let watched = Arc::clone(&watch);
    pool.spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&watched)));
        // Nobody waits for an interrupted computation.
        let _ = sender.send(outcome);
    });
    let mut receiver = receiver;
    loop {
        let received;
        (receiver, received) = wait(py, receiver, GLANCE);
        match received {
            Ok(outcome) => return finish(outcome),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(raised) = look_up(py, manner, &watch) {
                    watch.cancelled.store(true, Ordering::Relaxed);
                    let (_, ended) = wait(py, receiver, GRACE);
                    if ended.is_err() {
                        // Threads that are still busy must not run the next computation.
                        *POOL.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    }
                    return Err(raised);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("embq lost a thread")),
        }
    }
}

/// Waits without the interpreter lock.
fn wait<T: Send>(
    py: Python<'_>,
    receiver: Receiver<Outcome<T>>,
    time: Duration,
) -> (Receiver<Outcome<T>>, Result<Outcome<T>, RecvTimeoutError>) {
    py.detach(move || {
        let received = receiver.recv_timeout(time);
        (receiver, received)
    })
}

fn look_up(py: Python<'_>, manner: &Manner, watch: &Watch) -> PyResult<()> {
    py.check_signals()?;
    let Some(progress) = &manner.progress else { return Ok(()) };
    let (stage, total) = watch.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
    progress.call1(py, (stage, watch.done.load(Ordering::Relaxed), total))?;
    Ok(())
}

fn finish<T>(outcome: Outcome<T>) -> PyResult<T> {
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(exception(&error)),
        Err(panic) => Err(defect(panic.as_ref())),
    }
}

/// The error for a failure of embq itself.
fn defect(panic: &(dyn Any + Send)) -> PyErr {
    let told = panic.downcast_ref::<String>().map(String::as_str);
    let told = told.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    PyRuntimeError::new_err(format!("embq failed: {told}\n  this is a defect of embq: please report it with your code"))
}
