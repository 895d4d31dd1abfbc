//! The page: tables and plots, with nothing to be fetched.

use std::fmt::Write;

use plotters::prelude::*;

use super::rows::Row;

/// Width of a plot.
const WIDTH: u32 = 900;

/// A failure to draw: of the library, and only into memory.
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The whole page.
pub(super) fn page(rows: &[Row]) -> String {
    let mut page = String::from(concat!(
        "<!doctype html><meta charset=\"utf-8\"><title>covertree bench</title>",
        "<style>body{font:14px sans-serif;max-width:60em;margin:2em auto}table{border-collapse:collapse}",
        "td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #ddd}td:first-child{text-align:left}</style>",
        "<h1>covertree bench</h1>"
    ));
    let _ = write!(page, "<p>version {}</p>", env!("CARGO_PKG_VERSION"));
    scaling(rows, &mut page);
    for block in rows.chunk_by(|a, b| a.set == b.set) {
        let _ = write!(page, "<h2>{}</h2>", escaped(&block[0].set));
        table(block, &mut page);
        let built: Vec<&Row> = block.iter().filter(|row| row.refused.is_none()).collect();
        if built.len() > 1 {
            add(&mut page, "Time per stage, ms", 20 * built.len() as u32 + 60, |area| stages(area, &built));
        }
        let Some(first) = built.first() else { continue };
        let by_batch = |value: fn(&covertree::build::telemetry::BatchRow) -> f64| -> Vec<(f64, f64)> {
            first.batches.iter().map(|batch| (batch.batch_index as f64, value(batch))).collect()
        };
        let name = escaped(&first.strategy);
        let degrees = by_batch(|batch| batch.avg_degree_before_cap);
        add(&mut page, &format!("Conflicts per point by batch, {name}"), 260, |area| line(area, &degrees));
        let groups = by_batch(|batch| batch.batch_size as f64 / (batch.conflict_scope_groups_unique.max(1)) as f64);
        add(&mut page, &format!("Points per parent by batch, {name}"), 260, |area| line(area, &groups));
        if let Some(grid) = built.iter().find(|row| row.strategy == "grid") {
            let cells: Vec<(f64, f64)> =
                grid.batches.iter().map(|batch| (batch.batch_index as f64, batch.grid_cells as f64)).collect();
            add(&mut page, "Cells by batch, grid", 260, |area| line(area, &cells));
        }
        let mut levels = std::collections::BTreeMap::new();
        for row in &first.levels {
            *levels.entry(row.level).or_insert(0.0) += row.candidates as f64;
        }
        let levels: Vec<(f64, f64)> = levels.into_iter().map(|(level, count)| (f64::from(level), count)).collect();
        add(&mut page, &format!("Points in conflict by level, {name}"), 260, |area| line(area, &levels));
        let smooth: Vec<(&str, Vec<(f64, f64)>)> = built
            .iter()
            .filter(|row| ["dense", "random", "adaptive"].contains(&row.strategy.as_str()))
            .map(|row| (row.strategy.as_str(), per_point(row)))
            .collect();
        if smooth.len() > 1 {
            add(&mut page, "Time per point by inserted points, microseconds", 300, |area| lines(area, &smooth));
        }
    }
    page
}

/// Microseconds per point of each batch, by the points inserted before its end.
fn per_point(row: &Row) -> Vec<(f64, f64)> {
    let mut inserted = 1.0;
    let point = |batch: &covertree::build::telemetry::BatchRow| {
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
                "<td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{}</td></tr>",
                row.build_ms,
                row.traversal_ms,
                row.conflict_ms,
                row.insert_ms,
                row.degree,
                row.query_ratio,
                if row.valid && row.exact { "valid, exact" } else { "WRONG" }
            ),
        };
    }
    page.push_str("</table>");
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

use plotters::coord::Shift;

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
        let label = Text::new(row.strategy.clone(), (left + longest * 0.01, top - 0.2), ("sans-serif", 12));
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
    low..if high > low { high * 1.05 } else { low + 1.0 }
}

fn line(area: &DrawingArea<SVGBackend<'_>, Shift>, points: &[(f64, f64)]) -> Drawn {
    lines(area, &[("", points.to_vec())])
}

fn lines(area: &DrawingArea<SVGBackend<'_>, Shift>, all: &[(&str, Vec<(f64, f64)>)]) -> Drawn {
    let points = all.iter().flat_map(|(_, points)| points.iter());
    if points.clone().next().is_none() {
        return Err("nothing to draw".into());
    }
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(48)
        .build_cartesian_2d(range(points.clone().map(|point| point.0)), 0.0..range(points.map(|point| point.1)).end)?;
    chart.configure_mesh().draw()?;
    for (place, (name, points)) in all.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        if let Some(&(x, y)) = points.last() {
            chart.draw_series(std::iter::once(Text::new((*name).to_owned(), (x * 0.93, y), ("sans-serif", 12))))?;
        }
    }
    Ok(())
}

/// Build time by number of points, both on logarithmic axes, one line per number of threads.
fn scaling(rows: &[Row], page: &mut String) {
    let mut threads: Vec<usize> = rows.iter().map(|row| row.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let sizes = |threads: usize| -> Vec<(f64, f64)> {
        let rows = rows.iter().filter(|row| row.threads == threads && row.refused.is_none());
        rows.map(|row| ((row.rows as f64).log2(), row.build_ms.log10())).collect()
    };
    let first = sizes(threads[0]);
    if first.windows(2).all(|pair| pair[0].0 == pair[1].0) {
        return;
    }
    add(page, "Build time by points: log10 of milliseconds over log2 of points", 320, |area| {
        let points = rows.iter().filter(|row| row.refused.is_none());
        let (low, high) = (first[0].0, first[first.len() - 1].0);
        let times = points.map(|row| row.build_ms.log10());
        let bottom = times.clone().fold(f64::INFINITY, f64::min).floor();
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(low..high, bottom..times.fold(f64::NEG_INFINITY, f64::max).ceil())?;
        chart.configure_mesh().draw()?;
        for (place, &threads) in threads.iter().enumerate() {
            let points = sizes(threads);
            let color = Palette99::pick(place).to_rgba();
            chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
            let label = Text::new(format!("{threads} threads"), points[points.len() / 2], ("sans-serif", 12));
            chart.draw_series(std::iter::once(label))?;
        }
        Ok(())
    });
}
