//! Progress bars on standard error.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use embq_core::progress::Progress;

/// How long work takes before a bar is shown.
const PATIENCE: Duration = Duration::from_millis(500);

/// A bar for each stage, drawn only on a terminal and only after half a second.
pub(crate) struct Bars {
    shown: bool,
    started: Instant,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Bars that are drawn if enabled and if standard error is a terminal.
    pub(crate) fn new(enabled: bool) -> Self {
        Bars { shown: enabled && std::io::stderr().is_terminal(), started: Instant::now(), bar: Mutex::new(None) }
    }

    fn with_bar(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        if self.shown
            && let Ok(mut bar) = self.bar.lock()
        {
            act(&mut bar);
        }
    }
}

impl Progress for Bars {
    fn begin(&self, stage: &str, total: u64) {
        self.with_bar(|bar| {
            let style = ProgressStyle::with_template("{msg:22} {wide_bar} {percent:>3} %  {eta:>4} left");
            let next = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
            next.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            next.set_message(stage.to_owned());
            *bar = Some(next);
        });
    }

    fn advance(&self, steps: u64) {
        self.with_bar(|bar| {
            if let Some(bar) = bar {
                if bar.is_hidden() && self.started.elapsed() > PATIENCE {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                bar.inc(steps);
            }
        });
    }

    fn end(&self) {
        self.with_bar(|bar| {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
        });
    }
}
