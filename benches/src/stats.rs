//! Medians, quartiles, and how a time is printed.

/// What is told of a series of measured values.
#[derive(Clone, Copy)]
pub struct Spread {
    pub first_quartile: f64,
    pub median: f64,
    pub third_quartile: f64,
}

/// The quartiles of at least one value, between neighbours by straight line.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let place = part * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        low + (high - low) * place.fract()
    };
    (!sorted.is_empty()).then(|| Spread {
        first_quartile: at(0.25),
        median: at(0.5),
        third_quartile: at(0.75),
    })
}

/// A time in the unit that reads best.
pub fn duration(seconds: f64) -> String {
    match seconds.abs() {
        size if size >= 0.1 => format!("{seconds:.3} s"),
        size if size >= 1e-4 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{:.2} µs", seconds * 1e6),
    }
}

/// A part of a whole.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

impl Spread {
    /// The median and, in brackets, the quartiles in the same unit.
    pub fn text(&self) -> String {
        let (low, high) = (self.first_quartile, self.third_quartile);
        match self.median {
            median if median >= 0.1 => format!("{median:.3} s ({low:.3} to {high:.3})"),
            median => format!("{:.2} ms ({:.2} to {:.2})", median * 1e3, low * 1e3, high * 1e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let spread = spread([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (spread.first_quartile, spread.median, spread.third_quartile),
            (1.75, 2.5, 3.25)
        );
    }

    #[test]
    fn nothing_has_no_median() {
        assert!(spread([]).is_none());
    }
}
