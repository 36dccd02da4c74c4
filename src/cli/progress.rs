//! Progress bars on standard error.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use embq_core::progress::Progress;

/// How long work takes before a bar is shown.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the screen stays as it is while work goes on.
const SILENCE: Duration = Duration::from_secs(1);

/// A bar for each stage, and the time that has passed while there is none: drawn only on a terminal, and only after half a
/// second.
pub(crate) struct Bars {
    screen: Option<Arc<Mutex<Screen>>>,
}

/// What is drawn.
struct Screen {
    started: Instant,
    /// The current stage, or the time between two.
    bar: Option<ProgressBar>,
    is_stage: bool,
    drawn: Instant,
    is_over: bool,
}

impl Bars {
    /// Bars that are drawn if enabled and if standard error is a terminal.
    pub(crate) fn new(enabled: bool) -> Self {
        if !enabled || !std::io::stderr().is_terminal() {
            return Bars { screen: None };
        }
        let now = Instant::now();
        let screen = Screen { started: now, bar: None, is_stage: false, drawn: now, is_over: false };
        let screen = Arc::new(Mutex::new(screen));
        let watched = Arc::clone(&screen);
        thread::spawn(move || {
            loop {
                thread::sleep(SILENCE / 4);
                let mut screen = watched.lock().unwrap_or_else(PoisonError::into_inner);
                if screen.is_over {
                    return;
                }
                screen.break_silence();
            }
        });
        Bars { screen: Some(screen) }
    }

    fn with_screen(&self, act: impl FnOnce(&mut Screen)) {
        if let Some(screen) = &self.screen {
            act(&mut screen.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Clears the screen, for a message.
    pub(crate) fn clear(&self) {
        self.with_screen(Screen::clear);
    }

    /// Clears the screen for good: what follows is printed.
    pub(crate) fn finish(&self) {
        self.with_screen(|screen| {
            screen.clear();
            screen.is_over = true;
        });
    }
}

impl Screen {
    fn put(&mut self, bar: ProgressBar, template: &str, is_stage: bool) {
        self.clear();
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        (self.bar, self.is_stage) = (Some(bar), is_stage);
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.drawn = Instant::now();
    }

    /// Draws the bar if there has been enough time.
    fn draw(&mut self, steps: u64) {
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() && self.started.elapsed() > PATIENCE {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.inc(steps);
        self.drawn = Instant::now();
    }

    /// Shows that work goes on where nothing was drawn for a while.
    fn break_silence(&mut self) {
        if self.is_over || self.drawn.elapsed() < SILENCE {
            return;
        }
        if self.bar.is_none() {
            let waiting = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            self.put(waiting, "working ({elapsed})", false);
        }
        self.draw(0);
        if let Some(bar) = &self.bar {
            bar.tick();
        }
    }
}

impl Progress for Bars {
    fn begin(&self, stage: &str, total: u64) {
        self.with_screen(|screen| {
            if screen.is_over {
                return;
            }
            let next = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
            next.set_message(stage.to_owned());
            screen.put(next, "{msg:22} {wide_bar} {percent:>3} %  {eta:>4} left", true);
        });
    }

    fn advance(&self, steps: u64) {
        self.with_screen(|screen| {
            if screen.is_stage {
                screen.draw(steps);
            }
        });
    }

    fn end(&self) {
        self.with_screen(Screen::clear);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.finish();
    }
}
