//! Waiting on a condition with a deadline: what the lab does instead of sleeping.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks at the condition.
const STEP: Duration = Duration::from_millis(5);

/// Looks at `probe` until it gives a value. An error, from `probe` or at the deadline, names `what`.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("waited {:.1} s in vain for {what}", limit.as_secs_f64());
        }
        std::thread::sleep(STEP);
    }
}

/// As [`until`], for a condition without a value.
pub fn until_true(what: &str, limit: Duration, mut probe: impl FnMut() -> bool) -> Result<()> {
    until(what, limit, || Ok(probe().then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_names_what_was_awaited() {
        let error = until_true("the moon", Duration::ZERO, || false).unwrap_err();
        assert_eq!(error.to_string(), "waited 0.0 s in vain for the moon");
    }

    #[test]
    fn a_value_ends_the_wait() {
        let mut looks = 0;
        let value = until("three looks", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.unwrap(), 3);
    }
}
