//! `kubectl bt top`: the consumers, live.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, poll, read};
use crossterm::{cursor, execute, terminal};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;

use super::At;
use super::cluster::Cluster;
use super::prometheus::Histories;
use super::status::{ConsumerRow, Snapshot, history, screen};
use super::text::{Style, Tone, number, table, words};
use crate::api::TelemetryConsumer;

/// Between two looks.
const REFRESH: Duration = Duration::from_secs(2);
/// So far back is what was seen meanwhile kept, in seconds.
const KEPT: f64 = 1800.0;

/// How it is shown.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  kubectl bt top -A                    on a terminal: live; q or ctrl-c ends it
  kubectl bt top --once --sort rate    one table

The operator writes lag and rate about every 10 seconds. Into a pipe it writes a table every 2 seconds.")]
pub struct Options {
    /// What comes first.
    #[arg(long, value_enum, default_value_t = Sort::Lag)]
    sort: Sort,
    /// One table, then end.
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The most behind.
    Lag,
    /// The fastest.
    Rate,
    /// The name.
    Name,
}

/// Shows the consumers until it is ended.
pub async fn run(at: &At, options: &Options) -> Result<bool> {
    let cluster = Cluster::connect(at).await?;
    let mut history = history(at, &cluster).await.unwrap_or_default();
    let live = !options.once && !at.is_json() && std::io::stdout().is_terminal();
    let screen = live.then(Screen::open).transpose()?;
    let mut keys = live.then(keys);
    loop {
        let shown = look(&cluster, &mut history).await.map(|mut rows| {
            sort(&mut rows, options.sort);
            rows
        });
        match (&screen, shown) {
            (Some(screen), Ok(rows)) => {
                screen.draw(&render(&rows, cluster.namespace.is_none(), at.style()))?
            }
            // It may be over soon; what is on the screen says so.
            (Some(screen), Err(error)) => screen.draw(&words(&error))?,
            (None, Ok(rows)) if at.is_json() => println!("{}", serde_json::to_string(&rows)?),
            (None, Ok(rows)) => {
                print!("{}", render(&rows, cluster.namespace.is_none(), at.style()))
            }
            (None, Err(error)) => return Err(error),
        }
        if options.once {
            return Ok(true);
        }
        std::io::stdout().flush()?;
        let ended = async {
            match &mut keys {
                Some(keys) => keys.recv().await.unwrap_or(()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = ended => return Ok(true),
        }
    }
}

/// The consumers now; what is seen is added to the history.
async fn look(cluster: &Cluster, history: &mut Histories) -> Result<Vec<ConsumerRow>> {
    let consumers: Vec<TelemetryConsumer> = cluster.list().await?;
    let now = Timestamp::now();
    let seconds = now.as_millisecond() as f64 / 1000.0;
    let lags: BTreeMap<_, _> = Snapshot::of(&[], &consumers, &Ok(Histories::new()), now)
        .consumers
        .into_iter()
        .filter_map(|row| Some(((row.namespace, row.name), row.lag?)))
        .collect();
    for (consumer, lag) in lags {
        let points = history.entry(consumer).or_default();
        points.retain(|(at, _)| *at > seconds - KEPT);
        points.push((seconds, lag as f64));
    }
    let known = Ok(history.clone());
    Ok(Snapshot::of(&[], &consumers, &known, now).consumers)
}

fn sort(rows: &mut [ConsumerRow], by: Sort) {
    // What is unknown is worth a look, too.
    let lag = |row: &ConsumerRow| row.lag.unwrap_or(i64::MAX);
    let rate = |row: &ConsumerRow| row.rate.unwrap_or_default();
    rows.sort_by(|a, b| {
        let names = || (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name));
        match by {
            Sort::Lag => lag(b).cmp(&lag(a)).then_with(names),
            Sort::Rate => rate(b).total_cmp(&rate(a)).then_with(names),
            Sort::Name => names(),
        }
    });
}

fn render(rows: &[ConsumerRow], everywhere: bool, style: Style) -> String {
    let now = Timestamp::now().strftime("%H:%M:%S UTC").to_string();
    let lag: i64 = rows.iter().filter_map(|row| row.lag).sum();
    let rate: f64 = rows.iter().filter_map(|row| row.rate).sum();
    let head = format!(
        "{now}  {} consumers, {} records behind, {}/s carried",
        rows.len(),
        number(lag),
        number(rate.round() as i64)
    );
    let cells: Vec<_> = rows
        .iter()
        .map(|row| screen::consumer_cells(row, everywhere))
        .collect();
    format!(
        "{}\n{}",
        style.paint(Tone::Bold, &head),
        table(style, 0, &screen::CONSUMER_HEAD, &cells, 0)
    )
}

/// The alternate screen; what was there comes back when this goes.
struct Screen;

impl Screen {
    fn open() -> Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(
            std::io::stdout(),
            terminal::EnterAlternateScreen,
            cursor::Hide
        )?;
        Ok(screen)
    }

    fn draw(&self, text: &str) -> Result<()> {
        let rows = usize::from(terminal::size().map_or(24, |(_, rows)| rows));
        let mut out = std::io::stdout();
        execute!(out, cursor::MoveTo(0, 0))?;
        let mut lines = text.lines().take(rows.saturating_sub(1));
        let clear = terminal::Clear(terminal::ClearType::UntilNewLine);
        lines.try_for_each(|line| write!(out, "{line}{clear}\r\n"))?;
        execute!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = execute!(
            std::io::stdout(),
            cursor::Show,
            terminal::LeaveAlternateScreen
        );
        let _ = terminal::disable_raw_mode();
    }
}

/// Told when q or ctrl-c is pressed.
fn keys() -> mpsc::Receiver<()> {
    let (tell, told) = mpsc::channel(1);
    std::thread::spawn(move || {
        while !tell.is_closed() {
            let pressed = match poll(Duration::from_millis(200)) {
                Ok(true) => read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            if pressed.is_err() || pressed.is_ok_and(|event| is_end(&event)) {
                let _ = tell.blocking_send(());
                return;
            }
        }
    });
    told
}

/// In raw mode the terminal makes no signal of ctrl-c.
fn is_end(event: &Event) -> bool {
    let Event::Key(KeyEvent {
        code, modifiers, ..
    }) = event
    else {
        return false;
    };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, lag: Option<i64>, rate: f64) -> ConsumerRow {
        ConsumerRow {
            namespace: "shop".into(),
            name: name.into(),
            sink: "prometheus",
            ready_pods: 1,
            desired_pods: Some(1),
            lag,
            lag_history: Vec::new(),
            rate: Some(rate),
            drain_eta: None,
            ready: true,
            reason: "Running".into(),
            level: None,
        }
    }

    #[test]
    fn rows_are_sorted_by_what_was_asked_for() {
        let mut rows = vec![
            row("a", Some(5), 2.0),
            row("b", None, 1.0),
            row("c", Some(50), 3.0),
        ];
        for (by, expected) in [(Sort::Lag, "bca"), (Sort::Rate, "cab"), (Sort::Name, "abc")] {
            sort(&mut rows, by);
            let names: String = rows.iter().map(|row| row.name.as_str()).collect();
            assert_eq!(names, expected, "{by:?}");
        }
    }

    #[test]
    fn q_and_ctrl_c_end_it() {
        let key = |code, modifiers| is_end(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE));
    }
}
