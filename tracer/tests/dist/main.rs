//! What is shipped beside the binary agrees with it: the dashboard, the alert rules, the runbook.

mod dashboard;
mod lint;
mod rules;
mod runbook;
