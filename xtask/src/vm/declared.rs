//! What is known to differ between kernels: what is declared here must be so there, and only there.

use super::outcome::Verdict;
use super::sight::{Blur, Sight};

/// A test that can't pass on a kernel.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) kernel: &'static str,
    pub(super) test: &'static str,
    /// What that kernel lacks, for the table's reader.
    pub(super) reason: &'static str,
}

/// Every declared difference.
pub(super) const DECLARED: &[Difference] = &[
    about_prometheus("5.10", RULES),
    about_prometheus("5.10", DASHBOARD),
    about_prometheus("5.10", SCRAPE),
    about_prometheus("6.1", RULES),
    about_prometheus("6.1", DASHBOARD),
    about_prometheus("6.1", SCRAPE),
    about_prometheus("6.12", RULES),
    about_prometheus("6.12", DASHBOARD),
    about_prometheus("6.12", SCRAPE),
    about_prometheus("6.12-rt", RULES),
    about_prometheus("6.12-rt", DASHBOARD),
    about_prometheus("6.12-rt", SCRAPE),
    about_prometheus("6.12-arm64", RULES),
    about_prometheus("6.12-arm64", DASHBOARD),
    about_prometheus("6.12-arm64", SCRAPE),
    about_prometheus("7.2", RULES),
    about_prometheus("7.2", DASHBOARD),
    about_prometheus("7.2", SCRAPE),
    about_the_journal("5.10"),
    about_the_page("5.10"),
    about_the_journal("6.1"),
    about_the_page("6.1"),
    about_the_journal("6.12"),
    about_the_page("6.12"),
    about_the_journal("6.12-rt"),
    about_the_page("6.12-rt"),
    about_the_journal("6.12-arm64"),
    about_the_page("6.12-arm64"),
    about_the_journal("7.2"),
    about_the_page("7.2"),
    about_sight("inside_tls_a_failure_is_told_with_its_ray"),
    about_sight("inside_tls_of_a_server_that_starts_later"),
    about_sight("inside_tls_of_rustls_a_failure_is_told_with_its_ray"),
    about_sight("inside_tls_of_rustls_each_failed_stream_is_told_with_its_ray"),
];

/// Every declared blur.
pub(super) const BLURS: &[Blur] = &[
    Blur { kernel: "5.10", cause: "port_closed", sight: Sight::Coarser, reason: WITHOUT_RST },
    Blur { kernel: "6.1", cause: "port_closed", sight: Sight::Coarser, reason: WITHOUT_RST },
];

const WITHOUT_RST: &str = "`likely`: before 6.12 `tcp_send_reset` is silent where there is no socket, so that a refusal is known \
                           by TCP throwing the SYN away";

const RULES: &str = "promtool_takes_the_rules_and_their_tests";
const DASHBOARD: &str = "prometheus_answers_every_query_of_the_dashboard";
const SCRAPE: &str = "prometheus_scrapes_over_tls_with_a_password";

const fn about_prometheus(kernel: &'static str, test: &'static str) -> Difference {
    Difference { kernel, test, reason: "is of Prometheus, which the guests do not have, and not of the kernel" }
}

const fn about_the_journal(kernel: &'static str) -> Difference {
    let test = "failures_are_entries_of_the_journal_and_what_it_does_not_take_is_counted";
    Difference { kernel, test, reason: "is of systemd, which the guests do not have, and not of the kernel" }
}

const fn about_the_page(kernel: &'static str) -> Difference {
    let test = "the_page_reads_well_on_a_phone";
    Difference { kernel, test, reason: "is of a browser, which the guests do not have, and not of the kernel" }
}

const fn about_sight(test: &'static str) -> Difference {
    let reason = "is of x86-64: places to probe are found in that machine's code alone";
    Difference { kernel: "6.12-arm64", test, reason }
}

/// What a verdict is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    Good,
    /// Failed as declared: the reason.
    Declared(&'static str),
    Bad,
    /// Passed although declared: the declaration must go.
    Outdated,
}

/// Weighs a test's verdict on a kernel.
pub(super) fn weigh(declared: &[Difference], kernel: &str, test: &str, verdict: &Verdict) -> Worth {
    let difference = declared.iter().find(|difference| difference.kernel == kernel && difference.test == test);
    match (verdict, difference) {
        (Verdict::Passed, None) => Worth::Good,
        (Verdict::Passed, Some(_)) => Worth::Outdated,
        (Verdict::Failed(_), Some(difference)) => Worth::Declared(difference.reason),
        (Verdict::Failed(_), None) | (Verdict::Missing, _) => Worth::Bad,
    }
}

/// The declarations that name no test or kernel that there is.
pub(super) fn strangers(declared: &[Difference], kernels: &[&str], tests: &[String]) -> Vec<String> {
    let known = |difference: &&Difference| {
        kernels.contains(&difference.kernel) && tests.iter().any(|test| test == difference.test)
    };
    declared.iter().filter(|one| !known(one)).map(|one| format!("{} on {}", one.test, one.kernel)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &[Difference] =
        &[Difference { kernel: "5.10", test: "port_closed", reason: "tcp_send_reset does not fire" }];

    #[test]
    fn a_declared_difference_must_fail_where_it_is_declared_and_nowhere_else() {
        let failed = Verdict::Failed("x".into());
        assert_eq!(weigh(SOME, "5.10", "port_closed", &failed), Worth::Declared("tcp_send_reset does not fire"));
        assert_eq!(weigh(SOME, "5.10", "port_closed", &Verdict::Passed), Worth::Outdated);
        assert_eq!(weigh(SOME, "6.12", "port_closed", &failed), Worth::Bad);
        assert_eq!(weigh(SOME, "6.12", "port_closed", &Verdict::Passed), Worth::Good);
    }

    #[test]
    fn a_test_without_a_verdict_is_bad_even_where_it_is_declared() {
        assert_eq!(weigh(SOME, "5.10", "port_closed", &Verdict::Missing), Worth::Bad);
    }

    #[test]
    fn a_declaration_of_something_that_is_not_there_is_told() {
        assert_eq!(strangers(SOME, &["5.10"], &["port_closed".into()]), Vec::<String>::new());
        assert_eq!(strangers(SOME, &["5.10"], &["other".into()]), ["port_closed on 5.10"]);
        assert_eq!(strangers(SOME, &["6.1"], &["port_closed".into()]), ["port_closed on 5.10"]);
    }

    #[test]
    fn every_declaration_names_a_kernel_of_the_matrix() {
        let kernels = super::super::kernels::KERNELS.map(|kernel| kernel.name);
        assert!(DECLARED.iter().all(|one| kernels.contains(&one.kernel) && !one.reason.is_empty()));
        assert!(BLURS.iter().all(|one| kernels.contains(&one.kernel) && !one.reason.is_empty()));
    }
}
