//! The accuracy report by depth: what belongs to one layer of the source model together, in the model's order.

use std::fmt::Write;

use model::{AccuracyReport, LayerAccuracy};

/// The worst of what one layer computes.
pub struct Row<'a> {
    /// Its name.
    pub layer: &'a str,
    /// Length of the error vector relative to that of the value.
    pub error: f64,
    /// Largest absolute error.
    pub max_error: f64,
}

/// The relative error that a cosine tells of: `|a - b| / |a|` for `b` as long as `a`.
fn relative(layer: &LayerAccuracy) -> f64 {
    (2.0 * (1.0 - layer.cosine).max(0.0)).sqrt()
}

/// A row for every layer.
pub fn rows(report: &AccuracyReport) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for layer in &report.layers {
        let (error, max_error) = (relative(layer), layer.max_error);
        match rows.iter_mut().find(|row| row.layer == layer.layer) {
            Some(row) => (row.error, row.max_error) = (row.error.max(error), row.max_error.max(max_error)),
            None => rows.push(Row { layer: &layer.layer, error, max_error }),
        }
    }
    rows
}

/// The rows as text.
pub fn table(report: &AccuracyReport) -> String {
    let mut text = format!("{:>14} {:>10}  layer\n", "relative error", "max error");
    for row in rows(report) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>14.2e} {:>10.2e}  {}", row.error, row.max_error, row.layer);
    }
    text
}
