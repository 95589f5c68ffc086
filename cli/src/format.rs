//! Figures as people read them.

use std::fmt::Write;

use crds::Output;

/// Bytes with a binary unit: `312.4 KiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

/// Seconds with three digits that matter: `12.3 s`, `4.56 s`, `78.0 ms`, `9.1 µs`.
pub fn seconds(value: f64) -> String {
    match value {
        v if v < 0.0995e-3 => format!("{:.1} µs", v * 1e6),
        v if v < 0.0995 => format!("{:.1} ms", v * 1e3),
        v if v < 9.995 => format!("{v:.2} s"),
        v => format!("{v:.1} s"),
    }
}

/// A model's outputs, a line each and a line for their values.
pub fn outputs(outputs: &[Output]) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    let mut of = None;
    for output in outputs {
        if output.input != of {
            of = output.input;
            of.iter().for_each(|input| text += &format!("input {input}\n"));
        }
        let shape = output.shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x");
        if let Some(said) = &output.text {
            let drawn = output.drawn.map_or(String::new(), |drawn| {
                format!(", drawn with seed {} at temperature {}", drawn.seed, drawn.temperature)
            });
            let _ = write!(text, "answer ({shape} tokens{drawn})\n{}\n", indented(said));
            continue;
        }
        let class = output.class.map_or(String::new(), |class| format!(": class {class}"));
        let total: u64 = output.shape.iter().product();
        let values = output.values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(" ");
        let more = if total > output.values.len() as u64 { " .." } else { "" };
        let _ = write!(text, "output {} ({shape}){class}\n  {values}{more}\n", output.name);
    }
    text
}

/// A text on lines of its own.
pub fn indented(text: &str) -> String {
    text.split('\n').map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Text for XML, without the characters that XML has no way to write.
pub fn escape(text: &str) -> String {
    let allowed = text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    allowed
        .map(|c| match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{bytes, escape, seconds};

    #[test]
    fn names_from_models_cannot_break_the_file() {
        assert_eq!(escape("a<b>&\"\u{0}\n"), "a&lt;b&gt;&amp;&quot;");
    }

    #[test]
    fn units_change_where_they_should() {
        assert_eq!((bytes(0), bytes(1023), bytes(1024)), ("0 B".into(), "1023 B".into(), "1.0 KiB".into()));
        assert_eq!(
            (bytes(1 << 20), bytes(3 << 40), bytes(1 << 60)),
            ("1.0 MiB".into(), "3.0 TiB".into(), "1048576.0 TiB".into())
        );
        assert_eq!((seconds(0.000_012_3), seconds(0.000_099_6)), ("12.3 µs".into(), "0.1 ms".into()));
        assert_eq!((seconds(0.0012), seconds(0.5), seconds(61.0)), ("1.2 ms".into(), "0.50 s".into(), "61.0 s".into()));
    }
}
