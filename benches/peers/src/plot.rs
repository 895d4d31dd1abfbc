//! Plots: time per query over the dimension, a line per library, both axes logarithmic.

use std::path::Path;

use plotters::prelude::*;

use super::Failure;
use super::report::Line;

/// Rows of the sets that are plotted over the dimension.
const ROWS: usize = 32_768;

/// Draws a plot for each made distribution and number of neighbours that has two dimensions or more.
pub fn draw(folder: &Path, lines: &[Line]) -> Result<(), Failure> {
    let fits = |line: &&Line| line.shape.0 == ROWS && line.metric == "euclidean" && line.precision == "float32";
    let lines: Vec<&Line> = lines.iter().filter(fits).collect();
    let mut titles: Vec<(&str, usize)> = lines.iter().map(|line| (line.set.as_str(), line.k)).collect();
    titles.sort_unstable();
    titles.dedup();
    for (set, k) in titles {
        let chosen: Vec<&Line> = lines.iter().copied().filter(|line| line.set == set && line.k == k).collect();
        let dims = |pick: fn(usize, usize) -> usize| chosen.iter().map(|line| line.shape.1).reduce(pick);
        if let (Some(least), Some(most)) = (dims(usize::min), dims(usize::max))
            && least < most
        {
            let path = folder.join(format!("{set}-k{k}.svg"));
            let title = format!("{set}, {ROWS} points, k = {k}, one thread");
            draw_one(&path, &title, (least as f64, most as f64), &chosen)?;
        }
    }
    Ok(())
}

fn draw_one(path: &Path, title: &str, (least, most): (f64, f64), lines: &[&Line]) -> Result<(), Failure> {
    let times = || lines.iter().filter_map(|line| line.query[0]).map(|seconds| seconds * 1e6);
    let (low, high) = (times().fold(f64::INFINITY, f64::min), times().fold(0.0, f64::max));
    let area = SVGBackend::new(path, (900, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most).log_scale(), (low / 1.5..high * 1.5).log_scale())?;
    chart.configure_mesh().x_desc("dimension").y_desc("microseconds per query").light_line_style(WHITE).draw()?;
    let mut names: Vec<&str> = lines.iter().map(|line| line.peer).collect();
    names.sort_unstable();
    names.dedup();
    for (place, name) in names.into_iter().enumerate() {
        let of_peer = lines.iter().filter(|line| line.peer == name);
        let mut points: Vec<(f64, f64)> =
            of_peer.filter_map(|line| Some((line.shape.1 as f64, line.query[0]? * 1e6))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let width = if name.starts_with("covertree") { 3 } else { 1 };
        let style = Palette99::pick(place).stroke_width(width);
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style);
        chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?.label(name).legend(legend);
    }
    let place = SeriesLabelPosition::UpperLeft;
    chart.configure_series_labels().position(place).background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
