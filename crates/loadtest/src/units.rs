//! Times as people write them.

use std::time::Duration;

/// A whole number with `ms`, `s`, `m`, `h` or `d`; several may follow each other: `4h48m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    read(text).ok_or_else(|| {
        format!("`{text}` is no time; write whole numbers with ms, s, m, h or d, for example 10s or 4h48m")
    })
}

fn read(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let millis = u64::from(number.parse::<u32>().ok()?).checked_mul(unit_ms)?;
        sum = sum.checked_add(Duration::from_millis(millis))?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// The same back, in the largest units that lose nothing above a millisecond.
pub(crate) fn show(time: Duration) -> String {
    let millis = time.as_millis();
    if millis == 0 {
        return if time.is_zero() { "0s".to_owned() } else { format!("{}µs", time.as_micros()) };
    }
    let parts = [
        (millis / 86_400_000, "d"),
        (millis / 3_600_000 % 24, "h"),
        (millis / 60_000 % 60, "m"),
        (millis / 1_000 % 60, "s"),
        (millis % 1_000, "ms"),
    ];
    parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in [("500ms", 500), ("2m", 120_000), ("4h48m", 17_280_000), ("1d", 86_400_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(duration(&show(Duration::from_millis(millis))), Ok(Duration::from_millis(millis)));
        }
        for bad in ["", "10", "s", "1.5s", "-1s", "10 s", "10y", "99999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
