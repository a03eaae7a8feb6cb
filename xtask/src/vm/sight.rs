//! What each kernel shows of each cause: made of the records that the tests staged, wanted and got.

use std::collections::{BTreeMap, BTreeSet};

/// The certainties with which each cause was told on a kernel, in words.
pub(super) type Told = BTreeMap<String, BTreeSet<String>>;

/// How surely a verdict may be told, surest first.
const CERTAINTIES: [&str; 3] = ["certain", "likely", "possible"];

/// How well a kernel shows a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Told as surely as on any other kernel.
    Exact,
    /// Told, but less surely.
    Coarser,
    /// Not told.
    Hidden,
    /// No test can make it.
    Unmade,
}

impl Sight {
    pub(super) const ALL: [Self; 4] = [Self::Exact, Self::Coarser, Self::Hidden, Self::Unmade];

    /// As the table has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Coarser => "coarser",
            Self::Hidden => "not visible",
            Self::Unmade => "–",
        }
    }
}

/// A cause that a kernel shows less well than the others.
#[derive(Debug)]
pub(super) struct Blur {
    pub(super) kernel: &'static str,
    pub(super) cause: &'static str,
    pub(super) sight: Sight,
    /// Why, for the table's reader.
    pub(super) reason: &'static str,
}

/// Causes that no test can make, and why.
pub(super) const UNMADE: &[(&str, &str)] =
    &[("unexplained", "no rule tells it: what lacks evidence is told as the next sure cause")];

/// The kernels that were looked at, and the causes in their order.
pub(super) struct Sights<'a> {
    pub(super) causes: &'a [String],
    /// Name and records of each kernel.
    pub(super) kernels: &'a [(String, &'a Told)],
    pub(super) blurs: &'a [Blur],
}

impl Sights<'_> {
    /// How well the kernel shows the cause.
    pub(super) fn of(&self, cause: &str, told: &Told) -> Sight {
        let anywhere = self.kernels.iter().filter_map(|(_, told)| ranks(told, cause));
        // The surest of the surest ones, and the surest of the least sure ones.
        let Some((surest, least)) = anywhere.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))) else { return Sight::Unmade };
        match ranks(told, cause) {
            None => Sight::Hidden,
            Some(here) if here.0 > surest || here.1 > least => Sight::Coarser,
            Some(_) => Sight::Exact,
        }
    }

    /// What is not as it is declared: empty if all is well.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for cause in self.causes {
            let unmade = UNMADE.iter().any(|(name, _)| name == cause);
            for (kernel, told) in self.kernels {
                let found = self.of(cause, told);
                let declared = match self.blurs.iter().find(|blur| blur.kernel == kernel && blur.cause == cause) {
                    _ if unmade => Sight::Unmade,
                    Some(blur) => blur.sight,
                    None => Sight::Exact,
                };
                if found != declared {
                    problems.push(format!("{cause} on {kernel}: {}, declared is {}", found.name(), declared.name()));
                }
            }
        }
        problems
    }
}

/// The places of the surest and the least sure certainty with which a cause was told.
fn ranks(told: &Told, cause: &str) -> Option<(usize, usize)> {
    let rank = |certainty: &String| CERTAINTIES.iter().position(|known| known == certainty);
    let ranks: Vec<usize> = told.get(cause)?.iter().filter_map(rank).collect();
    Some((*ranks.iter().min()?, *ranks.iter().max()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLURS: &[Blur] = &[Blur { kernel: "5.10", cause: "port_closed", sight: Sight::Coarser, reason: "no RST" }];

    fn told(pairs: &[(&str, &str)]) -> Told {
        let mut told = Told::new();
        for (cause, certainty) in pairs {
            told.entry((*cause).to_owned()).or_default().insert((*certainty).to_owned());
        }
        told
    }

    #[test]
    fn a_cause_is_exact_where_it_is_told_as_surely_as_anywhere() {
        let old = told(&[("port_closed", "likely"), ("crash", "certain"), ("crash", "likely")]);
        let new =
            told(&[("port_closed", "certain"), ("crash", "certain"), ("crash", "likely"), ("cert_invalid", "likely")]);
        let causes = ["port_closed", "crash", "cert_invalid", "unexplained"].map(str::to_owned);
        let sights = Sights { causes: &causes, kernels: &[("5.10".into(), &old), ("7.2".into(), &new)], blurs: BLURS };
        let of = |told| [0, 1, 2, 3].map(|at: usize| sights.of(&causes[at], told));
        assert_eq!(of(&old), [Sight::Coarser, Sight::Exact, Sight::Hidden, Sight::Unmade]);
        assert_eq!(of(&new), [Sight::Exact, Sight::Exact, Sight::Exact, Sight::Unmade]);
        assert_eq!(sights.problems(), ["cert_invalid on 5.10: not visible, declared is exact"]);
    }

    #[test]
    fn a_declared_blur_that_is_none_any_more_and_a_cause_that_nobody_makes_are_problems() {
        let both = told(&[("port_closed", "certain")]);
        let causes = ["port_closed", "crash"].map(str::to_owned);
        let sights = Sights { causes: &causes, kernels: &[("5.10".into(), &both)], blurs: BLURS };
        assert_eq!(
            sights.problems(),
            ["port_closed on 5.10: exact, declared is coarser", "crash on 5.10: –, declared is exact"]
        );
    }
}
