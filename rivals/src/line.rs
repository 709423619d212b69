//! A line of work: what everyone took for it, and the bar it is held to.

use serde_json::{Map, Value, json};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// A time, a size.
    Less,
    /// A rate.
    More,
}

/// The rivals that count as SQLite.
const SQLITE: &str = "sqlite";

/// A line of the report.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was done.
    pub work: String,
    /// Of the numbers.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// What parlor took.
    pub ours: Option<f64>,
    /// What the others took, by name.
    pub rivals: Vec<(String, f64)>,
    /// What it costs at the least.
    pub floor: Option<f64>,
    /// On what.
    pub workload: String,
    /// The memory for pages.
    pub cache: String,
    /// Why it was not measured.
    pub skipped: Option<String>,
    bars: Vec<Bar>,
}

/// One condition of a line's bar.
#[derive(Debug, Clone)]
struct Bar {
    text: String,
    holds: Option<bool>,
}

impl Line {
    /// A line that nothing was measured for yet.
    pub fn new(work: impl Into<String>, unit: &'static str, better: Better) -> Line {
        Line {
            work: work.into(),
            unit,
            better,
            ours: None,
            rivals: Vec::new(),
            floor: None,
            workload: String::new(),
            cache: "does not matter".to_owned(),
            skipped: None,
            bars: Vec::new(),
        }
    }

    /// On what, and with how much memory for pages.
    pub fn on(mut self, workload: impl Into<String>, cache: impl Into<String>) -> Line {
        (self.workload, self.cache) = (workload.into(), cache.into());
        self
    }

    /// Takes what contenders measured: parlor's own, the floor's, the others'.
    pub fn measured(mut self, contenders: impl IntoIterator<Item = (String, f64)>) -> Line {
        for (name, value) in contenders {
            match name.as_str() {
                "parlor" => self.ours = Some(value),
                "floor" => self.floor = Some(value),
                _ => self.rivals.push((name, value)),
            }
        }
        self
    }

    /// A line that was not measured.
    pub fn skipped(mut self, reason: impl Into<String>) -> Line {
        self.skipped = Some(reason.into());
        self
    }

    /// How many times better ours is than that.
    fn times(&self, theirs: Option<f64>) -> Option<f64> {
        let (ours, theirs) = (self.ours?, theirs?);
        let times = match self.better {
            Better::Less => theirs / ours,
            Better::More => ours / theirs,
        };
        times.is_finite().then_some(times)
    }

    /// The best of the rivals of these names.
    fn best(&self, names: impl Fn(&str) -> bool) -> Option<f64> {
        let values = self.rivals.iter().filter(|(name, _)| names(name)).map(|(_, value)| *value);
        match self.better {
            Better::Less => values.min_by(f64::total_cmp),
            Better::More => values.max_by(f64::total_cmp),
        }
    }

    /// How many times better ours is than the best SQLite.
    pub fn ratio_to_best_sqlite(&self) -> Option<f64> {
        self.times(self.best(|name| name.starts_with(SQLITE)))
    }

    /// How many times the floor's cost ours is.
    pub fn ratio_to_floor(&self) -> Option<f64> {
        self.times(self.floor).map(|times| 1.0 / times)
    }

    fn bar(mut self, text: String, holds: Option<bool>) -> Line {
        self.bars.push(Bar { text, holds });
        self
    }

    /// At least so many times better than the best of the SQLites of these names.
    pub fn times_better(self, than: &str, names: impl Fn(&str) -> bool, least: f64, aim: f64) -> Line {
        let holds = self.times(self.best(|name| name.starts_with(SQLITE) && names(name))).map(|times| times >= least);
        self.bar(format!("{least} × {than} (aim {aim} ×)"), holds)
    }

    /// At least so many times better than the best SQLite.
    pub fn times_sqlite(self, least: f64, aim: f64) -> Line {
        self.times_better("SQLite", |_| true, least, aim)
    }

    /// At most this part of SQLite's, where less is better.
    pub fn part_of_sqlite(self, most: f64, aim: f64) -> Line {
        let holds = self.ratio_to_best_sqlite().map(|times| 1.0 / times <= most);
        let part = |part: f64| if part < 1.0 { format!("1/{}", 1.0 / part) } else { format!("{part} ×") };
        self.bar(format!("≤ {} SQLite's (aim {})", part(most), part(aim)), holds)
    }

    /// At most so much.
    pub fn at_most(self, most: f64, aim: f64) -> Line {
        let holds = self.ours.map(|ours| ours <= most);
        let text = format!("≤ {most} {} (aim {aim})", self.unit);
        self.bar(text, holds)
    }

    /// At most so many times the floor.
    pub fn times_floor(self, most: f64, aim: f64) -> Line {
        let holds = self.ratio_to_floor().map(|times| times <= most);
        self.bar(format!("≤ {most} × the floor (aim {aim} ×)"), holds)
    }

    /// At least this part of something else that was measured.
    pub fn part_of(self, what: &str, value: f64, least: f64, aim: f64) -> Line {
        let holds = self.ours.map(|ours| ours >= least * value);
        self.bar(format!("≥ {least} × {what} (aim {aim} ×)"), holds)
    }

    /// The bar in words; empty where there is none.
    pub fn bar_text(&self) -> String {
        self.bars.iter().map(|bar| bar.text.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Whether all of the bar holds; none where there is no bar, or nothing to hold to it.
    pub fn holds(&self) -> Option<bool> {
        let each: Option<Vec<bool>> = self.bars.iter().map(|bar| bar.holds).collect();
        each.filter(|each| !each.is_empty()).map(|each| each.into_iter().all(|holds| holds))
    }

    /// The line as one JSON object.
    pub fn json(&self) -> Value {
        let rivals: Map<_, _> = self.rivals.iter().map(|(name, value)| (name.clone(), short(Some(*value)))).collect();
        let bar = self.bar_text();
        let mut object = json!({
            "work": self.work,
            "ours": short(self.ours),
            "rivals": rivals,
            "floor": short(self.floor),
            "unit": self.unit,
            "workload": self.workload,
            "cache": self.cache,
            "ratio_to_best_sqlite": short(self.ratio_to_best_sqlite()),
            "ratio_to_floor": short(self.ratio_to_floor()),
            "bar": if bar.is_empty() { Value::Null } else { bar.into() },
            "holds": self.holds(),
        });
        if let Some(reason) = &self.skipped {
            object["skipped"] = reason.clone().into();
        }
        object
    }
}

/// A number with what can be trusted of it: four digits.
fn short(value: Option<f64>) -> Value {
    let Some(value) = value else { return Value::Null };
    if value == 0.0 || !value.is_finite() {
        return json!(value);
    }
    let scale = 10f64.powi(3 - value.abs().log10().floor() as i32);
    json!((value * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(better: Better, values: &[(&str, f64)]) -> Line {
        Line::new("work", "µs", better).measured(values.iter().map(|(name, value)| ((*name).to_owned(), *value)))
    }

    #[test]
    fn a_bar_holds_against_the_best_sqlite() {
        let values = [("parlor", 10.0), ("sqlite", 30.0), ("sqlite+pos", 19.0), ("lmdb", 1.0), ("floor", 5.0)];
        let less = line(Better::Less, &values);
        assert_eq!((less.ratio_to_best_sqlite(), less.ratio_to_floor()), (Some(1.9), Some(2.0)));
        assert_eq!(less.clone().times_sqlite(2.0, 3.0).holds(), Some(false));
        assert_eq!(less.clone().times_better("plain", |name| name == "sqlite", 2.0, 3.0).holds(), Some(true));
        assert_eq!(less.clone().times_floor(2.0, 1.5).at_most(9.0, 1.0).holds(), Some(false));
        let more = line(Better::More, &values);
        assert_eq!(more.ratio_to_best_sqlite(), Some(10.0 / 30.0));
        assert_eq!(more.clone().part_of("appends", 20.0, 0.5, 0.6).holds(), Some(true));
        assert_eq!(less.part_of_sqlite(0.5, 0.25).bar_text(), "≤ 1/2 SQLite's (aim 1/4)");
    }

    #[test]
    fn a_skipped_line_holds_nothing_and_says_why() {
        let line = Line::new("open", "ms", Better::Less).skipped("needs a million messages").at_most(5.0, 1.0);
        let json = line.json();
        assert_eq!((&json["ours"], &json["holds"]), (&Value::Null, &Value::Null));
        assert_eq!(json["skipped"], "needs a million messages");
        assert_eq!(json["bar"], "≤ 5 ms (aim 1)");
    }

    #[test]
    fn numbers_keep_four_digits() {
        let digits = [123_456.0, 0.123_456, 9.999_99].map(|value| short(Some(value)));
        assert_eq!(digits, [json!(123_500.0), json!(0.1235), json!(10.0)]);
    }
}
