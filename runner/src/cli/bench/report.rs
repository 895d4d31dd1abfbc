//! The page: tables and plots, with nothing to be fetched.

use std::collections::BTreeMap;
use std::fmt::Write;

use covertree::build::telemetry::BatchRow;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::rows::{Row, query, slow_count, slow_ones};

/// Width of a plot.
const WIDTH: u32 = 900;

/// Of that, the names of its lines; and the height of each.
const NAMES_WIDTH: u32 = 150;
const NAME_HEIGHT: u32 = 15;

/// A failure to draw: of the library, and only into memory.
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A line of a plot: its name, and its points.
type Line = (String, Vec<(f64, f64)>);

/// The whole page.
pub(super) fn page(rows: &[Row]) -> String {
    let mut page = String::from(concat!(
        "<!doctype html><meta charset=\"utf-8\"><title>covertree bench</title>",
        "<style>body{font:14px sans-serif;max-width:60em;margin:2em auto}table{border-collapse:collapse}",
        "td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #ddd}td:first-child{text-align:left}</style>",
        "<h1>covertree bench</h1>"
    ));
    let _ = write!(page, "<p>version {}</p>", env!("CARGO_PKG_VERSION"));
    if let Some(sentence) = slow_count(rows) {
        let _ = write!(page, "<p>{}</p>", escaped(&sentence));
    }
    scaling(rows, &mut page);
    rows.chunk_by(|a, b| a.set == b.set).for_each(|block| of_set(block, &mut page));
    page
}

/// The table and the plots of a set.
fn of_set(block: &[Row], page: &mut String) {
    let _ = write!(page, "<h2>{}</h2>", escaped(&block[0].set));
    table(block, page);
    let built: Vec<&Row> = block.iter().filter(|row| row.refused.is_none()).collect();
    if built.len() > 1 {
        add(page, "Time per stage, ms", 20 * built.len() as u32 + 60, |area| stages(area, &built));
    }
    // Pairs would be too many lines, and each differs from its two settings by little.
    let singles: Vec<&Row> = built.into_iter().filter(|row| row.is_single()).collect();
    let mut plot = |title: &str, points: &dyn Fn(&Row) -> Vec<(f64, f64)>| {
        let mut all: Vec<Line> = Vec::new();
        for row in &singles {
            let line = (row.name().to_owned(), points(row));
            // A strategy that does not count this has no line; one that was run on other threads has the same one.
            if line.1.iter().any(|point| point.1 > 0.0) && !all.contains(&line) {
                all.push(line);
            }
        }
        add_lines(page, title, &all);
    };
    plot("Conflicts per point by batch", &|row| by_batch(row, |batch| batch.avg_degree_before_cap));
    plot("Points per parent by batch", &|row| {
        by_batch(row, |batch| match batch.conflict_scope_groups_unique {
            0 => 0.0,
            groups => batch.batch_size as f64 / groups as f64,
        })
    });
    plot("Cells by batch", &|row| by_batch(row, |batch| batch.grid_cells as f64));
    plot("Points by level", &|row| {
        let mut levels = BTreeMap::new();
        for level in &row.levels {
            *levels.entry(level.level).or_insert(0) += level.candidates;
        }
        by_level(&levels)
    });
    plot("Nodes by level of the tree", &|row| by_level(&row.nodes));
    plot("Time per point by inserted points, microseconds", &|row| {
        // Times of all strategies hide each other: the reference, and what was to make it smooth.
        if ["dense", "random", "adaptive"].contains(&row.strategy.as_str()) { per_point(row) } else { Vec::new() }
    });
}

/// A figure of each batch.
fn by_batch(row: &Row, value: fn(&BatchRow) -> f64) -> Vec<(f64, f64)> {
    row.batches.iter().map(|batch| (batch.batch_index as f64, value(batch))).collect()
}

/// A count of each level.
fn by_level(counts: &BTreeMap<i32, usize>) -> Vec<(f64, f64)> {
    counts.iter().map(|(&level, &count)| (f64::from(level), count as f64)).collect()
}

/// Microseconds per point of each batch, by the points inserted before its end.
fn per_point(row: &Row) -> Vec<(f64, f64)> {
    let mut inserted = 1.0;
    let point = |batch: &BatchRow| {
        inserted += batch.batch_size as f64;
        let ms = batch.traversal_ms + batch.conflict_graph_ms + batch.mis_ms + batch.insert_ms;
        (inserted, ms * 1e3 / batch.batch_size as f64)
    };
    // The first few batches are too short to be measured.
    row.batches.iter().map(point).filter(|(inserted, _)| *inserted > 256.0).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn table(rows: &[Row], page: &mut String) {
    page.push_str("<table><tr>");
    for head in
        ["strategy", "metric", "threads", "build ms", "traverse", "conflict", "insert", "degree", "query x", "checks"]
    {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr>");
    for row in rows {
        let _ = write!(page, "<tr><td>{}</td><td>{}</td><td>{}</td>", escaped(&row.strategy), row.metric, row.threads);
        let _ = match &row.refused {
            Some(reason) => write!(page, "<td colspan=7>refused: {}</td></tr>", escaped(reason)),
            None => write!(
                page,
                "<td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{}</td><td>{}</td></tr>",
                row.build_ms,
                row.traversal_ms,
                row.conflict_ms,
                row.insert_ms,
                row.degree,
                query(row),
                row.checks()
            ),
        };
    }
    page.push_str("</table>");
    if let Some(sentence) = slow_ones(rows) {
        let _ = write!(page, "<p>{}</p>", escaped(&sentence));
    }
}

/// Draws into the page; what cannot be drawn (no points, no range) is left out.
fn add(page: &mut String, title: &str, height: u32, draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn) {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area).is_ok() && area.present().is_ok()
    };
    if drawn {
        let _ = write!(page, "<h3>{}</h3>{svg}", escaped(title));
    }
}

/// Adds a plot of lines, if there are any.
fn add_lines(page: &mut String, title: &str, all: &[Line]) {
    add(page, title, (all.len() as u32 * NAME_HEIGHT + 30).max(260), |area| lines(area, all));
}

/// Stacked bars: traversal, conflicts, insertion.
fn stages(area: &DrawingArea<SVGBackend<'_>, Shift>, rows: &[&Row]) -> Drawn {
    let total = |row: &&&Row| row.traversal_ms + row.conflict_ms + row.insert_ms;
    let longest = rows.iter().map(|row| total(&row)).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(0)
        .build_cartesian_2d(0.0..longest * 1.4, 0.0..rows.len() as f64)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().draw()?;
    for (place, row) in rows.iter().enumerate() {
        let top = (rows.len() - place) as f64;
        let mut left = 0.0;
        for (ms, color) in [(row.traversal_ms, BLUE), (row.conflict_ms, RED), (row.insert_ms, GREEN)] {
            let bar = Rectangle::new([(left, top - 0.85), (left + ms, top - 0.15)], color.mix(0.5).filled());
            chart.draw_series(std::iter::once(bar))?;
            left += ms;
        }
        let label = Text::new(row.name().to_owned(), (left + longest * 0.01, top - 0.2), ("sans-serif", 12));
        chart.draw_series(std::iter::once(label))?;
    }
    let legend =
        Text::new("blue: traversal, red: conflicts, green: insertion", (longest * 0.9, 0.4), ("sans-serif", 12));
    chart.draw_series(std::iter::once(legend))?;
    Ok(())
}

/// The range of the coordinates of points, a little widened.
fn range(values: impl Iterator<Item = f64> + Clone) -> std::ops::Range<f64> {
    let (low, high) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
    low..if high > low { high + (high - low) * 0.05 } else { low + 1.0 }
}

/// Lines, and their names beside them in the same order.
fn lines(area: &DrawingArea<SVGBackend<'_>, Shift>, all: &[Line]) -> Drawn {
    let points = all.iter().flat_map(|(_, points)| points.iter());
    if points.clone().next().is_none() {
        return Err("nothing to draw".into());
    }
    let (plot, names) = area.split_horizontally(WIDTH - NAMES_WIDTH);
    let (across, up) = (range(points.clone().map(|point| point.0)), range(points.map(|point| point.1)));
    // Counts and times begin at 0; logarithms may lie below.
    let mut chart = ChartBuilder::on(&plot)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d(across, up.start.min(0.0).floor()..up.end)?;
    chart.configure_mesh().draw()?;
    for (place, (name, points)) in all.iter().enumerate() {
        // Of equal lines only the last would be seen: they share a colour, so that their names tell.
        let first = all.iter().position(|(_, other)| other == points).unwrap_or(place);
        let color = Palette99::pick(first).to_rgba();
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        if let [point] = points[..] {
            chart.draw_series(std::iter::once(Circle::new(point, 3, color.filled())))?;
        }
        let top = 8 + place as i32 * NAME_HEIGHT as i32;
        names.draw(&Rectangle::new([(0, top + 2), (10, top + 10)], color.filled()))?;
        names.draw(&Text::new(name.clone(), (16, top), ("sans-serif", 12)))?;
    }
    Ok(())
}

/// Build time by number of points, both on logarithmic axes, one line per strategy and number of threads.
fn scaling(rows: &[Row], page: &mut String) {
    let mut kinds: BTreeMap<(&str, usize), Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.scaling && row.refused.is_none()) {
        let point = ((row.rows as f64).log2(), row.build_ms.log10());
        kinds.entry((&row.strategy, row.threads)).or_default().push(point);
    }
    let all: Vec<Line> = kinds
        .into_iter()
        .filter(|(_, points)| points.iter().any(|point| point.0 != points[0].0))
        .map(|((strategy, threads), mut points)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            (format!("{strategy}, {threads} threads"), points)
        })
        .collect();
    add_lines(page, "Build time by points: log10 of milliseconds over log2 of points", &all);
}
