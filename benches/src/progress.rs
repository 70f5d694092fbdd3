//! What the terminal shows while a run lasts.

use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

/// The width of the bar in characters.
const WIDTH: usize = 24;

/// A bar with the time that is left. It is drawn on standard error, if that is a terminal.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    began: Instant,
    /// Of all measurements together.
    planned: Duration,
    done: Duration,
}

impl Progress {
    /// A bar for work that takes `planned`, if all goes well.
    pub fn new(planned: Duration) -> Self {
        Self { is_shown: stderr().is_terminal(), began: Instant::now(), planned, done: Duration::ZERO }
    }

    /// Says what comes next.
    pub fn next(&self, what: &str) {
        self.draw(&line(self.done, self.planned, self.began.elapsed(), what));
    }

    /// Counts planned work that is done.
    pub fn done(&mut self, planned: Duration) {
        self.done += planned;
    }

    /// Clears the line.
    pub fn end(&self) {
        self.draw("");
    }

    fn draw(&self, line: &str) {
        if self.is_shown {
            let mut out = stderr().lock();
            // To the line's start, and clear it; without a terminal's cooperation nothing is lost.
            let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
        }
    }
}

/// Such as `[######..................]  25 %  2m 30s left  grpc closed 16`.
fn line(done: Duration, planned: Duration, elapsed: Duration, what: &str) -> String {
    let fraction = (done.as_secs_f64() / planned.as_secs_f64().max(f64::MIN_POSITIVE)).min(1.0);
    let bar: String = (0..WIDTH).map(|at| if (at as f64) < fraction * WIDTH as f64 { '#' } else { '.' }).collect();
    // What is around the measurements takes time too, so the pace is the one that was seen.
    let pace = if fraction > 0.02 { elapsed.as_secs_f64() / fraction } else { planned.as_secs_f64() };
    let left = Duration::from_secs(Duration::from_secs_f64(pace * (1.0 - fraction)).as_secs());
    format!("[{bar}] {:3.0} %  {} left  {what}", 100.0 * fraction, humantime::format_duration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_pace() {
        let seconds = Duration::from_secs;
        assert_eq!(line(seconds(0), seconds(80), seconds(0), "a"), "[........................]   0 %  1m 20s left  a");
        assert_eq!(line(seconds(40), seconds(80), seconds(50), "b"), "[############............]  50 %  50s left  b");
        assert_eq!(line(seconds(80), seconds(80), seconds(99), "c"), "[########################] 100 %  0s left  c");
    }
}
