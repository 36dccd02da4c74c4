//! Plots means with error bars as SVG.

use std::fmt::Write as _;

/// One setting: the name, mean and standard deviation of each objective.
pub struct Panel {
    pub title: String,
    pub bars: Vec<(&'static str, f64, f64)>,
}

const WIDTH: f64 = 640.0;
const NAMES: f64 = 150.0;
const LINE: f64 = 22.0;
const COLOURS: [&str; 6] = ["#555555", "#0072b2", "#d55e00", "#009e73", "#56b4e9", "#e69f00"];

/// All panels below each other, each with its own scale.
pub fn svg(panels: &[Panel]) -> String {
    let height_of = |panel: &Panel| 60.0 + LINE * panel.bars.len() as f64;
    let height: f64 = panels.iter().map(height_of).sum();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>k-NN accuracy on held-out rows by objective</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    let mut top = 0.0;
    for panel in panels {
        let lowest = panel.bars.iter().map(|(_, mean, deviation)| mean - deviation).fold(f64::INFINITY, f64::min);
        let highest = panel.bars.iter().map(|(_, mean, deviation)| mean + deviation).fold(0.0, f64::max);
        let (lowest, highest) = ((lowest * 50.0).floor() / 50.0, (highest * 50.0).ceil() / 50.0);
        let place = |value: f64| NAMES + (WIDTH - NAMES - 20.0) * (value - lowest) / (highest - lowest).max(1e-9);
        let _ = writeln!(text, "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{}</text>", top + 20.0, panel.title);
        let bottom = top + 34.0 + LINE * panel.bars.len() as f64;
        for mark in 0..=4 {
            let value = lowest + (highest - lowest) * f64::from(mark) / 4.0;
            let x = place(value);
            let _ = writeln!(
                text,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>\n\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{:.1} %</text>",
                top + 30.0,
                bottom + 14.0,
                100.0 * value
            );
        }
        for (index, (name, mean, deviation)) in panel.bars.iter().enumerate() {
            let y = top + 45.0 + LINE * index as f64;
            let colour = COLOURS[index % COLOURS.len()];
            let (from, to) = (place(mean - deviation), place(mean + deviation));
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\n\
                 <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
                 <circle cx=\"{:.1}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\"/>",
                NAMES - 10.0,
                y + 4.0,
                place(*mean)
            );
        }
        top += height_of(panel);
    }
    text.push_str("</svg>\n");
    text
}
