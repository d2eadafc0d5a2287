//! The samples of a page in the Prometheus text format 0.0.4, for assertions: strict, so that a
//! page which Prometheus would refuse fails the test that reads it.

use std::collections::BTreeMap;

/// Label names and values, by name.
pub type Labels = BTreeMap<String, String>;

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    samples: BTreeMap<(String, Labels), f64>,
    types: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// The first line that is none, or a sample that comes twice.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let wrong = |what: &str| format!("{what}: {line:?}");
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
                if page.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return Err(wrong("a second type"));
                }
            } else if !line.starts_with('#') {
                let (key, value) = sample(line).ok_or_else(|| wrong("no sample"))?;
                if page.samples.insert(key, value).is_some() {
                    return Err(wrong("a second sample of one series"));
                }
            }
        }
        Ok(page)
    }

    /// The value of the sample with exactly these labels.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.samples.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// The sum over all samples called `name`; 0 when there are none.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        // The sum of nothing is -0.
        self.of(name).fold(0.0, |sum, (_, value)| sum + value)
    }

    /// All samples called `name`.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Labels, f64)> {
        let samples = self.samples.iter().filter(move |((found, _), _)| found == name);
        samples.map(|((_, labels), value)| (labels, *value))
    }

    /// All samples, with their names.
    pub fn samples(&self) -> impl Iterator<Item = (&str, &Labels, f64)> {
        self.samples.iter().map(|((name, labels), value)| (name.as_str(), labels, *value))
    }

    /// The type of a family, by the name that its `# TYPE` line has.
    #[must_use]
    pub fn type_of(&self, name: &str) -> Option<&str> {
        self.types.get(name).map(String::as_str)
    }

    /// Every sample that only goes up: those of counters, histograms and summaries.
    pub fn monotone(&self) -> impl Iterator<Item = (&(String, Labels), f64)> {
        let is_monotone = |(name, labels): &(String, Labels)| {
            // What one worker has taken goes with it.
            if labels.contains_key("quantile") || name.starts_with("tallyboard_worker_") {
                return false;
            }
            let parts = ["", "_bucket", "_count", "_sum"];
            parts.iter().filter_map(|part| name.strip_suffix(part)).any(|family| {
                matches!(self.type_of(family), Some("counter" | "histogram" | "summary"))
            })
        };
        self.samples.iter().filter(move |(key, _)| is_monotone(key)).map(|(key, v)| (key, *v))
    }

    /// Samples of `earlier` that only go up, but are lower here or gone.
    #[must_use]
    pub fn decreases_since(&self, earlier: &Self) -> Vec<String> {
        let fallen = |(key, before): (&(String, Labels), f64)| {
            let now = self.samples.get(key).copied();
            let fell = now.is_none_or(|now| now < before);
            fell.then(|| format!("{} {:?}: {before} -> {now:?}", key.0, key.1))
        };
        earlier.monotone().filter_map(fallen).collect()
    }
}

fn sample(line: &str) -> Option<((String, Labels), f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let is_name = |name: &str| {
        let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
    };
    let value = match value.strip_prefix(' ')? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    is_name(name).then(|| ((name.to_owned(), labels), value))
}

/// Reads labels up to their closing brace; gives what stands behind it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, text) = rest.split_once("=\"")?;
        let (value, end) = label_value(text)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return None;
        }
        let behind = &text[end..];
        rest = behind.strip_prefix(',').or(behind.starts_with('}').then_some(behind))?;
    }
}

fn label_value(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    loop {
        match letters.next()? {
            (at, '"') => return Some((value, at + 1)),
            (_, '\\') => value.push(match letters.next()?.1 {
                'n' => '\n',
                letter @ ('\\' | '"') => letter,
                _ => return None,
            }),
            (_, letter) => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_sample_by_sample() {
        let text =
            "# HELP a Words.\n# TYPE a counter\na{b=\"c\\\"\\\\\\n,}\",d=\"\"} 3\nb 0.5\nc +Inf\n";
        let page = Page::parse(text).unwrap();
        assert_eq!(page.value("a", &[("d", ""), ("b", "c\"\\\n,}")]), Some(3.0));
        assert_eq!(page.value("b", &[]), Some(0.5));
        assert_eq!(page.value("c", &[]), Some(f64::INFINITY));
        assert_eq!(page.value("a", &[]), None);
        assert_eq!(page.type_of("a"), Some("counter"));
    }

    #[test]
    fn what_prometheus_would_refuse_is_refused() {
        for text in [
            "a",
            "a b",
            "1a 1",
            "a{b=\"c\" 1",
            "a{b=\"c\",b=\"d\"} 1",
            "a{b=\"\\x\"} 1",
            "a 1\na 1",
            "a{b=\"c\",d=\"e\"} 1\na{d=\"e\",b=\"c\"} 2",
            "# TYPE a counter\n# TYPE a gauge",
        ] {
            assert!(Page::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_decrease_is_seen_where_only_increases_may_be() {
        let page = |text: &str| Page::parse(text).unwrap();
        let before =
            page("# TYPE a counter\na 3\n# TYPE g gauge\ng 3\n# TYPE h histogram\nh_sum 2\n");
        assert_eq!(before.decreases_since(&before), [""; 0]);
        let after =
            page("# TYPE a counter\na 2\n# TYPE g gauge\ng 1\n# TYPE h histogram\nh_sum 1\n");
        assert_eq!(after.decreases_since(&before).len(), 2);
        assert_eq!(page("").decreases_since(&before).len(), 2);
    }
}
