//! The error of every layer, from the model's first to its last, as a picture.

use std::fmt::Write;

use model::{AccuracyReport, language::Perplexity};

use super::{depth::rows, difference};
use crate::format::escape;

const PLOT: (f64, f64) = (720.0, 320.0);
const MARGIN: (f64, f64) = (70.0, 60.0);

/// Draws the report as an SVG file: relative errors on a logarithmic scale.
pub fn draw(title: &str, perplexity: &Perplexity, report: &AccuracyReport) -> String {
    let rows: Vec<(&str, f64)> = rows(report).iter().map(|row| (row.layer, row.error.max(1e-9).log10())).collect();
    let (least, most) = rows.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), r| (a.min(r.1), b.max(r.1)));
    let (least, most) = (least.floor(), most.ceil().max(least.floor() + 1.0));
    let (width, height) = (PLOT.0 + MARGIN.0 + 30.0, PLOT.1 + 2.0 * MARGIN.1);
    let x = |index: usize| MARGIN.0 + (index as f64 + 0.5) / rows.len().max(1) as f64 * PLOT.0;
    let y = |error: f64| MARGIN.1 + (most - error) / (most - least) * PLOT.1;
    let p = perplexity;
    // Writing to a string cannot fail: results are dropped throughout.
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{}\" y=\"24\" font-size=\"14\" font-weight=\"600\">{}: integers beside floating point</text>\n\
         <text x=\"{}\" y=\"42\" fill=\"#555555\">perplexity {:.4} in floating point, {:.4} in integers ({:+.3} %), {} tokens</text>\n",
        MARGIN.0,
        escape(title),
        MARGIN.0,
        p.float,
        p.integer,
        difference(p),
        p.tokens
    );
    for power in least as i32..=most as i32 {
        let y = y(f64::from(power));
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">1e{power}</text>",
            MARGIN.0,
            MARGIN.0 + PLOT.0,
            MARGIN.0 - 8.0,
            y + 4.0
        );
    }
    let mut last = None;
    for (index, &(layer, error)) in rows.iter().enumerate() {
        let block = block(layer);
        if block.is_some() && block != last {
            let left = MARGIN.0 + index as f64 / rows.len() as f64 * PLOT.0;
            let _ = writeln!(
                svg,
                "<line x1=\"{left:.1}\" y1=\"{}\" x2=\"{left:.1}\" y2=\"{}\" stroke=\"#eeeeee\"/>\
                 <text x=\"{:.1}\" y=\"{}\" fill=\"#777777\">{}</text>",
                MARGIN.1,
                MARGIN.1 + PLOT.1,
                left + 2.0,
                MARGIN.1 + PLOT.1 + 16.0,
                block.unwrap_or_default()
            );
            last = block;
        }
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"{}\"><title>{}: 1e{error:.2}</title></circle>",
            x(index),
            y(error),
            if block.is_some() { "#3b6fb5" } else { "#c0392b" },
            escape(layer)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#555555\">block of the model (red: before and after all blocks)</text>\
         <text x=\"16\" y=\"{:.0}\" transform=\"rotate(-90 16 {:.0})\" text-anchor=\"middle\" fill=\"#555555\">relative error</text>",
        MARGIN.0 + PLOT.0 / 2.0,
        MARGIN.1 + PLOT.1 + 40.0,
        MARGIN.1 + PLOT.1 / 2.0,
        MARGIN.1 + PLOT.1 / 2.0
    );
    svg + "</svg>\n"
}

/// The number of the block that a layer belongs to: the first in its name.
fn block(layer: &str) -> Option<u32> {
    layer.split(['.', ' ']).find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::LayerAccuracy;

    #[test]
    fn every_layer_is_drawn_and_names_cannot_break_the_file() {
        let layer = |name: &str, cosine| LayerAccuracy {
            layer: name.into(),
            shape: vec![1],
            exponent: 0,
            cosine,
            max_error: 0.0,
            mean_error: 0.0,
        };
        let layers = vec![layer("embedding", 1.0), layer("blk.0.a<b", 0.999), layer("layer 1 attention", 0.99)];
        let report = AccuracyReport { layers, ..AccuracyReport::default() };
        let svg = draw("a & b", &Perplexity { tokens: 3, float: 2.0, integer: 2.02, agreement: 1.0 }, &report);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a &amp; b: integers") && svg.contains("a&lt;b") && svg.contains("(+1.000 %)"));
        assert_eq!(svg.matches("#eeeeee").count(), 2);
        assert!(svg.contains("1e-9") && !svg.contains("NaN"));
    }
}
