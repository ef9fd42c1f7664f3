//! Curves as SVG: a few lines over two axes need no library.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// Room for numbers and names: left, top, right, bottom.
const ROOM: [f64; 4] = [64.0, 40.0, 132.0, 48.0];
const COLOURS: [&str; 4] = ["#1b6ca8", "#9aa5b1", "#b5541c", "#c9b79c"];

/// One curve.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Curves with their axes.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    /// Both axes.
    pub(super) logarithmic: bool,
    pub(super) lines: Vec<Line>,
}

/// One axis: from the values to the picture.
struct Axis {
    least: f64,
    most: f64,
    logarithmic: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, logarithmic: bool, from: f64, to: f64) -> Self {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            least = least.min(value);
            most = most.max(value);
        }
        if logarithmic {
            least = 10f64.powf(least.max(1e-3).log10().floor());
            most = 10f64.powf(most.max(1e-3).log10().ceil());
        } else {
            least = 0.0;
            most = round_up(most);
        }
        Self {
            least,
            most,
            logarithmic,
            from,
            to,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let part = match self.logarithmic {
            true => (value / self.least).log10() / (self.most / self.least).log10(),
            false => (value - self.least) / (self.most - self.least),
        };
        self.from + part * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let powers = (self.most / self.least).log10().round() as i32;
            return (0..=powers).map(|power| self.least * 10f64.powi(power)).collect();
        }
        (0..=4).map(|at| self.most * f64::from(at) / 4.0).collect()
    }
}

/// The next number that quarters well.
fn round_up(most: f64) -> f64 {
    let power = 10f64.powf(most.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= most).unwrap_or(most)
}

fn label(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{}k", value / 1000.0),
        value => format!("{value}"),
    }
}

impl Chart {
    /// The picture.
    pub(super) fn svg(&self) -> Result<String, std::fmt::Error> {
        let [left, top, right, bottom] = ROOM;
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::over(points().map(|point| point.0), self.logarithmic, left, WIDTH - right);
        let y = Axis::over(points().map(|point| point.1), self.logarithmic, HEIGHT - bottom, top);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{left}\" y=\"20\" font-size=\"14\">{}</text>\n",
            self.title
        );
        for tick in x.ticks() {
            let at = x.place(tick);
            let under = HEIGHT - bottom + 18.0;
            writeln!(
                svg,
                "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"#e4e7eb\"/>",
                HEIGHT - bottom
            )?;
            writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"middle\">{}</text>",
                label(tick)
            )?;
        }
        for tick in y.ticks() {
            let at = y.place(tick);
            writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#e4e7eb\"/>",
                WIDTH - right
            )?;
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                at + 4.0,
                label(tick)
            )?;
        }
        let middle = (left + WIDTH - right) / 2.0;
        writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 8.0,
            self.x
        )?;
        writeln!(
            svg,
            "<text x=\"{left}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            top - 6.0,
            self.y
        )?;
        for (at, line) in self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.points.is_empty())
        {
            let colour = COLOURS[at % COLOURS.len()];
            let places: Vec<_> = line
                .points
                .iter()
                .map(|point| (x.place(point.0), y.place(point.1)))
                .collect();
            let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            )?;
            for (x, y) in &places {
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")?;
            }
            let key = top + 12.0 + 18.0 * at as f64;
            let beside = WIDTH - right + 12.0;
            writeln!(
                svg,
                "<line x1=\"{beside}\" y1=\"{key}\" x2=\"{}\" y2=\"{key}\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                beside + 16.0
            )?;
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\">{}</text>",
                beside + 22.0,
                key + 4.0,
                line.name
            )?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}
