//! What comes of a scenario, and the table of it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::server::Kind;
use crate::spread::Spread;

/// One number that was measured.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: Unit,
    /// What it is to be for a relay.
    pub due: Option<Due>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Micros,
    Seconds,
    Mebibytes,
    Kibibytes,
    PerSecond,
    Percent,
    Count,
}

/// A bound to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Due {
    AtMost(f64),
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Millis => "ms",
            Self::Micros => "µs",
            Self::Seconds => "s",
            Self::Mebibytes => "MiB",
            Self::Kibibytes => "KiB",
            Self::PerSecond => "/s",
            Self::Percent => "%",
            Self::Count => "",
        }
    }
}

impl Figure {
    pub fn new(name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { name: name.into(), value, unit, due: None }
    }

    #[must_use]
    pub fn at_most(self, value: f64) -> Self {
        Self { due: Some(Due::AtMost(value)), ..self }
    }

    /// A time in the unit that suits what is measured, not this measurement.
    pub fn time(name: impl Into<String>, time: Duration, unit: Unit) -> Self {
        let seconds = time.as_secs_f64();
        let value = match unit {
            Unit::Micros => seconds * 1e6,
            Unit::Millis => seconds * 1e3,
            _ => seconds,
        };
        Self::new(name, value, unit)
    }

    /// The middle and the tail of a spread, in milliseconds.
    pub fn spread(name: &str, spread: &Spread) -> Vec<Self> {
        let share =
            |word: &str, share| Self::time(format!("{name}, {word}"), spread.within(share), Unit::Millis);
        vec![share("p50", 0.5), share("p95", 0.95), share("p99", 0.99), share("max", 1.0)]
    }

    fn shown(&self) -> String {
        let value = self.value;
        let digits = if value.abs() >= 100.0 || self.unit == Unit::Count { 0 } else { 2 };
        format!("{value:.digits$} {}", self.unit.name()).trim_end().to_owned()
    }

    fn verdict(&self) -> String {
        match self.due {
            None => String::new(),
            Some(Due::AtMost(bound)) => {
                let verdict = if self.value <= bound { "ok" } else { "MISSED" };
                let shown = Self::new("", bound, self.unit).shown();
                format!("at most {shown}: {verdict}")
            }
        }
    }
}

/// What one server did in several rounds of one scenario.
#[derive(Clone, Debug)]
pub struct Column {
    pub kind: Kind,
    pub rounds: Vec<Vec<Figure>>,
}

impl Column {
    /// The median round of a figure.
    fn median(&self, name: &str) -> Option<Figure> {
        let mut all: Vec<_> =
            self.rounds.iter().flatten().filter(|figure| figure.name == name).cloned().collect();
        all.sort_by(|a, b| a.value.total_cmp(&b.value));
        (!all.is_empty()).then(|| all.swap_remove(all.len() / 2))
    }
}

/// A row for each figure and a column for each server; what is not the relay's is also shown as a multiple of the relay's.
pub fn table(title: &str, columns: &[Column]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for figure in columns.iter().flat_map(|column| column.rounds.iter().flatten()) {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    let relay = columns.iter().find(|column| column.kind == Kind::Relay);
    let mut text = format!("\n{title:<46}");
    for column in columns {
        let _ = write!(text, "{:>22}", column.kind.to_string());
    }
    for name in names {
        let ours = relay.and_then(|column| column.median(name));
        let _ = write!(text, "\n  {name:<44}");
        for column in columns {
            let cell = match (column.median(name), &ours) {
                (None, _) => "-".to_owned(),
                (Some(theirs), Some(ours))
                    if column.kind != Kind::Relay && ours.value > 0.0 && theirs.unit != Unit::Percent =>
                {
                    format!("{} ({:.1}x)", theirs.shown(), theirs.value / ours.value)
                }
                (Some(figure), _) => figure.shown(),
            };
            let _ = write!(text, "{cell:>22}");
        }
        if let Some(ours) = &ours {
            let _ = write!(text, "  {}", ours.verdict());
        }
        text.truncate(text.trim_end().len());
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind, values: &[f64]) -> Column {
        let figure =
            |value: &f64| vec![Figure::new("edit to other device, p99", *value, Unit::Millis).at_most(5.0)];
        Column { kind, rounds: values.iter().map(figure).collect() }
    }

    #[test]
    fn tables_show_medians_ratios_and_what_is_due() {
        let columns = [column(Kind::Relay, &[9.0, 2.0, 1.0]), column(Kind::Samod, &[5.0])];
        let text = table("latency", &columns);
        for word in ["2.00 ms", "5.00 ms (2.5x)", "at most 5.00 ms: ok"] {
            assert!(text.contains(word), "{text}");
        }
        assert!(table("latency", &[column(Kind::Relay, &[6.0])]).contains("MISSED"));
    }
}
