//! What a service must show whose workers are the program `names`, by how names are escaped.

use tallyboard_exposition::escaping::Escaping;

use crate::read::page::Labels;
use crate::read::prometheus::Series;

/// The value of a label with all that has to be escaped somewhere.
pub const ODD: &str = "/\u{fc} \"b\"\\";

/// Names of samples as they are, and what they are with underscores, dots and values.
const NAMES: &[[&str; 4]] = &[
    [
        "http.requests_total",
        "http_requests_total",
        "http_dot_requests__total",
        "U__http_2e_requests__total",
    ],
    ["temp\u{e9}rature", "temp_rature", "temp__rature", "U__temp_e9_rature"],
    ["http.time_bucket", "http_time_bucket", "http_dot_time_bucket", "U__http_2e_time_bucket"],
    ["http.time_count", "http_time_count", "http_dot_time_count", "U__http_2e_time_count"],
    ["http.time_sum", "http_time_sum", "http_dot_time_sum", "U__http_2e_time_sum"],
    [" a b _count", "_a_b__count", "__a__b___count", "U___20_a_20_b_20__count"],
    [" a b _sum", "_a_b__sum", "__a__b___sum", "U___20_a_20_b_20__sum"],
    [
        "1 \"x\"\\{,_total",
        "___x_____total",
        "______x__________total",
        "U___31__20__22_x_22__5c__7b__2c___total",
    ],
    ["tab\tand\rreturn\u{1}", "tab_and_return_", "tab__and__return__", "U__tab_9_and_d_return_1_"],
    ["build.part_info", "build_part_info", "build_dot_part__info", "U__build_2e_part__info"],
    ["line\nfeed", "line_feed", "line__feed", "U__line_a_feed"],
];

/// The same for labels.
const LABELS: &[[&str; 4]] = &[
    ["http.route", "http_route", "http_dot_route", "U__http_2e_route"],
    ["\u{82b1}\u{706b}", "U___82b1__706b_", "U___82b1__706b_", "U___82b1__706b_"],
    ["version.x", "version_x", "version_dot_x", "U__version_2e_x"],
    ["\u{e9}", "_", "U___e9_", "U___e9_"],
    ["line\nfeed", "line_feed", "line__feed", "U__line_a_feed"],
];

/// All samples of the workers, of a service that has counted these numbers.
///
/// # Panics
/// When there are no numbers.
#[must_use]
pub fn known(numbers: &[f64], escaping: Escaping) -> Series<f64> {
    let column = Escaping::EVERY.iter().position(|of| *of == escaping).expect("a scheme");
    let name_in = |table: &[[&str; 4]], name: &str| {
        let row = table.iter().find(|row| row[0] == name);
        row.map_or(name, |row| row[column]).to_owned()
    };
    let (count, sum) = (numbers.len() as f64, numbers.iter().sum::<f64>());
    let most = numbers.iter().copied().reduce(f64::max).expect("something was counted");
    let mut series = Series::new();
    let mut add = |name: &str, labels: &[(&str, &str)], value: f64| {
        let labels = labels.iter().map(|(name, value)| (name_in(LABELS, name), (*value).into()));
        let key = (name_in(NAMES, name), labels.collect::<Labels>());
        // What counts is added up, and of gauges the one is shown that has always had the name.
        let before = series.get(&key).copied().unwrap_or(0.0);
        if before == 0.0 || name.ends_with("_total") {
            series.insert(key, before + value);
        }
    };
    add("http.requests_total", &[("http.route", ODD), ("plain", "x")], count);
    add("http_requests_total", &[("http_route", ODD), ("plain", "x")], count * 10.0);
    add("temp_rature", &[], 7.0);
    add("temp\u{e9}rature", &[], most);
    for bound in ["1.0", "10.0", "+Inf"] {
        let most = bound.parse().unwrap_or(f64::INFINITY);
        let below = numbers.iter().filter(|number| **number <= most).count();
        add("http.time_bucket", &[("\u{82b1}\u{706b}", ODD), ("le", bound)], below as f64);
    }
    add("http.time_count", &[("\u{82b1}\u{706b}", ODD)], count);
    add("http.time_sum", &[("\u{82b1}\u{706b}", ODD)], sum);
    add(" a b _count", &[], count);
    add(" a b _sum", &[], sum);
    add("1 \"x\"\\{,_total", &[], count);
    add("tab\tand\rreturn\u{1}", &[], 5.0);
    add("build.part_info", &[("version.x", "1"), ("\u{e9}", ODD)], 1.0);
    add("line\nfeed", &[("line\nfeed", "on")], 1.0);
    add("line\nfeed", &[("line\nfeed", "off")], 0.0);
    series
}
