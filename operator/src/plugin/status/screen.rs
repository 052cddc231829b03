use super::{ConsumerRow, Problem, Snapshot, TopicRow};
use crate::plugin::advice::Level;
use crate::plugin::spark::spark;
use crate::plugin::text::{Cell, Style, Tone, ago, cut, fold, left, number, right, table};

/// With more topics than this only those are listed that are not as they should be.
const MANY: usize = 12;

/// The screen as text.
pub fn render(snapshot: &Snapshot, style: Style) -> String {
    let everywhere = snapshot.namespace.is_none();
    let place = match &snapshot.namespace {
        Some(namespace) => format!("namespace {namespace}"),
        None => "all namespaces".to_owned(),
    };
    let when = snapshot.at.replace('T', " ").replace('Z', " UTC");
    let mut out = format!(
        "{}  {}\n\n",
        style.paint(
            Tone::Bold,
            &cut(&format!("{place}, context {}", snapshot.context), 70)
        ),
        style.paint(Tone::Dim, &when)
    );
    out.push_str(&topics(&snapshot.topics, everywhere, style));
    out.push('\n');
    out.push_str(&consumers(snapshot, everywhere, style));
    out.push('\n');
    out.push_str(&problems(&snapshot.problems, everywhere, style));
    out
}

fn heading(style: Style, name: &str, ready: usize, all: usize) -> String {
    let tone = match ready == all {
        true => Tone::Good,
        false => Tone::Bad,
    };
    let count = style.paint(tone, &format!("{ready} of {all} ready"));
    format!("{}  {count}\n", style.paint(Tone::Bold, name))
}

pub fn tone(level: Option<Level>) -> Tone {
    match level {
        Some(Level::Fine) => Tone::Good,
        Some(Level::Note) => Tone::Name,
        Some(Level::Warn) | None => Tone::Warn,
        Some(Level::Bad) => Tone::Bad,
    }
}

/// The namespace in front, where there are several.
fn named(everywhere: bool, namespace: &str, name: &str) -> String {
    match everywhere {
        true => format!("{namespace}/{name}"),
        false => name.to_owned(),
    }
}

fn topics(rows: &[TopicRow], everywhere: bool, style: Style) -> String {
    if rows.is_empty() {
        return format!("{}  none here\n", style.paint(Tone::Bold, "TOPICS"));
    }
    let ready = rows.iter().filter(|row| row.ready).count();
    let mut out = heading(style, "TOPICS", ready, rows.len());
    let interesting = |row: &&TopicRow| !row.ready || row.drift.is_some();
    let listed: Vec<_> = match rows.len() > MANY {
        true => rows.iter().filter(interesting).collect(),
        false => rows.iter().collect(),
    };
    let number = |number: Option<i32>| number.map_or("-".to_owned(), |number| number.to_string());
    let cells: Vec<Vec<Cell>> = listed
        .iter()
        .map(|row| {
            vec![
                left(named(everywhere, &row.namespace, &row.topic), Tone::Name),
                right(number(row.partitions), Tone::Plain),
                right(number(row.replicas), Tone::Plain),
                left(&row.reason, tone(row.level)),
                left(
                    row.drift.as_deref().unwrap_or("-"),
                    match row.drift {
                        Some(_) => Tone::Warn,
                        None => Tone::Dim,
                    },
                ),
            ]
        })
        .collect();
    if !cells.is_empty() {
        let head = ["TOPIC", "PARTITIONS", "REPLICAS", "STATE", "DRIFT"];
        out.push_str(&table(style, 2, &head, &cells, 4));
    }
    let left_out = rows.len() - listed.len();
    if left_out > 0 {
        let more = format!("  {left_out} more are as wanted; `kubectl get kafkatopics` has all\n");
        out.push_str(&style.paint(Tone::Dim, &more));
    }
    out
}

/// The cells that a consumer has here and in `top`.
pub fn consumer_cells(row: &ConsumerRow, everywhere: bool) -> Vec<Cell> {
    let desired = row
        .desired_pods
        .map_or("-".to_owned(), |pods| pods.to_string());
    let pods = match Some(row.ready_pods) == row.desired_pods {
        true => Tone::Plain,
        false => Tone::Warn,
    };
    let lag = match row.lag {
        None => Tone::Warn,
        Some(0) => Tone::Good,
        Some(_) => Tone::Plain,
    };
    vec![
        left(named(everywhere, &row.namespace, &row.name), Tone::Name),
        left(row.sink, Tone::Plain),
        right(format!("{}/{desired}", row.ready_pods), pods),
        right(row.lag.map_or("unknown".to_owned(), number), lag),
        left(spark(&row.lag_history), Tone::Name),
        right(row.rate.map_or("-".to_owned(), rate), Tone::Plain),
        right(row.drain_eta.as_deref().unwrap_or("-"), Tone::Plain),
        left(&row.reason, tone(row.level)),
    ]
}

/// The head of [`consumer_cells`].
pub const CONSUMER_HEAD: [&str; 8] = [
    "NAME",
    "SINK",
    "PODS",
    "LAG",
    "LAST 30 MIN",
    "RATE/S",
    "ETA",
    "STATE",
];

/// One decimal where it tells something.
fn rate(rate: f64) -> String {
    match rate.abs() < 10.0 && rate != 0.0 {
        true => format!("{rate:.1}"),
        false => number(rate.round() as i64),
    }
}

fn consumers(snapshot: &Snapshot, everywhere: bool, style: Style) -> String {
    let rows = &snapshot.consumers;
    if rows.is_empty() {
        return format!("{}  none here\n", style.paint(Tone::Bold, "CONSUMERS"));
    }
    let ready = rows.iter().filter(|row| row.ready).count();
    let mut out = heading(style, "CONSUMERS", ready, rows.len());
    let cells: Vec<_> = rows
        .iter()
        .map(|row| consumer_cells(row, everywhere))
        .collect();
    out.push_str(&table(style, 2, &CONSUMER_HEAD, &cells, 0));
    if let Some(why) = &snapshot.no_history {
        let text = format!("no history of lag: {}", fold(why, 4));
        out.push_str(&format!("  {}\n", style.paint(Tone::Dim, &text)));
    }
    out
}

fn problems(problems: &[Problem], everywhere: bool, style: Style) -> String {
    if problems.is_empty() {
        return format!("{}\n", style.paint(Tone::Good, "Nothing is wrong."));
    }
    let mut out = format!("{}\n", style.paint(Tone::Bold, "WHAT TO LOOK AT"));
    for problem in problems {
        let mark = match problem.level {
            Level::Bad => "✗",
            Level::Warn => "!",
            Level::Note | Level::Fine => "·",
        };
        let tone = tone(Some(problem.level));
        let since = problem
            .seconds
            .map_or(String::new(), |s| format!(", for {}", ago(s)));
        let name = named(everywhere, &problem.namespace, &problem.name);
        let head = format!("{} {name}: {}{since}", problem.kind, problem.what);
        out.push_str(&format!(
            "  {} {}\n",
            style.paint(tone, mark),
            style.paint(tone, &cut(&head, 94))
        ));
        if !problem.message.is_empty() {
            out.push_str(&format!("    {}\n", fold(&problem.message, 4)));
        }
        if !problem.advice.is_empty() {
            out.push_str(&format!(
                "    {} {}\n",
                style.paint(Tone::Bold, "→"),
                fold(&problem.advice, 6)
            ));
        }
    }
    out
}
