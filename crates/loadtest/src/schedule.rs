//! Open load: when each step is due, whatever the service does meanwhile.

use std::time::Duration;

/// How the rate runs over the duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// The same from beginning to end.
    Constant,
    /// In five equal steps up to the rate: where does it bend?
    Step,
    /// Evenly from nothing to the rate.
    Ramp,
    /// Constant for hours; at the end, the last tenth is compared with the first.
    Soak,
}

impl Shape {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Constant => "constant",
            Shape::Step => "step",
            Shape::Ramp => "ramp",
            Shape::Soak => "soak",
        }
    }
}

const STEPS: u32 = 5;

/// Arrivals over a time, after a warm-up at the first rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// How the rate runs.
    pub shape: Shape,
    /// Steps in a second, at the most.
    pub rate: f64,
    /// Before anything counts.
    pub warm_up: Duration,
    /// The measured part.
    pub duration: Duration,
}

impl Schedule {
    /// When arrival `number` (from 0) is due, from the start of the warm-up; `None` after the end.
    pub(crate) fn due(&self, number: u64) -> Option<Duration> {
        let number = number as f64;
        let warm = self.warm_up.as_secs_f64();
        let warm_rate = match self.shape {
            Shape::Constant | Shape::Soak => self.rate,
            Shape::Step | Shape::Ramp => self.rate / f64::from(STEPS),
        };
        let warm_arrivals = (warm * warm_rate).floor();
        if number < warm_arrivals {
            return Duration::try_from_secs_f64(number / warm_rate).ok();
        }
        let number = number - warm_arrivals;
        let after = match self.shape {
            Shape::Constant | Shape::Soak => number / self.rate,
            // n arrivals by t = √(2 n D / r): the integral of r t / D.
            Shape::Ramp => (2.0 * number * self.duration.as_secs_f64() / self.rate).sqrt(),
            Shape::Step => self.step_due(number),
        };
        let due = Duration::try_from_secs_f64(after).ok()?;
        (due < self.duration).then(|| self.warm_up + due)
    }

    fn step_due(&self, mut number: f64) -> f64 {
        let length = self.duration.as_secs_f64() / f64::from(STEPS);
        for step in 1..=STEPS {
            let rate = self.rate * f64::from(step) / f64::from(STEPS);
            if number < rate * length {
                return length * f64::from(step - 1) + number / rate;
            }
            number -= rate * length;
        }
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_tenths(shape: Shape) -> Vec<usize> {
        let schedule = Schedule {
            shape,
            rate: 100.0,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(10),
        };
        let mut counts = vec![0; 11];
        let mut before = Duration::ZERO;
        for due in (0..).map_while(|number| schedule.due(number)) {
            assert!(due >= before, "in order");
            before = due;
            counts[usize::try_from(due.as_secs()).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn every_shape_sends_what_it_says() {
        assert_eq!(by_tenths(Shape::Constant), [100; 11]);
        assert_eq!(by_tenths(Shape::Soak), [100; 11]);
        let step = by_tenths(Shape::Step);
        for (second, expected) in [20, 20, 20, 40, 40, 60, 60, 80, 80, 100, 100].into_iter().enumerate() {
            assert!(step[second].abs_diff(expected) <= 1, "{step:?}");
        }
        let ramp = by_tenths(Shape::Ramp);
        assert_eq!(ramp[0], 20, "warm-up");
        for second in 1..11 {
            assert!(ramp[second].abs_diff(10 * second - 5) <= 1, "{ramp:?}");
        }
    }
}
